"""Blur and subsample with one kernel per image, per block or per LR pixel.

Convention: pad the image by k // 2 with its edge values, correlate each channel with the kernel (no flip),
keep rows and columns 0, s, 2s, ... . So LR pixel (i, j) is the sum of kernel times the k x k window of the
padded image whose top-left corner is (s i, s j).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from manet_cli.degradations.gaussian import KERNEL_SIZE
from manet_cli.degradations.kernel_bands import KernelMap, iterate_kernel_bands, rows_in_memory
from manet_cli.degradations.validation import check_image, check_kernel_size, check_scale
from manet_cli.errors import UsageError

__all__ = [
    "Border",
    "apply_block_blur",
    "apply_blur",
    "apply_blur_and_subsample",
    "apply_kernel_map",
    "apply_kernels",
]

Border = Literal["replicate", "valid"]


def apply_blur(image: Tensor, kernels: Tensor, *, border: Border = "replicate") -> Tensor:
    """Blur images at full resolution; arguments and errors as in `apply_blur_and_subsample`."""
    return apply_blur_and_subsample(image, kernels, 1, border=border)


def apply_blur_and_subsample(
    hr: Tensor, kernels: Tensor, scale: int, *, border: Border = "replicate"
) -> Tensor:
    """Blur each image with its kernel and keep every `scale`-th row and column, in one strided convolution.

    hr: (B, C, H, W) in [0, 1]. kernels: (B, k, k), one for each image, or (k, k) / (1, k, k) for all; k odd.
    border: `replicate` pads with the edge values and returns (B, C, ceil(H / s), ceil(W / s)). `valid` does
    not pad: it is for patches with a margin of k // 2 on every side, and subsamples the inner H - k + 1 rows
    and W - k + 1 columns. The result has the dtype and device of `hr`, also under autocast. Raises
    `UsageError` on shapes that don't fit.
    """
    check_image(hr)
    weights = _kernels_per_image(kernels, hr)
    size = weights.shape[-1]
    check_scale(scale)
    if border == "valid" and min(hr.shape[-2:]) < size:
        raise UsageError(
            f"An image of {hr.shape[3]}x{hr.shape[2]} pixels has no inner part for a {size}x{size} kernel; "
            "expected a patch with a margin of half the kernel on every side."
        )
    padded = _pad(hr, size) if border == "replicate" else hr
    return _correlate(padded, weights, scale)


def apply_block_blur(image: Tensor, block_kernels: Tensor, block_size: int, *, scale: int = 1) -> Tensor:
    """Blur with one kernel per square block of the image, and keep every `scale`-th row and column.

    image: (B, C, H, W) in [0, 1]. block_kernels: (ceil(H / block_size), ceil(W / block_size), k, k); the
    block of pixel (y, x) is (y // block_size, x // block_size), and its kernel also reads pixels outside the
    block. Returns (B, C, ceil(H / s), ceil(W / s)). Raises `UsageError` on shapes that don't fit.
    """
    check_image(image)
    batch, channels, height, width = image.shape
    _check_blocks(block_kernels, block_size, height, width)
    size = block_kernels.shape[-1]
    check_kernel_size(size)
    check_scale(scale)
    padded = _pad(image, size)
    blurred = image.new_empty(batch, channels, _ceil_div(height, scale), _ceil_div(width, scale))
    for h in range(block_kernels.shape[0]):
        top, bottom = _sampled(h, block_size, scale, blurred.shape[2])
        for w in range(block_kernels.shape[1]):
            left, right = _sampled(w, block_size, scale, blurred.shape[3])
            if top == bottom or left == right:
                continue
            window = padded[
                :, :, scale * top : scale * (bottom - 1) + size, scale * left : scale * (right - 1) + size
            ]
            weights = block_kernels[h, w].to(image).expand(batch, size, size)
            blurred[:, :, top:bottom, left:right] = _correlate(window, weights, scale)
    return blurred


def apply_kernel_map(
    hr: Tensor,
    kernel_map: KernelMap,
    scale: int,
    *,
    kernel_size: int = KERNEL_SIZE,
    max_bytes: int = 64 * 2**20,
) -> Tensor:
    """Blur an image only at its LR positions, with one kernel per LR pixel.

    hr: (B, C, H, W) in [0, 1], H and W multiples of the scale. kernel_map: one (kernel_size, kernel_size)
    kernel for each LR pixel, as a tensor (H / s, W / s, k, k) or in row bands (see `kernel_bands`), on any
    device and in any floating-point dtype. max_bytes: limit of the work space; it sets the number of rows per
    step (at least one).
    Returns (B, C, H / s, W / s). Raises `UsageError` if the map does not fit the image.
    """
    check_image(hr)
    check_kernel_size(kernel_size)
    check_scale(scale)
    batch, channels, height, width = hr.shape
    if height % scale or width % scale:
        raise UsageError(
            f"The HR image is {width}x{height}; crop it first, so that its sides are multiples of {scale}."
        )
    blurred = hr.new_empty(batch, channels, height // scale, width // scale)
    bytes_per_row = batch * channels * blurred.shape[3] * kernel_size**2 * hr.element_size()
    bands = iterate_kernel_bands(
        kernel_map,
        *blurred.shape[2:],
        kernel_size=kernel_size,
        max_rows=rows_in_memory(bytes_per_row, max_bytes),
    )
    padded = _pad(hr, kernel_size)
    for start, band in bands:
        stop = start + len(band)
        rows = padded[:, :, scale * start : scale * (stop - 1) + kernel_size]
        blurred[:, :, start:stop] = apply_kernels(rows, band.to(hr), scale)
    return blurred


def apply_kernels(window: Tensor, kernels: Tensor, scale: int) -> Tensor:
    """Blur and subsample with one kernel per output pixel, without padding.

    window: (..., s (h - 1) + k, s (w - 1) + k), the pixels under the kernels; up to s - 1 more rows and
    columns are ignored. kernels: (h, w, k, k), or with the leading dimensions of the window, on its device.
    Returns (..., h, w). The work space holds k * k numbers for each number of the result.
    """
    size = kernels.shape[-1]
    windows = window.unfold(-2, size, scale).unfold(-2, size, scale)
    # A product and a sum, not a matrix product: full precision on every device, even with TF32 on.
    return (windows * kernels).sum(dim=(-2, -1))


def _kernels_per_image(kernels: Tensor, image: Tensor) -> Tensor:
    """Bring (k, k), (1, k, k) or (B, k, k) to (B, k, k) with the dtype and device of the image."""
    batch = image.shape[0]
    stacked = kernels[None] if kernels.ndim == 2 else kernels
    if stacked.ndim != 3 or stacked.shape[0] not in (1, batch) or stacked.shape[1] != stacked.shape[2]:
        raise UsageError(
            f"The kernels have shape {tuple(kernels.shape)} for {batch} image(s); "
            "expected one square kernel (k, k), or one for each image (B, k, k)."
        )
    check_kernel_size(stacked.shape[-1])
    return stacked.to(image).expand(batch, -1, -1)


def _check_blocks(block_kernels: Tensor, block_size: int, height: int, width: int) -> None:
    if block_size < 1:
        raise UsageError(f"The block size is {block_size}; expected 1 HR pixel or more.")
    grid = (_ceil_div(height, block_size), _ceil_div(width, block_size))
    shape = tuple(block_kernels.shape)
    if len(shape) != 4 or shape[:2] != grid or shape[2] != shape[3]:
        raise UsageError(
            f"The block kernels have shape {shape}; expected {(*grid, 'k', 'k')}: one square kernel for each "
            f"{block_size}x{block_size} block of the {width}x{height} image."
        )


def _pad(image: Tensor, kernel_size: int) -> Tensor:
    return F.pad(image, (kernel_size // 2,) * 4, mode="replicate")


def _correlate(padded: Tensor, weights: Tensor, stride: int) -> Tensor:
    """Correlate (B, C, H, W) without padding with one kernel (B, k, k) per image.

    Every channel of every image is a separate group. So CUDA runs its direct depthwise kernel in full
    float32. A dense or channels-last convolution would use TF32 if it is on; a single grey image still does.
    Autocast is off for the same reason.
    """
    batch, channels, height, width = padded.shape
    groups = batch * channels
    with torch.autocast(device_type=padded.device.type, enabled=False):
        blurred = F.conv2d(
            padded.reshape(1, groups, height, width).contiguous(),
            weights.repeat_interleave(channels, dim=0)[:, None],
            stride=stride,
            groups=groups,
        )
    return blurred.reshape(batch, channels, *blurred.shape[2:])


def _sampled(block: int, block_size: int, scale: int, lr_size: int) -> tuple[int, int]:
    """Return the range of LR positions whose HR position s * i lies in a block (along one side)."""
    start = min(_ceil_div(block * block_size, scale), lr_size)
    return start, min(_ceil_div((block + 1) * block_size, scale), lr_size)


def _ceil_div(a: int, b: int) -> int:
    """Divide whole numbers, rounding up."""
    return -(-a // b)
