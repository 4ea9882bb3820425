"""Kernel shapes by moments against known shapes, and the texture measure."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from manet_cli.degradations.gaussian import (
    KERNEL_SIZE,
    GaussianParameters,
    anisotropic_kernels,
    sample_kernels,
)
from manet_cli.degradations.kernel_shape import (
    KernelShapes,
    covariances,
    kernel_centre,
    kernel_shapes,
    moment_weights,
    shapes_from_covariances,
    shapes_from_moments,
)
from manet_cli.degradations.texture import TEXTURE_MARGIN, texture
from manet_cli.errors import UsageError


def angle_between(first: Tensor, second: Tensor) -> Tensor:
    """Smallest angle between two axes, degrees."""
    return ((first - second + 90) % 180 - 90).abs()


def kernel_of(sigma_x: float, sigma_y: float, degrees: float, scale: int = 4) -> Tensor:
    return GaussianParameters.from_degrees(sigma_x**2, sigma_y**2, degrees).kernel(scale)


# The tolerance of x2 allows for sampling its narrowest kernels (0.59 pixels) once per pixel.
@pytest.mark.parametrize(
    ("scale", "tolerance", "degrees"), [(2, 0.017, 1.2), (3, 0.002, 0.1), (4, 0.0035, 0.2)]
)
def test_gaussians_of_the_training_range_come_back(scale: int, tolerance: float, degrees: float) -> None:
    kernels, parameters = sample_kernels(5000, scale, torch.Generator().manual_seed(1))
    found = kernel_shapes(kernels, scale)
    sigma_x, sigma_y = parameters[:, 0].sqrt(), parameters[:, 1].sqrt()
    assert float((found.sigma_x / sigma_x - 1).abs().max()) < tolerance
    assert float((found.sigma_y / sigma_y - 1).abs().max()) < tolerance
    long = sigma_x > 1.2 * sigma_y
    assert int(long.sum()) > 1000
    assert float(angle_between(found.theta, torch.rad2deg(parameters[:, 2]))[long].max()) < degrees
    assert bool((found.sigma_x >= found.sigma_y).all())
    assert bool(((found.theta >= 0) & (found.theta < 180)).all())


def test_the_tails_that_the_array_cuts_off_are_not_missed() -> None:
    kernel = kernel_of(math.sqrt(10), math.sqrt(10), 0).double()
    position = torch.arange(KERNEL_SIZE) - kernel_centre(4)
    plain = float((kernel * position**2).sum())
    assert plain < 0.965 * 10
    assert float(kernel_shapes(kernel, 4).sigma_x) ** 2 == pytest.approx(10, rel=0.007)


def test_a_little_weight_everywhere_does_not_count() -> None:
    spoilt = kernel_of(0.9, 0.9, 0) + 1e-5
    spoilt = spoilt / spoilt.sum()
    position = torch.arange(KERNEL_SIZE) - kernel_centre(4)
    assert float((spoilt * position**2).sum()) > 1.15 * 0.81
    assert float(kernel_shapes(spoilt, 4).sigma_x) == pytest.approx(0.9, rel=0.02)


def test_a_kernel_off_its_place_keeps_its_shape() -> None:
    shifted = kernel_of(2, 1, 30).roll((1, -1), dims=(0, 1))
    found = kernel_shapes(shifted, 4)
    assert float(found.sigma_x) == pytest.approx(2, rel=0.01)
    assert float(found.sigma_y) == pytest.approx(1, rel=0.01)
    assert float(found.theta) == pytest.approx(30, abs=0.5)


def test_shapes_keep_the_shape_of_the_map_and_take_half_precision() -> None:
    kernels = torch.stack([kernel_of(2, 1, 20), kernel_of(1.5, 1.5, 0), kernel_of(3, 1, 170)])
    found = kernel_shapes(kernels.half().reshape(3, 1, KERNEL_SIZE, KERNEL_SIZE), 4)
    assert found.sigma_x.shape == (3, 1)
    assert found.sigma_x.dtype == torch.float32
    assert found.sigma_x[:, 0].tolist() == pytest.approx([2, 1.5, 3], rel=0.01)
    assert found.size[:, 0].tolist() == pytest.approx([math.sqrt(2), 1.5, math.sqrt(3)], rel=0.01)
    assert found.anisotropy[:, 0].tolist() == pytest.approx([2, 1, 3], rel=0.01)
    assert found.theta[[0, 2], 0].tolist() == pytest.approx([20, 170], abs=0.5)


def test_moments_of_codes_are_moments_of_kernels() -> None:
    basis, _ = torch.linalg.qr(torch.randn(441, 15, generator=torch.Generator().manual_seed(0)).double())
    kernel = anisotropic_kernels(4.0, 2.0, 1.0, scale=4, dtype=torch.float64).flatten()
    basis[:, 0] = kernel / kernel.norm()
    basis, _ = torch.linalg.qr(basis)
    codes = kernel @ basis
    found = shapes_from_moments(codes @ (basis.T @ moment_weights(4)))
    assert torch.allclose(torch.stack(found), torch.stack(kernel_shapes(kernel.reshape(21, 21), 4)))


def test_covariances_and_shapes_are_inverse() -> None:
    theta = torch.arange(0, 180, 7.5, dtype=torch.float64)
    shapes = KernelShapes(torch.full_like(theta, 2.5), torch.full_like(theta, 0.8), theta)
    back = shapes_from_covariances(*covariances(shapes))
    for found, given in zip(back[:2], shapes[:2], strict=True):
        assert torch.allclose(found, given)
    assert float(angle_between(back.theta, theta).max()) < 1e-9
    # A long axis that falls from left to right has a positive angle: y points down.
    assert float(shapes_from_covariances(*torch.tensor([2.0, 1.0, 2.0])).theta) == pytest.approx(45)


def test_odd_kernels_give_finite_shapes() -> None:
    single = torch.zeros(21, 21)
    single[8, 8] = 1
    corner = torch.zeros(21, 21)
    corner[20, 20] = 1
    even = torch.full((21, 21), 1 / 441)
    ring = torch.zeros(21, 21)
    ring[[0, 17], :18] = ring[:18, [0, 17]] = 1 / 68
    for kernel in (single, corner, even, ring, torch.zeros(21, 21)):
        found = torch.stack(kernel_shapes(kernel, 4))
        assert bool(torch.isfinite(found).all())
        assert 0.1 < float(found[1]) <= float(found[0]) < 13


@pytest.mark.parametrize("wrong", [torch.zeros(21), torch.zeros(4, 21, 20), torch.zeros(21, 21).long()])
def test_what_are_no_kernels_is_refused(wrong: Tensor) -> None:
    with pytest.raises(UsageError, match="k, k"):
        kernel_shapes(wrong, 4)


def test_texture_of_known_pictures() -> None:
    generator = torch.Generator().manual_seed(0)
    flat = torch.full((1, 3, 40, 50), 0.7)
    noise = (flat + torch.randn(1, 1, 40, 50, generator=generator) * 3 / 255).expand(-1, 3, -1, -1)
    edge = flat.clone()
    edge[..., 25:] = 0.2
    assert float(texture(flat).max()) == 0
    assert float(texture(noise).mean()) == pytest.approx(3 * math.sqrt(2), rel=0.05)
    found = texture(edge)[0]
    assert found.shape == (40, 50)
    # Seen as far as 4 pixels from the last column before the edge, the same in every row.
    assert [x for x in range(50) if float(found[20, x])] == list(range(20, 29))
    assert float(found[0, 24]) == pytest.approx(float(found[20, 24]))
    assert float(found[20, 24]) == pytest.approx(0.5 * 255 / math.sqrt(18), rel=1e-4)


def test_texture_of_rows_read_with_their_margin_is_that_of_the_picture() -> None:
    picture = torch.rand(1, 3, 40, 30, generator=torch.Generator().manual_seed(2))
    part = texture(picture[:, :, 16 - TEXTURE_MARGIN : 24 + TEXTURE_MARGIN])
    assert torch.allclose(part[:, TEXTURE_MARGIN:-TEXTURE_MARGIN], texture(picture)[:, 16:24], atol=1e-3)
