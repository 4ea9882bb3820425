"""Measure a camera's damage to a picture: noise, and the last or an earlier JPEG compression.

Both are measured on a limited number of small windows, spread evenly over the picture. So time and memory do
not grow for large pictures, and the same pixels always give the same result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from manet_cli.errors import InputError
from manet_cli.images.jpeg_traces import traced_quality
from manet_cli.images.noise import noise_level
from manet_cli.stopping import end_if_stopped

__all__ = ["Damage", "denoise_of", "measure_damage", "names_camera"]

# Noise below the first level (of 255) needs no denoising, above the second full denoising. In between, the
# exponent denoises more than the best PSNR needs, because traces of noise and JPEG look worse than softness.
_NOISE_FROM, _NOISE_FULL, _NOISE_EXPONENT = 1.5, 8.0, 0.6
_QUALITY_FROM, _QUALITY_FULL, _QUALITY_EXPONENT = 100.0, 80.0, 0.6
_CAMERA = 0.85
"""Lower limit for photos whose EXIF names a camera: cameras sharpen, and remove noise and texture."""
_MAKE = 271
_SAME_QUALITY = 5.0
"""Smallest difference from the file's quality at which a traced quality means an earlier compression."""


@dataclass(frozen=True)
class Damage:
    """Damage of a picture.

    Attributes:
        noise: standard deviation of each channel in flat areas, levels of 255. 0 if it cannot be measured: in
            pictures of less than 16 blocks of 8x8 pixels, or if nearly all pixels are clipped. Correlated
            noise is underestimated: 0.6 times the true value at a correlation of 1 pixel.
        jpeg_quality: 1 to 100 on the scale of libjpeg; None without traces of JPEG.
    """

    noise: float
    jpeg_quality: float | None


def denoise_of(damage: Damage, *, from_camera: bool = False) -> float:
    """Return the amount of denoising for the damage: 0 for none, 1 for full.

    It rises with the noise, from 1.5 levels to 8, and with falling quality, from 100 to 80. The two amounts
    a and b combine as 1 - (1 - a) (1 - b).

    Args:
        damage: the measured damage.
        from_camera: whether the picture came directly from a camera, see `names_camera`.
    """
    noise = _ramp(damage.noise, _NOISE_FROM, _NOISE_FULL) ** _NOISE_EXPONENT
    quality = _QUALITY_FROM if damage.jpeg_quality is None else damage.jpeg_quality
    jpeg = _ramp(quality, _QUALITY_FROM, _QUALITY_FULL) ** _QUALITY_EXPONENT
    return float(max(1 - (1 - noise) * (1 - jpeg), _CAMERA if from_camera else 0.0))


def names_camera(exif: bytes | None) -> bool:
    """Whether an EXIF block (it begins with ``II`` or ``MM``) names the maker of a camera."""
    if exif is None:
        return False
    tags = Image.Exif()
    try:
        tags.load(exif)
        return bool(str(tags.get(_MAKE) or "").strip())
    except Exception:  # noqa: BLE001 - a damaged block can raise anything, and names nothing
        end_if_stopped()
        return False


def measure_damage(pixels: npt.NDArray[Any], file_quality: float | None = None) -> Damage:
    """Measure the noise and the traces of JPEG.

    Args:
        pixels: (H, W, 3) RGB or (H, W, 1) grey, uint8 or uint16, the full range of the type.
        file_quality: quality of the JPEG file of the pixels, see `quality_of_tables`; None for other files.
            Traces of an earlier, stronger compression count too.

    Raises:
        InputError: the array has another shape or type.
    """
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"the array has the shape {pixels.shape} and the type {pixels.dtype}: give (height, width, 3) or "
            "(height, width, 1) of uint8 or uint16"
        )
    quality = traced_quality(pixels)
    if file_quality is not None and (quality is None or quality > file_quality - _SAME_QUALITY):
        quality = file_quality
    return Damage(noise_level(pixels, is_jpeg=quality is not None), quality)


def _ramp(value: float, start: float, end: float) -> float:
    return float(min(max((value - start) / (end - start), 0.0), 1.0))
