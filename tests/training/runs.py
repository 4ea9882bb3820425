"""Small runs for the tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from manet_cli.models import BlindConfig, BlindModel, KernelCode, MANetConfig, RRDBSFTConfig, kind_of_config
from manet_cli.training.batches import BatchMaker, Shard
from manet_cli.training.checkpoints import Checkpoint, RunFolder
from manet_cli.training.code_basis import compute_code_basis
from manet_cli.training.distribution import World
from manet_cli.training.loop import StepReport, Trainer
from manet_cli.training.photos import PhotoCache
from manet_cli.training.recipe import Recipe
from manet_cli.training.validation import Validation

SMALL = BlindConfig(
    MANetConfig(channels=(16, 32)), RRDBSFTConfig(features=8, blocks=1, growth=4, transform_width=4)
)


def small_model(seed: int = 0, config: BlindConfig = SMALL) -> BlindModel:
    """Return a blind model of few parameters, with the basis of x4 kernels."""
    torch.manual_seed(seed)
    model = BlindModel(config)
    if model.restorer is not None:
        kind_of_config(model.restorer.config).initialize(model.restorer)
    if isinstance(model.kernel_code, KernelCode):
        model.kernel_code.basis.copy_(compute_code_basis(4, kernels=2000).basis)
    return model


def make_trainer(
    recipe: Recipe,
    cache: PhotoCache,
    folder: Path,
    *,
    model: BlindModel | None = None,
    checkpoint: Checkpoint | None = None,
    validation: Validation | None = None,
    report: Callable[[StepReport], None] = lambda report: None,
) -> Trainer:
    """Return a trainer of a small model on the CPU, as a single process."""
    run = RunFolder(folder)
    with run.prepared():
        pass
    maker = BatchMaker(cache, recipe, torch.device("cpu"), Shard())
    trainer = Trainer(recipe, model or small_model(), maker, World(), run, validation, report)
    if checkpoint:
        trainer.restore(checkpoint)
        run.rewind_log(trainer.step)
    return trainer
