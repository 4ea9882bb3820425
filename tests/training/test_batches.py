"""Batches: the published degradation, the same for every process, resumed run and order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from manet_cli.degradations.blur import apply_blur_and_subsample
from manet_cli.degradations.quantization import apply_quantization
from manet_cli.degradations.step import apply_steps
from manet_cli.training.batches import Batch, BatchMaker, Draws, Shard
from manet_cli.training.photos import PhotoCache
from manet_cli.training.recipe import Recipe
from manet_cli.training.recipe_files import load_recipe
from tests.training.test_photos import pixels_of

CPU = torch.device("cpu")
BLURRED = "[blur]\nvariant_share = 0.5\ntexture_choices = 3\nelongated_share = 0.5\n"
SPOILED = f"""{BLURRED}
[degradation.noise]
share = 0.4
[degradation.sharpen]
share = 0.5
[degradation.jpeg]
share = 0.5
"""


def batch_of(maker: BatchMaker, step: int, progress: float = 0.0) -> tuple[Batch, Draws]:
    draws = maker.draw(step, progress).part(maker.shard)
    return maker.degrade(maker.crops(draws), draws), draws


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lr_is_the_degraded_hr(cache: PhotoCache, make_recipe: Callable[..., Recipe], scale: int) -> None:
    recipe = make_recipe(scale=scale, patch_size=60 if scale == 3 else 64)
    batch, _ = batch_of(BatchMaker(cache, recipe, CPU, Shard()), 0)
    kernels = batch.kernels[:, 0].reshape(-1, 21, 21)
    whole = apply_quantization(apply_blur_and_subsample(batch.hr, kernels, scale))
    border = -(-10 // scale)
    inner = (..., slice(border, -border), slice(border, -border))
    assert batch.lr.shape == whole.shape == (4, 3, recipe.lr_patch, recipe.lr_patch)
    # One level, where the two orders of addition round differently.
    assert (batch.lr[inner] - whole[inner]).abs().max() < 1.01 / 255
    assert ((batch.lr[inner] - whole[inner]).abs() > 0.5 / 255).float().mean() < 0.001


def test_patches_are_cut_and_turned_from_the_photos(
    cache: PhotoCache, make_recipe: Callable[..., Recipe]
) -> None:
    recipe = make_recipe(batch_size=32)
    maker = BatchMaker(cache, recipe, CPU, Shard())
    draws = maker.draw(3, 0.0)
    assert set(draws.orientation.tolist()) == set(range(8))
    assert set(draws.photo.tolist()) == {0, 1, 2}
    crops = maker.crops(draws).numpy()
    for number, crop in enumerate(crops):
        photo = pixels_of(cache, int(draws.photo[number]))
        top, left = int(draws.top[number]), int(draws.left[number])
        expected = photo[top : top + recipe.crop_size, left : left + recipe.crop_size]
        bits = int(draws.orientation[number])
        expected = expected.transpose(1, 0, 2) if bits & 1 else expected
        expected = expected[::-1] if bits & 2 else expected
        expected = expected[:, ::-1] if bits & 4 else expected
        np.testing.assert_array_equal(crop, expected)


def test_processes_share_the_batch_of_one(cache: PhotoCache, make_recipe: Callable[..., Recipe]) -> None:
    recipe = make_recipe(toml=SPOILED)
    whole, _ = batch_of(BatchMaker(cache, recipe, CPU, Shard()), 5, 0.2)
    for rank in range(2):
        part, _ = batch_of(BatchMaker(cache, recipe, CPU, Shard(rank, 2)), 5, 0.2)
        for field in dataclasses.fields(Batch):
            assert torch.equal(getattr(part, field.name), getattr(whole, field.name)[rank::2]), field.name


def test_a_step_has_one_batch_and_others_have_others(
    cache: PhotoCache, make_recipe: Callable[..., Recipe]
) -> None:
    maker = BatchMaker(cache, make_recipe(toml=SPOILED), CPU, Shard())
    again = BatchMaker(cache, make_recipe(toml=SPOILED), CPU, Shard())
    other = BatchMaker(cache, make_recipe(toml=SPOILED, seed=1), CPU, Shard())
    batch_of(again, 0)
    first = batch_of(maker, 7)[0]
    assert torch.equal(first.lr, batch_of(again, 7)[0].lr)
    assert not torch.equal(first.lr, batch_of(maker, 8)[0].lr)
    assert not torch.equal(first.lr, batch_of(other, 7)[0].lr)


def test_texture_choice_takes_crops_with_more_texture(
    cache: PhotoCache, make_recipe: Callable[..., Recipe]
) -> None:
    def texture(choices: int) -> float:
        recipe = make_recipe(toml=f"[blur]\ntexture_choices = {choices}\n", batch_size=64)
        maker = BatchMaker(cache, recipe, CPU, Shard())
        green = maker.crops(maker.draw(0, 0.0))[..., 1].double()
        laplacian = 4 * green[:, 1:-1, 1:-1] - green[:, :-2, 1:-1] - green[:, 2:, 1:-1]
        return float((laplacian - green[:, 1:-1, :-2] - green[:, 1:-1, 2:]).abs().mean())

    assert texture(8) > 1.03 * texture(1)


def test_elongated_kernels_are_drawn_until_their_share_of_the_run_is_over(
    cache: PhotoCache, make_recipe: Callable[..., Recipe]
) -> None:
    recipe = make_recipe(toml="[blur]\nelongated_share = 1.0\nelongated_until = 0.5\n", batch_size=64)
    maker = BatchMaker(cache, recipe, CPU, Shard())

    def ratios(progress: float) -> torch.Tensor:
        shapes = maker.draw(0, progress).shapes.reshape(-1, 3)
        return shapes[:, 0] / shapes[:, 1]

    assert float(ratios(0.49).min()) >= 2.5
    assert float(ratios(0.5).min()) < 1.5


def test_the_exponent_makes_narrow_kernels_more_frequent(
    cache: PhotoCache, make_recipe: Callable[..., Recipe]
) -> None:
    def variances(exponent: float) -> torch.Tensor:
        toml = f"[blur]\nelongated_share = 0.0\nvariance_exponent = {exponent}\n"
        recipe = make_recipe(toml=toml, batch_size=512)
        return BatchMaker(cache, recipe, CPU, Shard()).draw(0, 0.0).shapes[..., 0]

    even, narrow = variances(1.0), variances(2.0)
    for drawn in (even, narrow):
        assert 0.7 <= float(drawn.min()) < 0.9
        assert 9.5 < float(drawn.max()) <= 10
    assert float(even.median()) == pytest.approx(5.35, abs=0.5)
    assert float(narrow.median()) == pytest.approx(0.7 + 9.3 / 4, abs=0.5)


def test_two_kernels_share_a_patch_along_a_line(
    cache: PhotoCache, make_recipe: Callable[..., Recipe]
) -> None:
    recipe = make_recipe(toml="[blur]\nvariant_share = 1.0\n", batch_size=16)
    batch, _ = batch_of(BatchMaker(cache, recipe, CPU, Shard()), 0)
    assert batch.second is not None
    share = batch.second.float().mean(dim=(1, 2))
    assert float(share.min()) > 0.1
    assert float(share.max()) < 0.9
    border = 3
    for side in (0, 1):
        lr = apply_blur_and_subsample(batch.hr, batch.kernels[:, side].reshape(-1, 21, 21), 4)
        here = (batch.second == bool(side))[:, None].expand_as(lr)[..., border:-border, border:-border]
        inner = (slice(None), slice(None), slice(border, -border), slice(border, -border))
        assert ((batch.lr[inner] - lr[inner]).abs()[here] < 1.01 / 255).all()


def test_steps_follow_the_blur_patch_by_patch(cache: PhotoCache, make_recipe: Callable[..., Recipe]) -> None:
    plain, plain_draws = batch_of(
        BatchMaker(cache, make_recipe(toml=BLURRED, batch_size=32), CPU, Shard()), 0
    )
    spoiled, draws = batch_of(BatchMaker(cache, make_recipe(toml=SPOILED, batch_size=32), CPU, Shard()), 0)
    assert torch.equal(draws.shapes, plain_draws.shapes)
    assert {len(steps) for steps in draws.steps} >= {0, 1, 2}
    for number, (steps, seed) in enumerate(zip(draws.steps, draws.seeds.tolist(), strict=True)):
        lr = plain.lr[number : number + 1]
        alone = apply_quantization(apply_steps(lr, steps, torch.Generator().manual_seed(seed)))
        difference = (spoiled.lr[number] - alone[0]).abs() * 255
        if not steps:
            assert torch.equal(spoiled.lr[number], plain.lr[number])
        # The steps took what was not rounded: half a level, which sharpening may triple. Compression of these
        # drawings moves on such differences, so that only a likeness is left.
        elif not any(step.name == "jpeg" for step in steps):
            assert float(difference.max()) < 3.01
        else:
            assert float(difference.mean()) < 8


def test_the_camera_recipe_leaves_patches_clean(cache: PhotoCache, tmp_path: Path) -> None:
    small = {"iterations": 8, "batch_size": 400, "patch_size": 64, "precision": "fp32"}
    recipe = load_recipe("finetune", 4, name="camera", options=small)
    draws = BatchMaker(cache, recipe, CPU, Shard()).draw(0, 0.0)
    names = [{step.name for step in steps} for steps in draws.steps]
    shares = {name: sum(name in drawn for drawn in names) / 400 for name in ("noise", "sharpen", "jpeg")}
    assert shares == pytest.approx({"noise": 0.65, "sharpen": 0.33, "jpeg": 0.55}, abs=0.08)
    assert sum(not drawn for drawn in names) / 400 == pytest.approx(0.35 * 0.67 * 0.45, abs=0.05)
    assert float(torch.isfinite(draws.line[:, 1]).double().mean()) == pytest.approx(0.33, abs=0.08)
