"""Adjustments of kernels: independent of the stripes, with bounded memory."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from manet_cli.degradations.adjustment import gaussians_of
from manet_cli.degradations.gaussian import GaussianParameters
from manet_cli.degradations.kernel_shape import KernelShapes, kernel_shapes
from manet_cli.degradations.texture import FLAT_BELOW
from manet_cli.inference import Engine, KernelTile
from manet_cli.jobs.blur.adjustment import AdjustedKernels, Adjustment, strengthened_kernel
from tests.inference.conftest import CPU, Picture, shipped_model

HEIGHT, WIDTH = 44, 30
EDGE = 20  # columns from here on are textured


@functools.cache
def engine() -> Engine:
    return Engine(shipped_model(), CPU)


@functools.cache
def picture() -> Picture:
    pixels = torch.full((1, 3, HEIGHT, WIDTH), 0.5)
    pixels[..., EDGE:] = torch.rand(1, 1, HEIGHT, WIDTH - EDGE, generator=torch.Generator().manual_seed(1))
    return Picture(pixels)


@functools.cache
def kernel_map() -> Tensor:
    """Blurs that grow from left to right, with an outlier, (H, W, k, k)."""
    sigma = torch.linspace(1, 3, WIDTH).expand(HEIGHT, WIDTH).clone()
    sigma[20, 25] = 1.0
    return gaussians_of(KernelShapes(sigma, sigma * 0.7, torch.full_like(sigma, 30.0)), 4, 21)


class Source:
    """Yields the map in tiles of a size, and records the rows read."""

    def __init__(self, tile: int) -> None:
        self.tile = tile
        self.next = 0

    def __call__(self, start: int, stop: int) -> Iterator[KernelTile]:
        assert start == self.next or self.next == 0
        self.next = stop
        for row in range(start, stop, self.tile):
            for column in range(0, WIDTH, self.tile):
                part = kernel_map()[row : min(row + self.tile, stop), column : column + self.tile]
                values = part.flatten(2).permute(2, 0, 1)
                yield KernelTile(row, column, values, engine().code_of(values))


def run(adjustment: Adjustment, *, stripe: int = 64, tile: int = 64) -> tuple[Tensor, Tensor]:
    """Adjust the whole map stripe by stripe: kernels (H, W, k, k) and codes (L, H, W)."""
    adjusted = AdjustedKernels(engine(), picture(), Source(tile), adjustment)
    kernels = torch.full((441, HEIGHT, WIDTH), float("nan"))
    codes = torch.full((15, HEIGHT, WIDTH), float("nan"))
    for start in range(0, HEIGHT, stripe):
        for part in adjusted(start, min(start + stripe, HEIGHT)):
            _, height, width = part.kernels.shape
            rows, columns = slice(part.row, part.row + height), slice(part.column, part.column + width)
            kernels[:, rows, columns] = part.kernels
            codes[:, rows, columns] = part.code
    assert not bool(kernels.isnan().any())
    assert not bool(codes.isnan().any())
    return kernels.permute(1, 2, 0).reshape(HEIGHT, WIDTH, 21, 21), codes


PRIOR = GaussianParameters.from_degrees(4, 2, 70).kernel(4)
ADJUSTMENTS = {
    "strength": Adjustment(strength=0.6),
    "smooth": Adjustment(smooth=3),
    "flat": Adjustment(flat=PRIOR),
    "all": Adjustment(7, 1.4, PRIOR),
}


@pytest.mark.parametrize("name", ADJUSTMENTS)
def test_stripes_and_tiles_do_not_show(name: str) -> None:
    kernels, codes = run(ADJUSTMENTS[name])
    assert (kernels.sum(dim=(2, 3)) - 1).abs().max() < 1e-5
    again, codes_again = run(ADJUSTMENTS[name], stripe=8, tile=8)
    torch.testing.assert_close(again, kernels, rtol=0, atol=1e-6)
    torch.testing.assert_close(codes_again, codes, rtol=0, atol=1e-6)
    expected = engine().code_of(kernels.flatten(2).permute(2, 0, 1))
    torch.testing.assert_close(codes, expected, rtol=0, atol=1e-6)


def test_strength_reaches_every_pixel() -> None:
    kernels, _ = run(Adjustment(strength=0.8))
    before, after = kernel_shapes(kernel_map(), 4), kernel_shapes(kernels, 4)
    inside = before.sigma_y**2 * 0.8 > 0.71
    torch.testing.assert_close(
        after.sigma_x[inside] ** 2, 0.8 * before.sigma_x[inside] ** 2, rtol=0.02, atol=0
    )


def test_the_prior_holds_where_the_picture_is_flat_and_only_there() -> None:
    kernels, _ = run(Adjustment(flat=PRIOR))
    torch.testing.assert_close(kernels[:, : EDGE - 7], PRIOR.expand(HEIGHT, EDGE - 7, 21, 21))
    torch.testing.assert_close(kernels[:, EDGE:], kernel_map()[:, EDGE:])


def test_strength_changes_the_prior_too() -> None:
    kernels, _ = run(Adjustment(strength=0.5, flat=PRIOR))
    torch.testing.assert_close(kernels[3, 3], strengthened_kernel(PRIOR, 0.5, 4))


def test_the_blend_is_smooth() -> None:
    waves = torch.sin(torch.arange(60.0))[None, :] * torch.linspace(0, 0.06, 60)[:, None]
    lr = Picture((0.5 + waves).expand(1, 3, 60, 60))
    estimate = GaussianParameters.from_degrees(9, 9, 0).kernel(4)

    def constant(start: int, stop: int) -> Iterator[KernelTile]:
        values = estimate.reshape(-1, 1, 1).expand(-1, stop - start, 60)
        yield KernelTile(start, 0, values, values[:0])

    (tile,) = AdjustedKernels(engine(), lr, constant, Adjustment(flat=PRIOR))(0, 60)
    peaks = tile.kernels[:, :, 30].amax(dim=0)
    assert float(peaks[0]) == pytest.approx(float(PRIOR.max()), abs=1e-6)
    assert float(peaks[-1]) == pytest.approx(float(estimate.max()), abs=1e-6)
    steps = (peaks[1:] - peaks[:-1]).abs()
    assert float(steps.max()) < 0.15 * float(PRIOR.max() - estimate.max())
    assert FLAT_BELOW == 2


def test_smoothing_removes_what_stands_alone() -> None:
    kernels, _ = run(Adjustment(smooth=2))
    before, after = kernel_shapes(kernel_map(), 4).size, kernel_shapes(kernels, 4).size
    neighbour = float(before[20, 24])
    assert float(before[20, 25]) < 0.5 * neighbour
    assert float(after[20, 25]) == pytest.approx(neighbour, rel=0.1)


def test_smoothing_listens_to_texture() -> None:
    kernels, _ = run(Adjustment(smooth=8))
    size = kernel_shapes(kernels, 4).size
    # A flat pixel near the edge has few textured neighbours, but still takes their blur.
    least = float(kernel_shapes(kernel_map()[10, EDGE - 1], 4).size)
    assert float(size[10, EDGE - 6]) >= least


def test_no_more_rows_are_held_than_needed() -> None:
    adjusted = AdjustedKernels(engine(), picture(), Source(64), Adjustment(smooth=4))
    for start in range(0, HEIGHT, 8):
        list(adjusted(start, min(start + 8, HEIGHT)))
        assert adjusted._held.shape[1] <= 8 + 2 * 4 + 8
