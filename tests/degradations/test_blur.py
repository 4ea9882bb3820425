"""Blur: one kernel, a kernel per image, per block and per LR pixel give the same result."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from manet_cli.degradations.blur import (
    apply_block_blur,
    apply_blur,
    apply_blur_and_subsample,
    apply_kernel_map,
)
from manet_cli.degradations.gaussian import GaussianParameters, sample_kernels
from manet_cli.degradations.spatially_variant import spatially_variant_kernels
from manet_cli.errors import UsageError


def random_image(batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def random_kernels(n: int, scale: int = 4, seed: int = 0) -> Tensor:
    return sample_kernels(n, scale, torch.Generator().manual_seed(seed))[0]


def slow_blur(image: Tensor, kernels: np.ndarray) -> np.ndarray:
    """Blur (C, H, W) pixel by pixel, pixel (y, x) with kernels[y, x]."""
    size = kernels.shape[-1]
    reach = size // 2
    source = image.double().numpy()
    channels, height, width = source.shape
    result = np.empty((channels, height, width))
    rows = np.arange(height + 2 * reach) - reach
    columns = np.arange(width + 2 * reach) - reach
    padded = source[:, rows.clip(0, height - 1)][:, :, columns.clip(0, width - 1)]
    for y in range(height):
        for x in range(width):
            result[:, y, x] = (padded[:, y : y + size, x : x + size] * kernels[y, x]).sum((1, 2))
    return result


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_a_delta_kernel_is_the_identity(scale: int) -> None:
    image = random_image(2, 24, 36)
    delta = torch.zeros(21, 21)
    delta[10, 10] = 1
    expected = image[:, :, ::scale, ::scale]
    assert torch.equal(apply_blur_and_subsample(image, delta, scale), expected)
    per_pixel = delta.expand(24 // scale, 36 // scale, 21, 21)
    assert torch.equal(apply_kernel_map(image, per_pixel, scale), expected)


def test_a_shifted_delta_shows_correlation_and_edge_padding() -> None:
    image = random_image(1, 9, 9)
    shift = torch.zeros(5, 5)
    shift[0, 3] = 1  # two rows up, one column to the right
    blurred = apply_blur(image, shift)
    assert torch.equal(blurred[..., 2:, :-1], image[..., :-2, 1:])
    assert torch.equal(blurred[..., 0, :-1], image[..., 0, 1:])
    assert torch.equal(blurred[..., 2:, -1], image[..., :-2, -1])


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(48, 36), (31, 29), (5, 3)])
def test_one_strided_step_equals_blur_then_subsample(scale: int, height: int, width: int) -> None:
    image = random_image(3, height, width)
    kernels = random_kernels(3, scale)
    stepwise = apply_blur(image, kernels)[:, :, ::scale, ::scale]
    torch.testing.assert_close(apply_blur_and_subsample(image, kernels, scale), stepwise, rtol=0, atol=1e-6)


def test_each_image_of_a_batch_gets_its_own_kernel() -> None:
    image, kernels = random_image(3, 32, 32), random_kernels(3)
    together = apply_blur_and_subsample(image, kernels, 4)
    for i in range(3):
        alone = apply_blur_and_subsample(image[i : i + 1], kernels[i], 4)
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-6)


def test_the_valid_border_is_the_inner_part_of_a_larger_image() -> None:
    image, kernels = random_image(2, 60, 68), random_kernels(2)
    inner = apply_blur(image, kernels)[:, :, 10:-10, 10:-10][:, :, ::4, ::4]
    torch.testing.assert_close(
        apply_blur_and_subsample(image, kernels, 4, border="valid"), inner, rtol=0, atol=1e-6
    )


def test_dtype_follows_the_image_also_under_autocast() -> None:
    image, kernels = random_image(1, 24, 24), random_kernels(1)
    plain = apply_blur(image, kernels)
    assert apply_blur(image.double(), kernels).dtype == torch.float64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = apply_blur(image, kernels)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, plain)


def test_memory_layout_does_not_matter() -> None:
    image, kernels = random_image(2, 24, 28), random_kernels(2)
    interleaved = image.to(memory_format=torch.channels_last)
    assert torch.equal(
        apply_blur_and_subsample(interleaved, kernels, 4), apply_blur_and_subsample(image, kernels, 4)
    )


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_constant_kernel_map_equals_plain_blur(scale: int) -> None:
    image, kernel = random_image(2, 36, 48), random_kernels(1, scale)[0]
    plain = apply_blur_and_subsample(image, kernel, scale)
    constant = kernel.expand(36 // scale, 48 // scale, 21, 21)
    torch.testing.assert_close(apply_kernel_map(image, constant, scale), plain, rtol=0, atol=2e-6)
    blocks = kernel.expand(3, 4, 21, 21)
    torch.testing.assert_close(apply_block_blur(image, blocks, 14, scale=scale), plain, rtol=0, atol=2e-6)


@pytest.mark.parametrize("max_bytes", [1, 100_000, 2**26])
def test_a_kernel_map_may_come_in_any_bands(max_bytes: int) -> None:
    image = random_image(1, 40, 32)
    kernels = random_kernels(80).reshape(10, 8, 21, 21)
    whole = apply_kernel_map(image, kernels, 4)
    asked: list[tuple[int, int]] = []

    def rows(start: int, stop: int) -> Tensor:
        asked.append((start, stop))
        return kernels[start:stop]

    def bands() -> Iterator[Tensor]:
        yield from (kernels[:3], kernels[3:4], kernels[4:])

    assert torch.equal(apply_kernel_map(image, kernels, 4, max_bytes=max_bytes), whole)
    assert torch.equal(apply_kernel_map(image, rows, 4, max_bytes=max_bytes), whole)
    assert torch.equal(apply_kernel_map(image, bands(), 4, max_bytes=max_bytes), whole)
    assert asked[-1][1] == 10
    if max_bytes == 1:
        assert asked == [(i, i + 1) for i in range(10)]


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("mode", [1, 2, 3, 4, 5, 6])
def test_spatially_variant_types_equal_a_slow_per_pixel_blur(mode: int, scale: int) -> None:
    height, width = 48, 84  # 2 x 3 blocks, the last ones cut short
    image = random_image(1, height, width)
    kernels = spatially_variant_kernels(
        mode, height, width, scale, generator=torch.Generator().manual_seed(5)
    )
    per_pixel = np.empty((height, width, 21, 21))
    for y in range(height):
        for x in range(width):
            sig1, sig2, theta = kernels.parameters[y // 40, x // 40].tolist()
            turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
            if y % 40 == 0 and x % 40 == 0:
                inverse = np.linalg.inv(turn @ np.diag([sig1, sig2]) @ turn.T)
                positions = np.arange(22 - scale) - (21 - scale) / 2
                place = np.stack(np.meshgrid(positions, positions), -1)
                kernel = np.zeros((21, 21))
                value = np.exp(-0.5 * np.einsum("yxi,ij,yxj->yx", place, inverse, place))
                kernel[: 22 - scale, : 22 - scale] = value / value.sum()
                per_pixel[y : y + 40, x : x + 40] = kernel
    expected = slow_blur(image[0], per_pixel)
    full = apply_block_blur(image, kernels.kernels, kernels.block_size)
    np.testing.assert_allclose(full[0].numpy(), expected, atol=3e-6)
    small = apply_block_blur(image, kernels.kernels, kernels.block_size, scale=scale)
    np.testing.assert_allclose(small[0].numpy(), expected[:, ::scale, ::scale], atol=3e-6)
    mapped = apply_kernel_map(image, kernels.lr_rows, scale)
    torch.testing.assert_close(mapped, small, rtol=0, atol=3e-6)


def test_blocks_smaller_than_the_scale_are_passed_over() -> None:
    image = random_image(1, 8, 8)
    kernels = random_kernels(64).reshape(8, 8, 21, 21)
    expected = apply_kernel_map(image, kernels[::4, ::4], 4)
    torch.testing.assert_close(apply_block_blur(image, kernels, 1, scale=4), expected, rtol=0, atol=2e-6)


def test_a_flat_image_stays_flat() -> None:
    flat = torch.full((1, 3, 30, 30), 0.25)
    torch.testing.assert_close(apply_blur(flat, GaussianParameters(9, 1, 0.5).kernel(3)), flat)


def test_wrong_shapes_are_refused_with_a_sentence() -> None:
    image, kernels = random_image(2, 24, 24), random_kernels(3)
    with pytest.raises(UsageError, match="for 2 image"):
        apply_blur(image, kernels)
    with pytest.raises(UsageError, match="odd"):
        apply_blur(image, torch.full((4, 4), 1 / 16))
    with pytest.raises(UsageError, match="floating-point"):
        apply_blur((image * 255).byte(), kernels[0])
    with pytest.raises(UsageError, match=r"\(B, C, H, W\)"):
        apply_blur(image[0], kernels[0])
    with pytest.raises(UsageError, match="scale is 0"):
        apply_blur_and_subsample(image, kernels[0], 0)
    with pytest.raises(UsageError, match="margin"):
        apply_blur_and_subsample(image[..., :20], kernels[0], 4, border="valid")
    with pytest.raises(UsageError, match="block"):
        apply_block_blur(image, kernels[:, None], 40)
    with pytest.raises(UsageError, match="block size is 0"):
        apply_block_blur(image, kernels[:, None], 0)


def test_kernel_maps_of_another_image_are_refused() -> None:
    image, kernel = random_image(1, 24, 24), random_kernels(1)
    with pytest.raises(UsageError, match="one kernel for each pixel"):
        apply_kernel_map(image, kernel.expand(6, 5, 21, 21), 4)
    with pytest.raises(UsageError, match="6 rows"):
        apply_kernel_map(image, kernel.expand(5, 6, 21, 21), 4)
    with pytest.raises(UsageError, match="6 rows"):
        apply_kernel_map(image, iter([kernel.expand(4, 6, 21, 21)] * 2), 4)
    with pytest.raises(UsageError, match="one kernel for each pixel"):
        apply_kernel_map(image, F.pad(kernel, (1, 1, 1, 1)).expand(6, 6, 23, 23), 4)
    with pytest.raises(UsageError, match="crop it first"):
        apply_kernel_map(image[..., :23], kernel.expand(6, 6, 21, 21), 4)
