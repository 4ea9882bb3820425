"""An opened Pillow image -> arrays of pixels and alpha, without a silent reduction."""

from __future__ import annotations

import logging
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from manet_cli.images import cmyk, headers, sixteen_bit

__all__ = ["COLOUR_MODES", "GREY_MODES", "decode", "is_deep", "is_grey", "numbers_of", "tiff_depth", "turned"]

_log = logging.getLogger(__name__)

GREY_MODES = frozenset(("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N"))
COLOUR_MODES = frozenset(("RGB", "RGBX", "RGBA", "RGBa", "P", "PA", "CMYK"))


def is_grey(image: Image.Image, file: BinaryIO) -> bool:
    """Whether a picture has grey and perhaps alpha, but no colours."""
    if image.format == "PNG":  # Pillow reads 16-bit grey with transparency as colour
        return headers.png_depth(file)[1] in (headers.PNG_GREY, headers.PNG_GREY_ALPHA)
    return image.mode in GREY_MODES


def is_deep(image: Image.Image, file: BinaryIO) -> bool:
    """Whether a picture has 16 bits per channel in a layout that Pillow would reduce to 8."""
    if image.format == "PNG":
        plain_grey = image.mode.startswith("I;16") and not image.has_transparency_data
        return headers.png_depth(file)[0] > 8 and not plain_grey
    if isinstance(image, TiffImageFile):
        return tiff_depth(image) > 8 and not image.mode.startswith("I;16")
    return False


def tiff_depth(image: TiffImageFile) -> int:
    """Return the largest number of bits of a channel."""
    return max(numbers_of(image.tag_v2.get(headers.TIFF_BITS_PER_SAMPLE, 1)))


def numbers_of(value: Any) -> tuple[int, ...]:  # noqa: ANN401 - Pillow gives a number or a tuple of them
    """Return the values of a tag, as Pillow gives them, as a tuple."""
    return tuple(value) if isinstance(value, tuple) else (value,)


def turned(array: npt.NDArray[Any], turn: int) -> npt.NDArray[Any]:
    """Apply an EXIF orientation, 1..8, to the first two axes (rows, columns)."""
    if turn in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if turn in (2, 3, 6, 7):
        array = array[:, ::-1]
    if turn in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def decode(image: Image.Image, file: BinaryIO, name: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Decode an opened image, with 16 bits per channel if it has them.

    Returns pixels (H, W, C), C = 1 or 3, and alpha (H, W) or None, uint8 or uint16, not turned upright yet.
    """
    return (_deep_arrays if is_deep(image, file) else _arrays)(image, file, name)


def _arrays(
    image: Image.Image, file: BinaryIO, name: str
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Return pixels (H, W, C) and alpha (H, W) or None of an opened image."""
    early_xmp = image.info.pop("xmp", None)  # otherwise Pillow may rotate a TIFF by it
    image.load()
    image.info.setdefault("xmp", early_xmp)
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.uint16)
        white_is_zero = isinstance(image, TiffImageFile) and image.tag_v2.get(headers.TIFF_PHOTOMETRIC) == 0
        return (np.iinfo(np.uint16).max - grey if white_is_zero else grey)[..., np.newaxis], None
    key = None if image.mode in ("P", "PA") else image.info.get("transparency")
    if key is not None and image.format == "PNG" and image.mode == "L":
        depth, _ = headers.png_depth(file)
        key *= 255 // (2**depth - 1)  # Pillow scales 2- and 4-bit greys to 0..255, but not this value
    if image.mode == "CMYK":
        converted, srgb = cmyk.rgb_of_cmyk(image, image.info["icc_profile"], name)
        image.info["icc_profile"] = srgb
        _log.warning("%s: its CMYK colours were converted to sRGB by its profile", name)
        return np.asarray(converted), None
    mode = _plain_mode(image)
    plain = image if image.mode == mode else image.convert(mode)
    values = np.asarray(plain)
    if values.ndim == 2:
        values = values[..., np.newaxis]
    if plain.mode in ("LA", "RGBA"):
        return values[..., :-1], values[..., -1]
    if key is not None:
        return values, np.where((values == np.asarray(key)).all(axis=-1), 0, 255).astype(np.uint8)
    return values, None


def _deep_arrays(
    image: Image.Image, file: BinaryIO, name: str
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Return pixels (H, W, C) and alpha (H, W) or None of an image that Pillow would reduce to 8 bits."""
    values = sixteen_bit.read_pixels(headers.content_of(file), str(image.format), name)
    if isinstance(image, TiffImageFile):
        values = turned(values, image.tag_v2.get(headers.TIFF_ORIENTATION, 1))
    else:
        image.load()  # Pillow needs this to see metadata after the pixels
    channels = 1 if values.shape[2] < 3 else 3
    return values[..., :channels], values[..., channels] if image.has_transparency_data else None


def _plain_mode(image: Image.Image) -> str:
    """Return the mode (L, LA, RGB or RGBA) that stores a decoded 8-bit image without loss."""
    if image.mode in ("P", "PA"):
        return "RGBA" if image.has_transparency_data else "RGB"
    return {"1": "L", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB"}.get(image.mode, image.mode)
