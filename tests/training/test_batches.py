"""Batches: the published degradation, and the same for every process, sitting and order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from manet_cli.degradations import apply_blur_and_subsample, apply_quantization
from manet_cli.training.batches import Batch, BatchMaker, Draws, Shard
from manet_cli.training.photos import PhotoCache
from manet_cli.training.recipe import Recipe
from tests.training.test_photos import pixels_of

CPU = torch.device("cpu")
SPOILED = (
    "[blur]\nvariant_share = 0.5\ntexture_choices = 3\nelongated_share = 0.5\n"
    "[degradation]\nnoise = 15\njpeg_share = 0.5\n"
)


def batch_of(maker: BatchMaker, step: int, progress: float = 0.0) -> tuple[Batch, Draws]:
    draws = maker.draw(step, progress).part(maker.shard)
    return maker.degrade(maker.crops(draws), draws, step), draws


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lr_is_the_degraded_hr(cache: PhotoCache, make_recipe: Callable[..., Recipe], scale: int) -> None:
    recipe = make_recipe(scale=scale, patch_size=60 if scale == 3 else 64)
    batch, _ = batch_of(BatchMaker(cache, recipe, CPU, Shard()), 0)
    kernels = batch.kernels[:, 0].reshape(-1, 21, 21)
    whole = apply_quantization(apply_blur_and_subsample(batch.hr, kernels, scale))
    border = -(-10 // scale)
    inner = (..., slice(border, -border), slice(border, -border))
    assert batch.lr.shape == whole.shape == (4, 3, recipe.lr_patch, recipe.lr_patch)
    # One level where the two ways of adding round apart.
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


def test_noise_and_jpeg_follow_the_blur(cache: PhotoCache, make_recipe: Callable[..., Recipe]) -> None:
    clean, _ = batch_of(BatchMaker(cache, make_recipe(batch_size=16), CPU, Shard()), 0)
    noisy_recipe = make_recipe(toml="[degradation]\nnoise = 15\n", batch_size=16)
    noisy, draws = batch_of(BatchMaker(cache, noisy_recipe, CPU, Shard()), 0)
    inside = (clean.lr > 0.25) & (clean.lr < 0.75)
    for number in range(16):
        level = float((noisy.lr - clean.lr)[number][inside[number]].std()) * 255
        assert level == pytest.approx(float(draws.noise[number]), rel=0.15, abs=0.35)
    jpeg_recipe = make_recipe(toml="[degradation]\njpeg_share = 0.5\njpeg_highest = 60\n", batch_size=16)
    spoiled, draws = batch_of(BatchMaker(cache, jpeg_recipe, CPU, Shard()), 0)
    changed = (spoiled.lr != clean.lr).flatten(1).any(dim=1)
    assert torch.equal(changed, draws.quality > 0)
    assert 0 < int(changed.sum()) < 16
    assert int(draws.quality[changed].min()) >= 30
    assert int(draws.quality.max()) <= 60
