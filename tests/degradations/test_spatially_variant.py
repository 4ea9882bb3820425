"""Types 1-6: the kernel of each block."""

import math

import pytest
import torch

from manet_cli.degradations.gaussian import GaussianParameters
from manet_cli.degradations.spatially_variant import (
    block_parameters,
    spatially_variant_kernels,
    uniform_kernels,
)
from manet_cli.errors import UsageError


def test_type_4_moves_widths_and_angle_over_the_blocks() -> None:
    parameters = block_parameters(4, 121, 160, 4)
    assert parameters.shape == (4, 4, 3)
    assert parameters.dtype == torch.float64
    sig1, sig2, theta = parameters[1, 3].tolist()
    assert sig1 == pytest.approx(9.3 * 3 / 4 + 0.7)
    assert sig2 == pytest.approx(9.3 * 1 / 4 + 0.7)
    assert theta == pytest.approx(math.pi / 4)


def test_type_6_is_a_checkerboard_of_diagonals() -> None:
    theta = block_parameters(6, 80, 120, 2)[..., 2]
    quarter = math.pi / 4
    expected = torch.tensor([[1.0, 3, 1], [3, 1, 3]], dtype=torch.float64) * quarter
    torch.testing.assert_close(theta, expected)


def test_type_5_draws_within_the_range_from_its_generator_alone() -> None:
    torch.manual_seed(0)
    first = block_parameters(5, 800, 800, 3, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(9)
    again = block_parameters(5, 800, 800, 3, generator=torch.Generator().manual_seed(1))
    other = block_parameters(5, 800, 800, 3, generator=torch.Generator().manual_seed(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    widths, theta = first[..., :2], first[..., 2]
    assert widths.min() >= 0.525
    assert widths.max() <= 7.5
    assert widths.mean().item() == pytest.approx(4.01, abs=0.3)
    assert bool((first[..., 0] < first[..., 1]).any())
    assert theta.min() >= 0
    assert theta.max() < math.pi


def test_rows_look_up_the_sampled_pixel() -> None:
    kernels = spatially_variant_kernels(2, 126, 129, 3)  # 40 is no multiple of 3
    assert not kernels.is_uniform
    lr = kernels.lr_rows(0, 42)
    hr = kernels.hr_rows(0, 126)
    assert lr.shape == (42, 43, 21, 21)
    assert torch.equal(lr, hr[::3, ::3])
    assert torch.equal(lr[13, 13], kernels.kernels[0, 0])  # HR pixel 39
    assert torch.equal(lr[14, 13], kernels.kernels[1, 0])  # HR pixel 42
    assert torch.equal(kernels.lr_rows(5, 9), lr[5:9])


def test_one_kernel_is_expanded_without_a_copy() -> None:
    shape = GaussianParameters(9, 1, 0.3)
    kernels = uniform_kernels(shape, 4000, 6000, 4)
    rows = kernels.lr_rows(0, kernels.lr_height)
    assert rows.shape == (1000, 1500, 21, 21)
    assert rows.data_ptr() == kernels.kernels.data_ptr()
    assert kernels.is_uniform
    assert kernels.parameters.flatten().tolist() == [9, 1, 0.3]
    assert torch.equal(rows[7, 9], shape.kernel(4))


def test_wrong_parameters_are_refused_with_a_sentence() -> None:
    with pytest.raises(UsageError, match="one of 1, 2, 3, 4, 5, 6"):
        block_parameters(7, 80, 80, 4)
    with pytest.raises(UsageError, match="seed"):
        block_parameters(5, 80, 80, 4)
    with pytest.raises(UsageError, match="one pixel"):
        block_parameters(1, 0, 80, 4)
    with pytest.raises(UsageError, match="scale is -2"):
        block_parameters(1, 80, 80, -2)
    with pytest.raises(UsageError, match="within 0 to 20"):
        spatially_variant_kernels(1, 80, 80, 4).lr_rows(10, 21)
