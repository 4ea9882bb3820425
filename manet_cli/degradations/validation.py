"""Checks shared by several degradations; each raises `UsageError`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manet_cli.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["check_image", "check_kernel_size", "check_scale"]


def check_scale(scale: int) -> None:
    """Raise UsageError unless the scale is a whole number of at least 1."""
    if not isinstance(scale, int) or isinstance(scale, bool) or scale < 1:
        raise UsageError(f"The scale is {scale!r}; expected a whole number of at least 1.")


def check_kernel_size(kernel_size: int) -> None:
    """Raise UsageError unless the kernel side is odd and positive, so that it has a middle pixel."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise UsageError(f"The kernel size is {kernel_size}; expected an odd number of pixels, such as 21.")


def check_image(image: Tensor) -> None:
    """Raise UsageError unless the image is a floating-point (B, C, H, W) tensor with at least one pixel."""
    if image.ndim != 4 or image.numel() == 0 or not image.is_floating_point():
        raise UsageError(
            f"The image is a {image.dtype} tensor of shape {tuple(image.shape)}; "
            "expected a non-empty floating-point tensor of shape (B, C, H, W) with values in [0, 1]."
        )
