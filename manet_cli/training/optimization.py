"""What happens to the weights in a step: schedule, Adam, moving average."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from manet_cli.training.recipe import OptimizerRecipe, ScheduleRecipe

__all__ = ["MovingAverage", "Optimizer", "learning_rate"]


def learning_rate(optimizer: OptimizerRecipe, schedule: ScheduleRecipe, step: int, progress: float) -> float:
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
        parameters: what learns.
        recipe: of Adam.
        half: whether gradients are made in float16, and so need a loss that is scaled up.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], recipe: OptimizerRecipe, *, half: bool) -> None:
        device = parameters[0].device
        self.parameters = list(parameters)
        self._clip = recipe.clip or math.inf
        self._fused = device.type in ("cpu", "cuda")
        self.adam = torch.optim.Adam(
            self.parameters, lr=recipe.learning_rate, betas=(recipe.beta1, recipe.beta2), fused=self._fused
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=half)
        self.bad_steps = torch.zeros((), device=device)
        """How many updates in a row have been left out until now."""

    def step(self, loss: Tensor, rate: float) -> Tensor:
        """Learn from a loss; return the norm that its gradient had before it was clipped."""
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.adam)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self._clip)
        finite = torch.isfinite(norm)
        self.bad_steps = torch.where(finite, 0, self.bad_steps + 1)
        if self.scaler.is_enabled():
            self.scaler.step(self.adam)
            self.scaler.update()
        elif self._fused:
            # As the scaler does it: the kernel looks itself, and nobody waits for the device.
            self.adam.found_inf = (~finite).float()  # type: ignore[attr-defined]
            self.adam.step()
        elif bool(finite):
            self.adam.step()
        # Freed before the next step begins: in a recorded graph their memory is used again.
        self.adam.zero_grad(set_to_none=True)
        return norm


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
