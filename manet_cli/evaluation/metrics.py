"""The metrics of the published tables: PSNR-Y, SSIM-Y, kernel PSNR, LR-PSNR, and bicubic for comparison.

Images are RGB (1, 3, H, W) in [0, 1]. They are clamped and rounded to 8 bits, and `border` pixels are cut off
on every side (in the protocol: the scale). Y is the luma of BT.601 in 16..235, unrounded in float64; the peak
is 255. Kernels are compared unchanged, with peak 1. PSNR is in dB and infinite for equal inputs, unless
capped. Source of the definitions: Liang et al., ICCV 2021, and Wang et al., "Image quality assessment: from
error visibility to structural similarity", 2004.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from manet_cli.degradations.blur import apply_kernel_map
from manet_cli.degradations.gaussian import KERNEL_SIZE
from manet_cli.degradations.kernel_bands import KernelMap, iterate_kernel_bands
from manet_cli.degradations.quantization import apply_quantization
from manet_cli.errors import UsageError

__all__ = [
    "LR_PSNR_CAP",
    "KernelAgreement",
    "RegisteredPsnr",
    "best_registered_bicubic",
    "compare_kernel_maps",
    "kernel_psnr",
    "lr_psnr",
    "luma",
    "psnr_y",
    "ssim_y",
]

LR_PSNR_CAP = 100.0
"""Upper limit of LR-PSNR in dB, so that a perfect image does not make a mean infinite."""

_SSIM_WINDOW = 11
_SSIM_SIGMA = 1.5
_SSIM_C1 = (0.01 * 255) ** 2
_SSIM_C2 = (0.03 * 255) ** 2
_SSIM_BAND = 256
"""Output rows of SSIM per step, to bound memory."""


@dataclass(frozen=True)
class KernelAgreement:
    """Agreement of estimated kernels with the true kernels, in dB.

    per_pixel: mean kernel PSNR over the LR pixels.
    mean_kernel: kernel PSNR of the mean estimated kernel against the mean true kernel.
    """

    per_pixel: float
    mean_kernel: float


@dataclass(frozen=True)
class RegisteredPsnr:
    """A PSNR-Y in dB at the whole-pixel shift that maximises it.

    shift_y, shift_x: the HR pixel (y, x) was compared with the upscaled pixel (y + shift_y, x + shift_x).
    """

    psnr_y: float
    shift_y: int
    shift_x: int


def psnr_y(image: Tensor, reference: Tensor, *, border: int) -> float:
    """Return the PSNR of the luma of two images (1, 3, H, W), without `border` pixels on every side."""
    first, second = _luma_pair(image, reference, border)
    return _psnr(first, second)


def ssim_y(image: Tensor, reference: Tensor, *, border: int) -> float:
    """Return the SSIM of the luma of two images (1, 3, H, W), without `border` pixels on every side.

    Uses an 11 x 11 Gaussian window of standard deviation 1.5, only where it fits; float64; -1 to 1. Raises
    `UsageError` if less than one window is left.
    """
    first, second = _luma_pair(image, reference, border)
    height, width = first.shape
    if min(height, width) < _SSIM_WINDOW:
        raise UsageError(
            f"{width}x{height} pixels are left within the border; SSIM needs at least "
            f"{_SSIM_WINDOW}x{_SSIM_WINDOW}."
        )
    offsets = torch.arange(_SSIM_WINDOW, dtype=torch.float64, device=first.device) - _SSIM_WINDOW // 2
    window = torch.exp(-(offsets**2) / (2 * _SSIM_SIGMA**2))
    window = window / window.sum()
    rows = height - _SSIM_WINDOW + 1
    total = 0.0
    for start in range(0, rows, _SSIM_BAND):
        stop = min(start + _SSIM_BAND, rows) + _SSIM_WINDOW - 1
        total += float(_similarity(first[start:stop], second[start:stop], window).sum())
    return total / (rows * (width - _SSIM_WINDOW + 1))


def kernel_psnr(estimated: Tensor, true: Tensor) -> Tensor:
    """Return 20 log10(1 / RMSE) between kernels, float64.

    estimated, true: (..., k, k) of shapes that broadcast; the result has the leading shape.
    """
    if estimated.ndim < 2 or true.ndim < 2 or estimated.shape[-2:] != true.shape[-2:]:
        raise UsageError(
            f"The kernels have shapes {tuple(estimated.shape)} and {tuple(true.shape)}; "
            "expected (..., k, k) with the same k."
        )
    squared_error = (_double(estimated) - _double(true)).square().mean(dim=(-2, -1))
    return -10 * torch.log10(squared_error)


def compare_kernel_maps(
    estimated: KernelMap,
    true: KernelMap,
    height: int,
    width: int,
    *,
    kernel_size: int = KERNEL_SIZE,
    max_rows: int = 16,
) -> KernelAgreement:
    """Compare estimated and true kernels over an LR image of height x width pixels, a few rows at a time.

    estimated, true: kernel maps as tensors (height, width, k, k) or in row bands; a true map may come from
    `BlockKernels.lr_rows`. max_rows: rows per step, which bounds memory.
    Raises `UsageError` if a map has another size.
    """
    if height < 1 or width < 1:
        raise UsageError(f"The LR image is {width}x{height}; expected at least one pixel.")
    decibels, estimated_sums, true_sums = [], [], []
    for a, b in zip(
        _map_rows(estimated, height, width, kernel_size, max_rows),
        _map_rows(true, height, width, kernel_size, max_rows),
        strict=True,
    ):
        same_place = b.to(a.device)
        decibels.append(kernel_psnr(a, same_place).sum())
        estimated_sums.append(_double(a).sum(dim=0))
        true_sums.append(_double(same_place).sum(dim=0))
    count = height * width
    mean_estimated, mean_true = (torch.stack(sums).sum(dim=0) / count for sums in (estimated_sums, true_sums))
    per_pixel = float(torch.stack(decibels).sum()) / count
    return KernelAgreement(per_pixel, float(kernel_psnr(mean_estimated, mean_true)))


def lr_psnr(hr: Tensor, lr_clean: Tensor, kernel_map: KernelMap, scale: int) -> float:
    """Return the PSNR-Y of the true HR image, degraded by the estimated kernels, against the LR image.

    hr: (1, 3, H, W), sides multiples of the scale. lr_clean: (1, 3, H / s, W / s), the LR image before noise
    and JPEG. kernel_map: the estimated kernel of every LR pixel, a tensor (H / s, W / s, k, k) or row bands.
    Both LR images are clamped and rounded to 8 bits; `scale` pixels are cut off on every side; at most 100
    dB. Memory is bounded: only LR positions are computed, a few rows at a time.
    """
    redone = apply_kernel_map(hr, kernel_map, scale)
    return min(psnr_y(redone, lr_clean, border=scale), LR_PSNR_CAP)


def best_registered_bicubic(lr: Tensor, hr: Tensor, scale: int) -> RegisteredPsnr:
    """Return the PSNR-Y of bicubic upscaling at its best whole-pixel shift.

    The published kernel placement moves an LR image's content by s - 1 HR pixels. Bicubic upscaling does not
    undo this, so without registration its PSNR would measure the shift. Therefore `lr` (1, 3, H / s, W / s)
    is upscaled (PyTorch's bicubic, a = -0.75, 0.2 dB above Pillow's a = -0.5 on Set5 x4), rounded to 8 bits,
    and compared at every shift of -s..s pixels on both axes. All shifts use the same HR pixels: all without a
    border of s.
    """
    height, width = hr.shape[-2:]
    if tuple(lr.shape[-2:]) != (height / scale, width / scale):
        raise UsageError(
            f"The LR image is {lr.shape[-1]}x{lr.shape[-2]} and the HR image {width}x{height}; "
            f"expected the HR image {scale} times as large."
        )
    if min(height, width) <= 2 * scale:
        raise UsageError(f"The HR image is {width}x{height}; no pixel is left within a border of {scale}.")
    upscaled = F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)
    reference, moving = luma(hr), luma(upscaled)
    inner = reference[scale:-scale, scale:-scale]
    found = [
        RegisteredPsnr(
            _psnr(moving[scale + dy : height - scale + dy, scale + dx : width - scale + dx], inner),
            dy,
            dx,
        )
        for dy in range(-scale, scale + 1)
        for dx in range(-scale, scale + 1)
    ]
    return max(found, key=lambda candidate: candidate.psnr_y)


def _double(values: Tensor) -> Tensor:
    """Convert a tensor to float64 on its device, or on the CPU if the device lacks float64."""
    values = values.detach()
    return (values.cpu() if values.device.type == "mps" else values).double()


def _map_rows(
    kernel_map: KernelMap, height: int, width: int, kernel_size: int, max_rows: int
) -> Iterator[Tensor]:
    """Yield the rows (W, k, k) of a kernel map, reading `max_rows` at a time."""
    for _, band in iterate_kernel_bands(
        kernel_map, height, width, kernel_size=kernel_size, max_rows=max_rows
    ):
        yield from band


def luma(image: Tensor) -> Tensor:
    """Round an image (1, 3, H, W) to 8 bits and return its BT.601 luma (H, W), 16..235, float64."""
    if image.ndim != 4 or tuple(image.shape[:2]) != (1, 3) or not image.is_floating_point():
        raise UsageError(
            f"The image is a {image.dtype} tensor of shape {tuple(image.shape)}; "
            "expected one RGB image (1, 3, H, W) in [0, 1]."
        )
    red, green, blue = apply_quantization(_double(image))[0]
    luma: Tensor = 65.481 * red + 128.553 * green + 24.966 * blue + 16
    return luma


def _luma_pair(image: Tensor, reference: Tensor, border: int) -> tuple[Tensor, Tensor]:
    """Return the luma of two images of the same size without the border, on one device."""
    if image.shape != reference.shape:
        raise UsageError(
            f"The images have shapes {tuple(image.shape)} and {tuple(reference.shape)}; expected the same."
        )
    height, width = image.shape[-2:]
    if border < 0 or min(height, width) <= 2 * border:
        raise UsageError(
            f"A border of {border} pixels does not fit an image of {width}x{height}; expected 0 or more, "
            "with pixels left inside."
        )
    inside = (slice(border, height - border), slice(border, width - border))
    first = luma(image)[inside]
    return first, luma(reference)[inside].to(first.device)


def _psnr(first: Tensor, second: Tensor) -> float:
    squared_error = float((first - second).square().mean())
    return math.inf if squared_error == 0 else 10 * math.log10(255**2 / squared_error)


def _similarity(first: Tensor, second: Tensor, window: Tensor) -> Tensor:
    """Return the SSIM map of two planes (H, W), valid region only."""
    planes = torch.stack((first, second, first * first, second * second, first * second))[:, None]
    filtered = F.conv2d(F.conv2d(planes, window.reshape(1, 1, -1, 1)), window.reshape(1, 1, 1, -1))
    mean_1, mean_2, square_1, square_2, product = filtered[:, 0]
    variance_1, variance_2 = square_1 - mean_1 * mean_1, square_2 - mean_2 * mean_2
    covariance = product - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + _SSIM_C1) / (mean_1 * mean_1 + mean_2 * mean_2 + _SSIM_C1)
    similarity: Tensor = luminance * (2 * covariance + _SSIM_C2) / (variance_1 + variance_2 + _SSIM_C2)
    return similarity
