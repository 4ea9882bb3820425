"""Trains the discriminator of a stage; skips a step while the discriminator is too strong."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from manet_cli.training.checkpoints import Checkpoint
from manet_cli.training.discriminator import Discriminator
from manet_cli.training.distribution import World
from manet_cli.training.losses import Losses
from manet_cli.training.optimization import Optimizer, learning_rate
from manet_cli.training.recipe import Recipe

__all__ = ["Opponent"]

_PART = "discriminator"


class Opponent:
    """Trains a discriminator.

    Args:
        discriminator: the network, on the training device.
        recipe: the run's recipe.
        world: the processes of the run.
        half: as in `Optimizer`.
    """

    def __init__(self, discriminator: Discriminator, recipe: Recipe, world: World, *, half: bool) -> None:
        self.discriminator = discriminator.requires_grad_(True).train()
        self.optimizer = Optimizer(discriminator, recipe.discriminator, half=half)
        self._recipe, self._world = recipe, world

    def step(self, losses: Losses, step: int, progress: float) -> Losses:
        """Update the discriminator, unless its accuracy is above the recipe's bound.

        Args:
            losses: losses of the batch.
            step: step number, from 0.
            progress: share of the run done before it, in [0, 1].

        Returns:
            Values for the log: `discriminator_gradient_norm`, and `held_back`, 1 if the step was skipped.
        """
        recipe = self._recipe.discriminator
        held_back = self._world.mean_tensor(losses["accuracy"]) > recipe.bound
        rate = learning_rate(recipe, self._recipe.schedule, step, progress)
        norm = self.optimizer.step(rate, held_back)
        return {"discriminator_gradient_norm": norm, "held_back": held_back.float()}

    def state(self) -> dict[str, Tensor]:
        """Return the tensors for a checkpoint."""
        tensors = {f"model.{name}": tensor for name, tensor in self.discriminator.state_dict().items()}
        return {f"{_PART}.{name}": tensor for name, tensor in (tensors | self.optimizer.state()).items()}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Resume from a checkpoint."""
        tensors: Mapping[str, Tensor] = checkpoint.part(f"{_PART}.model")
        self.discriminator.load_state_dict(tensors)
        self.optimizer.restore(
            lambda name: checkpoint.part(f"{_PART}.{name}"), checkpoint.facts.get(f"{_PART}_scaler")
        )

    def facts(self) -> dict[str, object]:
        """Return the facts for a checkpoint."""
        return {f"{_PART}_scaler": self.optimizer.scaler.state_dict()}
