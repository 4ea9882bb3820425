"""Kernels of other tools, which are centred in their array."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from manet_cli.degradations.gaussian import anisotropic_kernels
from manet_cli.degradations.kernel_placement import is_centred, moved_to_placement

SHAPES = [(1.0, 1.0, 0.0), (4.0, 4.0, 0.0), (9.0, 1.0, 0.8), (10.0, 10.0, 0.0), (16.0, 2.0, 1.0)]
SCALES = pytest.mark.parametrize("scale", [2, 3, 4])


def centred(sig1: float, sig2: float, theta: float, shift: float = 0.0) -> Tensor:
    """A Gaussian around the centre of the array, or `shift` pixels right and below it."""
    positions = torch.arange(21, dtype=torch.float64) - 10 - shift
    y, x = torch.meshgrid(positions, positions, indexing="ij")
    along, across = (
        math.cos(theta) * x + math.sin(theta) * y,
        math.cos(theta) * y - math.sin(theta) * x,
    )
    kernel = torch.exp(-0.5 * (along**2 / sig1 + across**2 / sig2))
    return kernel / kernel.sum()


@SCALES
@pytest.mark.parametrize("shape", SHAPES)
def test_a_centred_kernel_is_recognised_and_moved(shape: tuple[float, float, float], scale: int) -> None:
    expected = anisotropic_kernels(*shape, scale=scale, dtype=torch.float64)
    assert is_centred(centred(*shape), scale)
    assert not is_centred(expected, scale)
    moved = moved_to_placement(centred(*shape), scale)
    assert float((moved - expected).abs().max()) < 0.01 * float(expected.max())
    assert float(moved.min()) >= 0
    assert float(moved.sum()) == pytest.approx(1)
    assert not is_centred(moved, scale)


@pytest.mark.parametrize(("width", "most"), [(0.6, 0.21), (0.8, 0.05), (1.0, 0.005)])
@pytest.mark.parametrize("scale", [2, 4])
def test_how_exact_narrow_kernels_are(scale: int, width: float, most: float) -> None:
    expected = anisotropic_kernels(width**2, width**2, 0.0, scale=scale, dtype=torch.float64)
    moved = moved_to_placement(centred(width**2, width**2, 0.0), scale)
    assert most / 3 < float((moved - expected).abs().max()) / float(expected.max()) < most


@SCALES
def test_kernels_that_lie_elsewhere_are_left_alone(scale: int) -> None:
    for shift in (-(scale - 1) / 2, -(scale - 1), (scale - 1) / 4, 3.0):
        assert not is_centred(centred(4, 2, 0.5, shift), scale)
    assert not is_centred(torch.zeros(21, 21), scale)


@SCALES
def test_many_are_moved_as_each_is(scale: int) -> None:
    many = torch.stack([centred(*shape) for shape in SHAPES]).reshape(1, 5, 21, 21)
    moved = moved_to_placement(many.float(), scale)
    assert moved.dtype == torch.float32
    for number, shape in enumerate(SHAPES):
        torch.testing.assert_close(moved[0, number], moved_to_placement(centred(*shape), scale).float())
