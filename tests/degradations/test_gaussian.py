"""Gaussian kernels: placement, shape, the training distribution."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from manet_cli.degradations.gaussian import (
    KERNEL_SIZE,
    GaussianParameters,
    KernelRange,
    anisotropic_kernels,
    isotropic_kernels,
    sample_kernels,
    sample_parameters,
)
from manet_cli.errors import UsageError


def moments(kernel: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (x, y) and the covariance of a kernel taken as a distribution."""
    y, x = np.mgrid[: kernel.shape[0], : kernel.shape[1]]
    places = np.stack((x.ravel(), y.ravel()))
    weights = kernel.double().numpy().ravel()
    mean = (places * weights).sum(1)
    centred = places - mean[:, None]
    return mean, (weights * centred) @ centred.T


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_placement_is_top_left_and_centred_on_the_smaller_grid(scale: int) -> None:
    kernel = anisotropic_kernels(2.0, 1.0, 0.5, scale=scale, dtype=torch.float64)
    assert kernel.shape == (KERNEL_SIZE, KERNEL_SIZE)
    assert kernel.sum().item() == pytest.approx(1, abs=1e-12)
    side = KERNEL_SIZE - scale + 1
    assert kernel[side:].abs().sum() == 0
    assert kernel[:, side:].abs().sum() == 0
    mean, _ = moments(kernel)
    np.testing.assert_allclose(mean, (side - 1) / 2, atol=1e-9)


def test_parameters_are_variances_and_theta_turns_from_x_towards_y() -> None:
    sig1, sig2, theta = 4.0, 1.5, 0.6
    _, covariance = moments(anisotropic_kernels(sig1, sig2, theta, scale=4, dtype=torch.float64))
    axis = np.array([math.cos(theta), math.sin(theta)])
    across = np.array([-axis[1], axis[0]])
    assert axis @ covariance @ axis == pytest.approx(sig1, rel=1e-3)
    assert across @ covariance @ across == pytest.approx(sig2, rel=1e-3)
    assert axis @ covariance @ across == pytest.approx(0, abs=1e-3)


def test_isotropic_takes_a_standard_deviation() -> None:
    torch.testing.assert_close(
        isotropic_kernels(1.7, scale=3), anisotropic_kernels(1.7**2, 1.7**2, 0.3, scale=3)
    )


def test_a_batch_equals_its_members_and_keeps_its_shape() -> None:
    sig1 = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    theta = torch.tensor([0.1, 0.2, 0.3])
    batch = anisotropic_kernels(sig1, 0.9, theta, scale=4)
    assert batch.shape == (2, 3, KERNEL_SIZE, KERNEL_SIZE)
    assert batch.dtype == torch.float32
    one = anisotropic_kernels(5.0, 0.9, float(theta[1]), scale=4)
    torch.testing.assert_close(batch[1, 1], one, rtol=0, atol=1e-8)


def test_a_very_narrow_kernel_is_still_a_kernel() -> None:
    kernel = anisotropic_kernels(1e-4, 1e-4, 0.0, scale=3)
    assert kernel[9, 9] == 1
    between = anisotropic_kernels(1e-6, 1e-6, 0.0, scale=4)
    assert between.sum() == 1
    assert (between > 0).sum() == 4


def test_parameters_know_their_kernel_and_their_name() -> None:
    shape = GaussianParameters.from_degrees(9, 1, 45)
    assert shape.theta == pytest.approx(math.pi / 4)
    assert shape.label == "9,1,45"
    assert torch.equal(shape.kernel(4), anisotropic_kernels(9.0, 1.0, math.pi / 4, scale=4))


def test_samples_follow_the_training_distribution() -> None:
    limits = KernelRange.for_scale(4)
    assert (limits.low, limits.high) == pytest.approx((0.7, 10.0))
    sig1, sig2, theta = sample_parameters(20_000, limits, torch.Generator().manual_seed(1)).unbind(1)
    assert sig1.min() >= limits.low
    assert sig1.max() <= limits.high
    assert bool((sig2 >= limits.low).all())
    assert bool((sig2 <= sig1).all())
    assert theta.min() >= 0
    assert theta.max() < math.pi
    assert sig1.mean().item() == pytest.approx(5.35, abs=0.06)
    assert sig2.mean().item() == pytest.approx((0.7 + 5.35) / 2, abs=0.06)
    assert theta.mean().item() == pytest.approx(math.pi / 2, abs=0.03)


def test_samples_come_with_their_parameters() -> None:
    kernels, parameters = sample_kernels(5000, 3, torch.Generator().manual_seed(2))
    assert kernels.shape == (5000, KERNEL_SIZE, KERNEL_SIZE)
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(5000))
    for i in (0, 4095, 4096, 4999):  # both sides of a chunk's border
        sig1, sig2, theta = parameters[i].tolist()
        one = anisotropic_kernels(sig1, sig2, theta, scale=3)
        torch.testing.assert_close(kernels[i], one, rtol=0, atol=1e-8)


def test_a_seed_reproduces_and_the_global_generator_plays_no_part() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, _ = sample_kernels(8, 4, torch.Generator().manual_seed(7))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(123)
    again, _ = sample_kernels(8, 4, torch.Generator().manual_seed(7))
    other, _ = sample_kernels(8, 4, torch.Generator().manual_seed(8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_range_of_ones_own() -> None:
    generator = torch.Generator().manual_seed(3)
    _, parameters = sample_kernels(100, 4, generator, kernel_range=KernelRange(2.0, 2.0))
    torch.testing.assert_close(parameters[:, :2], torch.full((100, 2), 2.0, dtype=torch.float64))


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan])
def test_wrong_variances_are_refused(wrong: float) -> None:
    with pytest.raises(UsageError, match="expected"):
        anisotropic_kernels(wrong, 1.0, 0.0, scale=4)
    with pytest.raises(UsageError, match="expected"):
        anisotropic_kernels(1.0, torch.tensor([1.0, wrong]), 0.0, scale=4)
    with pytest.raises(UsageError, match="above 0"):
        isotropic_kernels(wrong, scale=4)
    with pytest.raises(UsageError, match="expected"):
        GaussianParameters(1.0, wrong)
    with pytest.raises(UsageError, match="expected"):
        KernelRange(wrong, 2.0)


def test_other_wrong_parameters_are_refused() -> None:
    with pytest.raises(UsageError, match="radians"):
        anisotropic_kernels(1.0, 1.0, math.nan, scale=4)
    with pytest.raises(UsageError, match="radians"):
        GaussianParameters(1.0, 1.0, math.inf)
    with pytest.raises(UsageError, match="scale is 0"):
        anisotropic_kernels(1.0, 1.0, 0.0, scale=0)
    with pytest.raises(UsageError, match="too large"):
        anisotropic_kernels(1.0, 1.0, 0.0, scale=21)
    with pytest.raises(UsageError, match="odd"):
        anisotropic_kernels(1.0, 1.0, 0.0, scale=2, kernel_size=20)
    with pytest.raises(UsageError, match="0 < low <= high"):
        KernelRange(3.0, 2.0)
    with pytest.raises(UsageError, match="0 or more"):
        sample_kernels(-1, 4, torch.Generator())
