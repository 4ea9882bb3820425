"""A round trip through an 8-bit JPEG file in memory."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from manet_cli.degradations.quantization import apply_quantization
from manet_cli.degradations.validation import check_image
from manet_cli.errors import InputError, UsageError

__all__ = ["apply_jpeg", "check_jpeg_quality"]

_LARGEST_SIDE = 65500
"""The longest side that the JPEG library accepts, in pixels."""


def check_jpeg_quality(quality: int) -> None:
    """Refuse a quality that is no whole number from 1 to 100."""
    if not isinstance(quality, int) or isinstance(quality, bool) or not 1 <= quality <= 100:
        raise UsageError(f"The JPEG quality is {quality!r}; expected a whole number from 1 to 100.")


def apply_jpeg(image: Tensor, quality: int | Sequence[int]) -> Tensor:
    """Encode each image as a JPEG (4:2:0 chroma) and decode it again.

    image: (B, C, H, W) in [0, 1], C = 1 or 3; clamped and rounded to 8 bits first, as any file would hold it
    (the public release truncates there, which darkens by half a level).
    quality: 1 to 100 on the scale of libjpeg, one for all images or one for each.
    Returns the same shape, dtype and device, on multiples of 1/255. The work is done on the CPU.
    """
    check_image(image)
    batch, channels, height, width = image.shape
    if channels not in (1, 3):
        raise UsageError(f"The image has {channels} channels; expected 1 or 3 for JPEG.")
    if max(height, width) > _LARGEST_SIDE:
        raise InputError(
            f"The image is {width}x{height}; a JPEG can be at most {_LARGEST_SIDE} pixels a side."
        )
    qualities = [quality] * batch if isinstance(quality, int) else list(quality)
    if len(qualities) != batch:
        raise UsageError(
            f"There are {len(qualities)} JPEG qualities for {batch} image(s); expected one for each."
        )
    for value in qualities:
        check_jpeg_quality(value)
    levels = (apply_quantization(image.detach()) * 255).round().to(torch.uint8)
    decoded = [_round_trip(one, value) for one, value in zip(levels.cpu(), qualities, strict=True)]
    return torch.stack(decoded).to(image) / 255


def _round_trip(levels: Tensor, quality: int) -> Tensor:
    """Code and decode one uint8 image (C, H, W)."""
    pixels = levels.permute(1, 2, 0).contiguous().numpy()
    with io.BytesIO() as file:
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        picture.save(file, format="JPEG", quality=quality, subsampling="4:2:0")
        file.seek(0)
        with Image.open(file) as coded:
            decoded = torch.from_numpy(np.array(coded))
    return decoded.reshape(pixels.shape).permute(2, 0, 1)
