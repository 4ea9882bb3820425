"""Pictures in memory <-> photos: NumPy arrays and Pillow images, by the same rules as files."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from manet_cli.errors import InputError
from manet_cli.images.jpeg_traces import file_quality
from manet_cli.images.photo import Metadata, Photo

__all__ = ["array_of", "check_array", "image_of", "photo_of_array", "photo_of_image"]

_CHANNELS = (1, 3, 4)
_PLAIN_MODES = {"1": "L", "L": "L", "LA": "LA", "La": "LA", "P": "RGB", "PA": "RGBA"}
_PLAIN_MODES |= {"RGB": "RGB", "RGBX": "RGB", "RGBA": "RGBA", "RGBa": "RGBA"}


def photo_of_array(array: npt.NDArray[Any]) -> Photo:
    """Return an array as a photo.

    `array`: (H, W) or (H, W, 1) grey, (H, W, 3) RGB, (H, W, 4) RGB and straight alpha; uint8 or
    uint16, the full range of the type. It is copied only if needed. Raises InputError for anything else.
    """
    check_array(array)
    if array.dtype not in (np.uint8, np.uint16):
        raise InputError(f"the array holds {array.dtype}: give uint8, uint16, or floats in [0, 1]")
    pixels = array.astype(array.dtype.newbyteorder("="), copy=False)
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixels.shape[2] < 4:
        return Photo(pixels, None, Metadata())
    return Photo(pixels[..., :3], pixels[..., 3], Metadata())


def check_array(array: npt.NDArray[Any]) -> None:
    """Raise InputError unless an array has the shape of a picture, see `photo_of_array`."""
    known = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in _CHANNELS)
    if not known or array.size == 0:
        raise InputError(
            f"the array has the shape {array.shape}: give (height, width), or (height, width, channels) with "
            "1 (grey), 3 (RGB) or 4 (RGB and alpha) channels"
        )


def array_of(photo: Photo, ndim: int) -> npt.NDArray[Any]:
    """Return a photo as an array (H, W) if `ndim` is 2, else (H, W, C), alpha as the last channel."""
    pixels: npt.NDArray[Any] = photo.pixels
    if photo.alpha is not None:
        pixels = np.dstack((pixels, photo.alpha))
    return pixels[..., 0] if ndim == 2 else pixels


def photo_of_image(image: Image.Image) -> Photo:
    """Return a Pillow image as a photo; as in Pillow, the EXIF orientation is not applied.

    Modes: grey, RGB and palette, each with or without transparency, and 16-bit grey. Raises InputError for
    others, such as CMYK.
    """
    profile = image.info.get("icc_profile")
    metadata = Metadata(icc_profile=profile if isinstance(profile, bytes) else None)
    if 0 in image.size:
        raise InputError("the image is empty: give one with pixels")
    if image.mode.startswith("I;16"):
        return Photo(np.asarray(image).astype(np.uint16)[..., np.newaxis], None, metadata)
    if image.mode not in _PLAIN_MODES:
        raise InputError(f'the image has the mode {image.mode}: give image.convert("RGB") or convert("L")')
    mode = _PLAIN_MODES[image.mode]
    if image.has_transparency_data and mode in ("L", "RGB"):
        mode += "A"
    values = np.asarray(image if image.mode == mode else image.convert(mode))
    if values.ndim == 2:
        values = values[..., np.newaxis]
    if mode in ("LA", "RGBA"):
        return Photo(values[..., :-1], values[..., -1], metadata)
    return Photo(values, None, metadata, file_quality(image))


def image_of(photo: Photo, like: Image.Image) -> Image.Image:
    """Return a photo as a Pillow image with the `info` (profile, EXIF) of another."""
    array = array_of(photo, 3)
    image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    image.info = {key: value for key, value in like.info.items() if key != "transparency"}
    return image
