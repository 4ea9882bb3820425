"""Learning rate schedule, Adam and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from manet_cli.training.recipe import DiscriminatorRecipe, OptimizerRecipe, ScheduleRecipe

__all__ = ["MovingAverage", "Optimizer", "learning_rate"]


def learning_rate(
    optimizer: OptimizerRecipe | DiscriminatorRecipe, schedule: ScheduleRecipe, step: int, progress: float
) -> float:
    """Return the learning rate of a step.

    Args:
        optimizer: gives the highest learning rate.
        schedule: gives its course.
        step: step number, from 0.
        progress: share of the run done before it, in [0, 1], by steps or by time.
    """
    rate = optimizer.learning_rate
    if schedule.kind == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    elif schedule.kind == "halving":
        rate *= 0.5 ** (step // schedule.halve_every)
    return rate * min(1.0, (step + 1) / schedule.warmup) if schedule.warmup else rate


class Optimizer:
    """Adam with gradient clipping; skips updates whose gradient is not finite.

    Args:
        network: the network to train.
        recipe: Adam's settings.
        half: whether gradients are computed in float16, which needs loss scaling.
    """

    def __init__(
        self, network: nn.Module, recipe: OptimizerRecipe | DiscriminatorRecipe, *, half: bool
    ) -> None:
        self.names = [name for name, _ in network.named_parameters()]
        self.parameters = list(network.parameters())
        device = self.parameters[0].device
        self._clip = recipe.clip or math.inf
        self._fused = device.type in ("cpu", "cuda")
        self.adam = torch.optim.Adam(
            self.parameters, lr=recipe.learning_rate, betas=(recipe.beta1, recipe.beta2), fused=self._fused
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=half)
        self.bad_steps = torch.zeros((), device=device)
        """How many updates in a row had gradients that were not finite."""

    def scaled(self, loss: Tensor) -> Tensor:
        """Return the scaled loss; call its `backward`, then `step`."""
        return self.scaler.scale(loss)

    def step(self, rate: float, left_out: Tensor | None = None) -> Tensor:
        """Update the weights; return the norm of the gradient before clipping.

        Args:
            rate: learning rate.
            left_out: a bool scalar: whether to discard the gradient instead.
        """
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.scaler.unscale_(self.adam)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self._clip)
        finite = torch.isfinite(norm)
        self.bad_steps = torch.where(finite, 0, self.bad_steps + 1)
        taken = finite if left_out is None else finite & ~left_out
        if self.scaler.is_enabled():
            if left_out is None or not bool(left_out):
                self.scaler.step(self.adam)
            self.scaler.update()
        elif self._fused:
            # As the scaler does it: the kernel itself reads the flag, so nothing waits for the device.
            self.adam.found_inf = (~taken).float()  # type: ignore[attr-defined]
            self.adam.step()
        elif bool(taken):
            self.adam.step()
        # Free the gradients before the next step: a recorded graph reuses their memory.
        self.adam.zero_grad(set_to_none=True)
        return norm

    def state(self) -> dict[str, Tensor]:
        """Return Adam's `moment1.*`, `moment2.*` and `updates.*`, by the names of the parameters."""
        tensors = {}
        for name, parameter in zip(self.names, self.parameters, strict=True):
            if state := self.adam.state[parameter]:
                tensors[f"moment1.{name}"] = state["exp_avg"]
                tensors[f"moment2.{name}"] = state["exp_avg_sq"]
                tensors[f"updates.{name}"] = state["step"]
        return tensors

    def restore(self, part: Callable[[str], Mapping[str, Tensor]], scaler: object) -> None:
        """Restore a state.

        Args:
            part: returns the tensors of `moment1`, `moment2` and `updates`.
            scaler: result of `self.scaler.state_dict`.
        """
        first, second, updates = (part(name) for name in ("moment1", "moment2", "updates"))
        state = {}
        for index, (name, parameter) in enumerate(zip(self.names, self.parameters, strict=True)):
            if name in updates:
                # The fused kernel needs moments with the memory layout of their parameter.
                moments = (torch.empty_like(parameter).copy_(moment[name]) for moment in (first, second))
                state[index] = dict(
                    zip(("step", "exp_avg", "exp_avg_sq"), (updates[name], *moments), strict=True)
                )
        self.adam.load_state_dict({**self.adam.state_dict(), "state": state})
        if isinstance(scaler, dict) and scaler:
            self.scaler.load_state_dict(scaler)


class MovingAverage:
    """The weights' exponential moving average.

    At first its decay is smaller, (1 + step) / (10 + step), so that the first weights soon lose their effect.

    Args:
        parameters: the weights.
        decay: decay per step; 0 for no averaging.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self._parameters = [parameter.detach() for parameter in parameters]
        self._decay = decay
        self.averages: list[Tensor] = [parameter.clone() for parameter in self._parameters]

    def update(self, step: int) -> None:
        """Add the weights after a step to the average."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.averages, self._parameters, 1 - decay)
