"""What happens to the weights in a step: schedule, Adam, moving average."""

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
        optimizer: has the highest one.
        schedule: how it goes.
        step: number of the step, from 0 on.
        progress: share of the run done before it, in [0, 1], by steps or by time.
    """
    rate = optimizer.learning_rate
    if schedule.kind == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    elif schedule.kind == "halving":
        rate *= 0.5 ** (step // schedule.halve_every)
    return rate * min(1.0, (step + 1) / schedule.warmup) if schedule.warmup else rate


class Optimizer:
    """Adam on gradients that are clipped, and left out where they are not finite.

    Args:
        network: what learns.
        recipe: of Adam.
        half: whether gradients are made in float16, and so need a loss that is scaled up.
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
        """How many updates in a row have been left out until now."""

    def scaled(self, loss: Tensor) -> Tensor:
        """Return the loss that `step` learns from once it was differentiated."""
        return self.scaler.scale(loss)

    def step(self, rate: float, left_out: Tensor | None = None) -> Tensor:
        """Learn from the gradient; return the norm that it had before it was clipped.

        Args:
            rate: learning rate.
            left_out: bool, a scalar: whether to forget the gradient instead.
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
            # As the scaler does it: the kernel looks itself, and nobody waits for the device.
            self.adam.found_inf = (~taken).float()  # type: ignore[attr-defined]
            self.adam.step()
        elif bool(taken):
            self.adam.step()
        # Freed before the next step begins: in a recorded graph their memory is used again.
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
        """Go on from a state.

        Args:
            part: returns the tensors of `moment1`, `moment2` and `updates`.
            scaler: what `self.scaler.state_dict` gave.
        """
        first, second, updates = (part(name) for name in ("moment1", "moment2", "updates"))
        state = {}
        for index, (name, parameter) in enumerate(zip(self.names, self.parameters, strict=True)):
            if name in updates:
                # The fused kernel goes through memory, so moments must lie there as their parameter does.
                moments = (torch.empty_like(parameter).copy_(moment[name]) for moment in (first, second))
                state[index] = dict(
                    zip(("step", "exp_avg", "exp_avg_sq"), (updates[name], *moments), strict=True)
                )
        self.adam.load_state_dict({**self.adam.state_dict(), "state": state})
        if isinstance(scaler, dict) and scaler:
            self.scaler.load_state_dict(scaler)


class MovingAverage:
    """The weights' exponential moving average.

    Early on it follows faster, (1 + step) / (10 + step), so that the first weights are soon forgotten.

    Args:
        parameters: what is averaged.
        decay: per step; 0 to follow at once.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self._parameters = [parameter.detach() for parameter in parameters]
        self._decay = decay
        self.averages: list[Tensor] = [parameter.clone() for parameter in self._parameters]

    def update(self, step: int) -> None:
        """Take the weights after a step into the average."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.averages, self._parameters, 1 - decay)
