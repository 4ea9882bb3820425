"""The stages: which network is trained, and its loss.

A stage is one module whose forward returns the losses of a batch, so that it can be compiled and distributed
as a whole. `stage_kinds` lists the other properties of the stages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from manet_cli.models import BlindModel
from manet_cli.training.batches import Batch
from manet_cli.training.crisp_stage import CrispStage
from manet_cli.training.discriminator import Discriminator
from manet_cli.training.estimator_stage import EstimatorStage
from manet_cli.training.features import Features, load_features
from manet_cli.training.losses import Losses
from manet_cli.training.recipe import Recipe
from manet_cli.training.restorer_stage import RestorerStage
from manet_cli.training.stage_kinds import stage_kind

__all__ = ["Stage", "build_stage", "new_discriminator", "stage_losses", "stage_weight", "training_features"]

Stage: TypeAlias = EstimatorStage | RestorerStage | CrispStage


@dataclass(frozen=True)
class _Entry:
    """The computation of a stage.

    Attributes:
        build: makes its module from a model with the networks that it needs.
        arguments: returns the arguments of the module's forward, from a batch and the stage's weight.
        weight: returns the stage's weight, 0 to 1, from the step and the share done.
    """

    build: Callable[[Recipe, BlindModel], Stage]
    arguments: Callable[[Batch, Tensor], tuple[Tensor | None, ...]]
    weight: Callable[[Recipe, int, float], float]


def build_stage(recipe: Recipe, model: BlindModel) -> Stage:
    """Return the module of a recipe's stage, for a model with the networks that it needs.

    Raises:
        UsageError: the stage needs a package that is not installed.
    """
    return _ENTRIES[recipe.stage].build(recipe, model)


def stage_weight(recipe: Recipe, step: int, progress: float) -> float:
    """Return the weight, from 0 to 1, for the forward of a stage's module at a step.

    Args:
        recipe: the run's recipe.
        step: step number, from 0.
        progress: share of the run done before it, in [0, 1].
    """
    return _ENTRIES[recipe.stage].weight(recipe, step, progress)


def stage_losses(module: nn.Module, stage: str, batch: Batch, weight: Tensor) -> Losses:
    """Run a stage's module (wrapped or not) on a batch; `weight` is a scalar, see `stage_weight`."""
    losses: Losses = module(*_ENTRIES[stage].arguments(batch, weight))
    return losses


def new_discriminator(recipe: Recipe) -> Discriminator | None:
    """Return a new discriminator; None for a stage without one."""
    if not stage_kind(recipe.stage).adversarial:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return Discriminator()


def training_features(recipe: Recipe) -> Features | None:
    """Return the frozen features of a stage's loss; None for a stage without them.

    Raises:
        UsageError: their weights are not installed.
    """
    return load_features(0, extra="crisp") if stage_kind(recipe.stage).adversarial else None


def _estimator_stage(recipe: Recipe, model: BlindModel) -> Stage:
    assert model.estimator is not None
    return EstimatorStage(model.estimator, recipe.loss.reblur)


def _restorer_stage(recipe: Recipe, model: BlindModel) -> Stage:
    assert model.restorer is not None
    assert model.kernel_code is not None
    estimator = model.estimator if stage_kind(recipe.stage).goes_on else None
    return RestorerStage(model.restorer, model.kernel_code, estimator)


def _crisp_stage(recipe: Recipe, model: BlindModel) -> Stage:
    assert model.restorer is not None
    assert model.kernel_code is not None
    features, discriminator = training_features(recipe), new_discriminator(recipe)
    assert features is not None
    assert discriminator is not None
    place = next(model.restorer.parameters()).device
    for module in (features, discriminator):
        module.to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return CrispStage(
        model.restorer, model.kernel_code, model.estimator, features, discriminator, recipe.loss
    )


def _divergence(recipe: Recipe, step: int, progress: float) -> float:
    until = recipe.loss.divergence_until
    return max(0.0, 1 - progress / until) if until else 0.0


def _adversarial(recipe: Recipe, step: int, progress: float) -> float:
    return min(1.0, (step + 1) / max(1, recipe.loss.adversarial_warmup))


_RESTORER = _Entry(
    _restorer_stage,
    lambda batch, weight: (batch.lr, batch.hr, batch.kernels, batch.second, batch.true_kernel),
    lambda recipe, step, progress: 0.0,
)
_ENTRIES = {
    "manet": _Entry(
        _estimator_stage,
        lambda batch, weight: (batch.lr, batch.hr, batch.kernels, batch.second, weight),
        _divergence,
    ),
    "sr": _RESTORER,
    "finetune": _RESTORER,
    "crisp": _Entry(
        _crisp_stage,
        lambda batch, weight: (
            *(batch.lr, batch.hr, batch.kernels, batch.second, batch.true_kernel),
            *(batch.phase, weight),
        ),
        _adversarial,
    ),
}
