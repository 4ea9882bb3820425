"""The losses of each stage, and leaving the plateau of the constant kernel."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from manet_cli.degradations.gaussian import anisotropic_kernels
from manet_cli.models import BlindConfig, MANet, MANetConfig
from manet_cli.training.batches import Batch, BatchMaker, Draws, Shard
from manet_cli.training.estimator_stage import EstimatorStage
from manet_cli.training.initialization import initialize_estimator
from manet_cli.training.photos import PhotoCache
from manet_cli.training.recipe import Recipe
from manet_cli.training.restorer_stage import RestorerStage
from manet_cli.training.stages import build_stage, stage_losses
from tests.training.runs import SMALL, make_trainer, small_model

CPU = torch.device("cpu")


@pytest.fixture
def batch(cache: PhotoCache, make_recipe: Callable[..., Recipe]) -> Batch:
    maker = BatchMaker(cache, make_recipe(toml="[blur]\nvariant_share = 0.5\n"), CPU, Shard())
    draws = maker.draw(0, 0.0)
    return maker.degrade(maker.crops(draws), draws)


class Oracle(nn.Module):
    """Knows the true kernels of a batch."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.batch = batch

    def pad(self, lr: torch.Tensor) -> torch.Tensor:
        return lr

    def logits_of_padded(self, lr: torch.Tensor) -> torch.Tensor:
        batch = self.batch
        assert batch.second is not None
        first, second = (batch.kernels[:, side, None, None].clamp_min(1e-30).log() for side in (0, 1))
        return torch.where(batch.second[..., None], second, first)


def oracle_stage(batch: Batch, reblur: float) -> EstimatorStage:
    stage = EstimatorStage(MANet(MANetConfig(channels=(8, 8))), reblur)
    stage.network = Oracle(batch)  # type: ignore[assignment]
    return stage


