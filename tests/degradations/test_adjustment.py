"""Manual changes of a blur: exact for Gaussians, within the trained range, medians by definition."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from manet_cli.degradations.adjustment import (
    gaussians_of,
    logarithms,
    median_offsets,
    shapes_of_logarithms,
    strengthen,
    weighted_median,
)
from manet_cli.degradations.gaussian import KernelRange
from manet_cli.degradations.kernel_shape import KernelShapes, covariances, kernel_shapes


def shapes(sigma_x: list[float], sigma_y: list[float], theta: list[float]) -> KernelShapes:
    return KernelShapes(torch.tensor(sigma_x), torch.tensor(sigma_y), torch.tensor(theta))


BLURS = shapes([1.0, 2.0, 3.0, 2.5], [1.0, 1.0, 1.2, 2.4], [0.0, 30.0, 179.0, 90.0])


def test_logarithms_are_undone() -> None:
    back = shapes_of_logarithms(logarithms(BLURS))
    torch.testing.assert_close(torch.stack(covariances(back)), torch.stack(covariances(BLURS)))


def test_the_logarithm_is_that_of_the_covariance() -> None:
    xx, xy, yy = logarithms(BLURS)
    matrix = torch.stack((torch.stack((xx, xy), -1), torch.stack((xy, yy), -1)), -2)
    exponential = torch.linalg.matrix_exp(matrix)
    cxx, cxy, cyy = covariances(BLURS)
    torch.testing.assert_close(exponential[:, 0, 0], cxx)
    torch.testing.assert_close(exponential[:, 0, 1], cxy)
    torch.testing.assert_close(exponential[:, 1, 1], cyy)


@pytest.mark.parametrize("strength", [0.5, 1.0, 1.3])
def test_strength_multiplies_the_covariance(strength: float) -> None:
    blurs = shapes([2.0, 2.5, 1.7], [1.5, 1.6, 1.7], [20.0, 100.0, 0.0])
    kernels = gaussians_of(strengthen(blurs, strength, 4), 4, 21)
    found = torch.stack(covariances(kernel_shapes(kernels, 4)))
    torch.testing.assert_close(found, strength * torch.stack(covariances(blurs)), rtol=0.02, atol=0.02)


def test_strength_stays_within_the_range() -> None:
    limits = KernelRange.for_scale(4)
    blurs = shapes([3.0, 0.9, 5.0, 0.5], [1.0, 0.9, 5.0, 0.5], [0.0, 0.0, 0.0, 0.0])
    weak, strong = strengthen(blurs, 0.01, 4), strengthen(blurs, 10, 4)
    # A blur outside the range moves at most to the limit on its side.
    assert (weak.sigma_x**2).tolist() == pytest.approx([limits.low] * 3 + [0.25])
    assert (strong.sigma_x**2).tolist() == pytest.approx([limits.high, 8.1, 25, 2.5])
    assert (strong.sigma_y**2).tolist() == pytest.approx([limits.high, 8.1, 25, 2.5])


def median_by_definition(values: Tensor, weights: Tensor, row: int, column: int, radius: int) -> float:
    rows, columns = slice(row, row + 2 * radius + 1), slice(column, column + 2 * radius + 1)
    within = values[rows, columns].flatten(), weights[rows, columns].flatten()
    pairs = sorted(zip(*(part.tolist() for part in within), strict=True))
    total = math.fsum(weight for _, weight in pairs)
    reached = itertools.accumulate(weight for _, weight in pairs)
    return next(float(value) for (value, _), sum_ in zip(pairs, reached, strict=True) if sum_ >= total / 2)


@pytest.mark.parametrize("radius", [1, 3, 4])
def test_the_weighted_median(radius: int) -> None:
    generator = torch.Generator().manual_seed(radius)
    values = torch.rand(2, 7 + 2 * radius, 9 + 2 * radius, generator=generator)
    weights = torch.rand(values.shape[1:], generator=generator)
    weights[weights < 0.3] = 0
    found = weighted_median(values, weights, radius)
    assert found.shape == (2, 7, 9)
    for plane in range(2):
        for row, column in ((0, 0), (3, 5), (6, 8)):
            expected = median_by_definition(values[plane], weights, row, column, radius)
            assert float(found[plane, row, column]) == pytest.approx(expected)


def test_large_radii_take_no_more_pixels() -> None:
    assert median_offsets(1) == [-1, 0, 1]
    assert median_offsets(4) == list(range(-4, 5))
    for radius in (5, 17, 64):
        offsets = median_offsets(radius)
        assert len(offsets) == 9
        assert (offsets[0], offsets[4], offsets[-1]) == (-radius, 0, radius)


def test_medians_know_that_angles_are_round() -> None:
    around = shapes([3.0] * 9, [1.0] * 9, [1.0, 179.0, 2.0, 178.0, 0.0, 1.0, 179.0, 0.5, 179.5])
    median = weighted_median(logarithms(around).reshape(3, 3, 3), torch.ones(3, 3), 1)
    found = shapes_of_logarithms(median)
    assert float(found.sigma_x) == pytest.approx(3, rel=0.01)
    assert float(found.sigma_y) == pytest.approx(1, rel=0.01)
    assert abs((float(found.theta) + 90) % 180 - 90) < 2