def test_the_estimators_losses_are_zero_at_the_true_kernels(batch: Batch) -> None:
    stage = oracle_stage(batch, 0.0)
    losses = stage(batch.lr, batch.hr, batch.kernels, batch.second, torch.tensor(0.5))
    assert float(losses["loss"]) == pytest.approx(0, abs=1e-4)
    assert float(losses["l1"]) == pytest.approx(0, abs=1e-4)
    assert float(losses["variation"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_true_kernels_reblur_the_sharp_patches(
    cache: PhotoCache, make_recipe: Callable[..., Recipe], scale: int
) -> None:
    recipe = make_recipe(scale=scale, patch_size=24 * scale, toml="[blur]\nvariant_share = 0.5\n")
    maker = BatchMaker(cache, recipe, CPU, Shard())
    draws = maker.draw(0, 0.0)
    batch = maker.degrade(maker.crops(draws), draws)
    stage, none = oracle_stage(batch, 2.0), torch.tensor(0.0)
    losses = stage(batch.lr, batch.hr, batch.kernels, batch.second, none)
    # The rest is the rounding of the LR patches to 8 bits: a quarter of a level on average.
    assert 0 < float(losses["reblur"]) < 0.3
    assert float(losses["loss"]) == pytest.approx(float(losses["l1"] + 2 * losses["reblur"]), rel=1e-5)
    stage = oracle_stage(dataclasses.replace(batch, kernels=batch.kernels.flip(0)), 2.0)
    wrong = stage(batch.lr, batch.hr, batch.kernels, batch.second, none)
    assert float(wrong["reblur"]) > 3 * float(losses["reblur"])


def test_reblurring_changes_what_the_estimator_learns(
    batch: Batch, make_recipe: Callable[..., Recipe]
) -> None:
    model = small_model()
    gradients = []
    for weight in (0.0, 5.0):
        model.zero_grad()
        stage = build_stage(make_recipe(toml=f"[loss]\nreblur = {weight}\n"), model)
        stage_losses(stage, "manet", batch, torch.tensor(0.0))["loss"].backward()  # type: ignore[no-untyped-call]
        assert model.estimator is not None
        gradients.append([parameter.grad for parameter in model.estimator.parameters()])
    assert all(grad is not None and grad.isfinite().all() for grad in gradients[1])
    assert not all(
        torch.equal(a, b) for a, b in zip(*gradients, strict=True) if a is not None and b is not None
    )


def test_one_patch_has_no_variation_between_patches(batch: Batch, make_recipe: Callable[..., Recipe]) -> None:
    stage = build_stage(make_recipe(), small_model())
    losses = stage(batch.lr[:1], batch.hr[:1], batch.kernels[:1], None, torch.tensor(0.5))
    assert set(losses) == {"loss", "l1", "divergence"}


def test_the_l1_loss_is_the_papers(batch: Batch, make_recipe: Callable[..., Recipe]) -> None:
    model = small_model()
    assert model.estimator is not None
    with torch.no_grad():
        stage = build_stage(make_recipe(), model)
        losses = stage(batch.lr, batch.hr, batch.kernels, None, torch.tensor(0.0))
        difference = model.estimator(batch.lr) - batch.kernels[:, 0, :, None, None]
    assert float(losses["loss"]) == pytest.approx(1e4 * float(difference.abs().mean()), rel=1e-5)


def test_sr_is_given_the_true_kernels_and_finetune_the_estimated_ones(
    batch: Batch, make_recipe: Callable[..., Recipe]
) -> None:
    model = small_model()
    assert model.estimator is not None
    assert model.kernel_code is not None
    assert batch.second is not None
    given: dict[str, torch.Tensor] = {}

    def remember(module: nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        given[stage_name] = arguments[1]

    assert model.restorer is not None
    model.restorer.register_forward_hook(remember)
    for stage_name in ("sr", "finetune"):
        with torch.no_grad():
            losses = stage_losses(
                build_stage(make_recipe(stage_name), model), stage_name, batch, torch.tensor(0.0)
            )
            sr = model.restorer(batch.lr, given[stage_name])
        assert float(losses["loss"]) == pytest.approx(float((sr - batch.hr).abs().mean()), rel=1e-5)
    estimated = model.kernel_code(model.estimator(batch.lr))
    torch.testing.assert_close(given["finetune"], estimated)
    kernels = torch.where(
        batch.second[..., None], batch.kernels[:, 1, None, None], batch.kernels[:, 0, None, None]
    )
    torch.testing.assert_close(given["sr"], model.kernel_code(kernels.permute(0, 3, 1, 2)))


def test_finetuning_trains_the_restorer_alone(batch: Batch, make_recipe: Callable[..., Recipe]) -> None:
    model = small_model()
    stage = build_stage(make_recipe("finetune"), model)
    assert isinstance(stage, RestorerStage)
    stage_losses(stage, "finetune", batch, torch.tensor(0.0))["loss"].backward()  # type: ignore[no-untyped-call]
    assert model.estimator is not None
    assert all(parameter.grad is None for parameter in model.estimator.parameters())
    assert all(parameter.grad is not None for parameter in stage.parameters())


def test_unit_variance_initialisation_gives_every_layer_its_variance(batch: Batch) -> None:
    torch.manual_seed(0)
    estimator = MANet(MANetConfig(channels=(16, 32)))
    initialize_estimator(estimator, batch.lr)
    deviations = {}
    for name, layer in estimator.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            assert layer.bias is not None
            assert not layer.bias.any()
            layer.register_forward_hook(
                lambda layer, given, output, name=name: deviations.update({name: float(output.std())})
            )
    with torch.no_grad():
        estimator.logits_of_padded(batch.lr)
    for name, deviation in deviations.items():
        expected = 0.3 if ".affine." in name and name.endswith(".2") else 0.5 if name == "tail" else 1.0
        assert deviation == pytest.approx(expected, rel=1e-3), name
    assert float(estimator.head.weight.detach().mean(dim=(1, 2, 3)).abs().max()) < 1e-6


STEPS_OFF_THE_PLATEAU = 120


def test_the_estimator_leaves_the_constant_kernel_on_two_orientations(
    cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two narrow kernels at right angles: the mean of the two is the plateau."""
    toml = (
        "[initialization]\nunit_variance = true\n[blur]\ntexture_choices = 4\n"
        "[optimizer]\nlearning_rate = 3e-3\n[schedule]\nwarmup = 10\n[report]\nlog_every = 1000\n"
    )
    recipe = make_recipe("manet", toml, iterations=STEPS_OFF_THE_PLATEAU, batch_size=12)
    draw = BatchMaker.draw

    def two_orientations(self: BatchMaker, step: int, progress: float) -> Draws:
        draws = draw(self, step, progress)
        draws.shapes[:] = torch.tensor([9.0, 0.8, 0.0], dtype=torch.float64)
        draws.shapes[::2, 0, 2] = math.pi / 2
        return draws

    monkeypatch.setattr(BatchMaker, "draw", two_orientations)
    model = small_model(config=BlindConfig(MANetConfig(channels=(32, 48)), None))
    trainer = make_trainer(recipe, cache, tmp_path / "run", model=model)
    first = trainer.maker.draw(0, 0.0)
    assert model.estimator is not None
    initialize_estimator(model.estimator, trainer.maker.degrade(trainer.maker.crops(first), first).lr)
    trainer.run()
    draws = trainer.maker.draw(10_000, 1.0)
    held_out = trainer.maker.degrade(trainer.maker.crops(draws), draws)
    with torch.no_grad():
        estimates = model.estimator(held_out.lr).mean(dim=(2, 3))
    kernels = anisotropic_kernels(9.0, 0.8, torch.tensor([0.0, math.pi / 2]), scale=4).flatten(1)
    distances = (estimates[:, None] - kernels).square().sum(dim=2)
    truth = torch.arange(len(estimates)) % 2 == 0
    assert ((distances[:, 1] < distances[:, 0]) == truth).float().mean() > 0.9


@pytest.mark.parametrize("stage", ["manet", "sr", "finetune"])
def test_each_stage_reduces_its_loss(
    stage: str, cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    toml = "[optimizer]\nlearning_rate = 3e-3\n[schedule]\nwarmup = 5\n[report]\nlog_every = 10\n"
    recipe = make_recipe(stage, toml, iterations=60)
    trainer = make_trainer(recipe, cache, tmp_path / "run", model=small_model(config=SMALL))
    trainer.run()
    losses = [float(str(line["loss"])) for line in trainer.folder.read_log()]
    if stage == "manet":  # the kind of loss changes during the run
        losses = [float(str(line["l1"])) for line in trainer.folder.read_log()]
    assert sum(losses[-2:]) < 0.9 * sum(losses[:2])
