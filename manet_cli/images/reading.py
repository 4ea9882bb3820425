"""Files -> photos. What cannot be kept faithfully is refused with a sentence, never quietly reduced."""

from __future__ import annotations

import io
import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from manet_cli.errors import InputError
from manet_cli.images import exif, headers
from manet_cli.images.formats import FORMATS
from manet_cli.images.photo import Header, Metadata, Photo
from manet_cli.images.quiet import logged_warnings

__all__ = ["MAX_PIXELS", "open_image", "read_header", "read_photo"]

_log = logging.getLogger(__name__)

MAX_PIXELS = 178_956_970
"""The most pixels that are decoded: a file of a few kilobytes may claim thousands of millions."""

_READ_BY_PILLOW = tuple(entry.pillow_name for entry in FORMATS)
_KNOWN = "a PNG, JPEG, WebP, TIFF, BMP or AVIF picture"
_GREY_MODES = frozenset(("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N"))
_COLOUR_MODES = frozenset(("RGB", "RGBX", "RGBA", "RGBa", "P", "PA"))
_REFUSED_MODES = {
    "CMYK": "in CMYK colours, which only a colour-managed editor turns into RGB rightly",
    "YCbCr": "in uncompressed YCbCr colours",
    "LAB": "in LAB colours",
    "I": "in 32-bit or signed integers",
    "F": "in floating-point numbers",
}
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[1-8]")


def read_header(source: Path | bytes, name: str) -> Header:
    """Read what a photo will be, without decoding its pixels.

    `source`: a file, or the content of one. `name`: what messages call it. Raises InputError for everything
    that `read_photo` refuses, as far as the file shows it before its pixels are decoded.
    """
    with open_image(source, name) as (image, file):
        return _checked_header(image, file, name)


def read_photo(source: Path | bytes, name: str) -> Photo:
    """Read and decode a photo, upright, with its metadata.

    `source`: a file, or the content of one. `name`: what messages call it.

    Raises InputError if the file is missing, empty, damaged, cut off, no picture, larger than `MAX_PIXELS`,
    animated or of several pages, or holds what cannot be kept: colours or transparency of more than 8 bits,
    12-bit grey, 32-bit or floating-point numbers, CMYK, LAB. Of a phone's JPEG with several pictures inside
    (MPO) the main one is read. EXIF that is damaged is dropped and logged. The orientation of the EXIF is
    applied, and reset to 1 there and in the XMP; that of an XMP alone is not applied, as in browsers.
    """
    with open_image(source, name) as (image, file):
        _checked_header(image, file, name)
        if image.format == "PNG" and not headers.png_is_sound(file):
            raise InputError(f"{name} is damaged: its checksums do not fit; copy or export it again")
        early_xmp = image.info.pop("xmp", None)  # else Pillow may turn a TIFF by it
        image.load()
        image.info.setdefault("xmp", early_xmp)
        pixels, alpha = _arrays(image, file)
        turn = _orientation(image, file)
        metadata = _metadata(image, file, name)
    return Photo(_turned(pixels, turn), None if alpha is None else _turned(alpha, turn), metadata)


@contextmanager
def open_image(source: Path | bytes, name: str) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """Open a file as a Pillow image, not yet decoded, and give it with the file it reads from.

    Warnings raised meanwhile are logged. Raises InputError if it is missing, empty, too large or not a known
    picture, and for whatever Pillow raises while the block reads from it.
    """
    with _opened_file(source, name) as file, logged_warnings(name):
        try:
            image = Image.open(file, formats=_READ_BY_PILLOW)
        except MemoryError:
            raise
        except Image.DecompressionBombError as error:
            raise InputError(
                f"{name} has more than the {MAX_PIXELS} pixels that are read: make it smaller"
            ) from error
        except Exception as error:
            raise InputError(_why_unknown(file, name)) from error
        try:
            with image:
                yield image, file
        except (InputError, MemoryError):
            raise
        except Exception as error:
            raise InputError(
                f"{name} is damaged or cut off and cannot be decoded: copy or export it again"
            ) from error


def _opened_file(source: Path | bytes, name: str) -> BinaryIO:
    if isinstance(source, bytes):
        if not source:
            raise InputError(f"{name} is empty: give {_KNOWN}")
        return io.BytesIO(source)
    try:
        if source.is_dir():
            raise InputError(f"{name} is a folder: give {_KNOWN}")
        if source.exists() and not source.is_file():
            raise InputError(f"{name} is not a regular file: give {_KNOWN}")
        if source.stat().st_size == 0:
            raise InputError(f"{name} is empty: give {_KNOWN}")
        return source.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist: check the path") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is not valid"
        raise InputError(f"{name} cannot be read ({reason}): check the path and its permissions") from error


def _why_unknown(file: BinaryIO, name: str) -> str:
    kind = headers.kind_of(file)
    if kind is None:
        return f"{name} is not {_KNOWN}: convert it to PNG"
    return f"{name} is a damaged, cut off or unsupported {kind} file: copy it again, or export it as PNG"


def _checked_header(image: Image.Image, file: BinaryIO, name: str) -> Header:
    """Give the header of an opened image, or raise InputError for what is not read."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{name} has {width}x{height} pixels, more than the {MAX_PIXELS} that are read: make it smaller"
        )
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise InputError(f"{name} holds several pictures (an animation or pages): extract the one wanted")
    _check_depth(image, file, name)
    if image.mode not in _GREY_MODES | _COLOUR_MODES:
        kind = _REFUSED_MODES.get(image.mode, f"in the pixel layout {image.mode}")
        raise InputError(f"{name} is {kind}: convert it to 8-bit RGB or to 8- or 16-bit grey")
    if image.format == "PNG" and not headers.png_is_whole(file):
        raise InputError(f"{name} is cut off before its end: copy or export it again")
    if _orientation(image, file) >= 5:
        width, height = height, width
    bits = 16 if image.mode.startswith("I;16") else 8
    has_alpha = image.has_transparency_data
    if bits == 16 and has_alpha:
        raise InputError(
            f"{name} is 16-bit grey with transparency: convert it to 8 bits or remove the transparency"
        )
    return Header(width, height, 1 if image.mode in _GREY_MODES else 3, has_alpha, bits)


def _check_depth(image: Image.Image, file: BinaryIO, name: str) -> None:
    """Raise InputError for the channels that Pillow would reduce to 8 bits or misread without a word."""
    if image.format == "PNG":
        depth, colour_type = headers.png_depth(file)
        unsupported = depth > 8 and colour_type != headers.PNG_GREY
    elif image.format == "AVIF":
        depth = headers.avif_depth(file)
        unsupported = depth > 8
    elif isinstance(image, TiffImageFile):
        depth = max(_numbers(image.tag_v2.get(headers.TIFF_BITS_PER_SAMPLE, 1)))
        whole_grey = depth == 16 and image.mode.startswith("I;16")
        unsupported = depth > 8 and not whole_grey and image.mode not in _REFUSED_MODES
        if max(_numbers(image.tag_v2.get(headers.TIFF_SAMPLE_FORMAT, 1))) == headers.TIFF_SIGNED:
            raise InputError(
                f"{name} is {_REFUSED_MODES['I']}: convert it to 8-bit RGB or to 8- or 16-bit grey"
            )
    else:
        return
    if unsupported:
        raise InputError(
            f"{name} has {depth} bits per channel; only 8-bit pictures and 16-bit grey are read: "
            "convert it to 8 bits per channel"
        )


def _numbers(value: Any) -> tuple[int, ...]:  # noqa: ANN401 - Pillow gives a number or a tuple of them
    return tuple(value) if isinstance(value, tuple) else (value,)


def _raw_exif(image: Image.Image, file: BinaryIO) -> bytes | None:
    """Give the EXIF block as the file has it, before any check; None if it has none."""
    raw = image.info.get("exif")
    if raw is None and image.format == "PNG":
        raw = headers.png_late_exif(file)
    if raw is None and isinstance(legacy := image.info.get("Raw profile type exif"), str):
        # ImageMagick's older form: a blank line, "exif", the length, lines of hexadecimal digits
        digits = "".join(legacy.split()[2:])
        raw = bytes.fromhex(digits) if re.fullmatch("(?:[0-9a-fA-F]{2})*", digits) else None
    return raw if isinstance(raw, bytes) else None


def _orientation(image: Image.Image, file: BinaryIO) -> int:
    """Give the turn, 1..8, still to be applied; Pillow turns a TIFF, and swaps its sides, by itself."""
    raw = None if image.format == "TIFF" else _raw_exif(image, file)
    if raw is None:
        return 1
    try:
        return exif.orientation(raw)
    except exif.CorruptExifError:
        return 1


def _turned(array: npt.NDArray[Any], turn: int) -> npt.NDArray[Any]:
    """Apply an EXIF orientation, 1..8, to the first two axes (rows, columns)."""
    if turn in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if turn in (2, 3, 6, 7):
        array = array[:, ::-1]
    if turn in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def _arrays(image: Image.Image, file: BinaryIO) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8] | None]:
    """Give pixels (H, W, C) and alpha (H, W) or None of a decoded image."""
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.uint16)
        white_is_zero = isinstance(image, TiffImageFile) and image.tag_v2.get(headers.TIFF_PHOTOMETRIC) == 0
        return (np.iinfo(np.uint16).max - grey if white_is_zero else grey)[..., np.newaxis], None
    key = None if image.mode in ("P", "PA") else image.info.get("transparency")
    if key is not None and image.format == "PNG" and image.mode == "L":
        depth, _ = headers.png_depth(file)
        key *= 255 // (2**depth - 1)  # Pillow spreads 2- and 4-bit greys over 0..255, but not this one
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


def _plain_mode(image: Image.Image) -> str:
    """Give the one of L, LA, RGB and RGBA that holds a decoded 8-bit image without loss."""
    if image.mode in ("P", "PA"):
        return "RGBA" if image.has_transparency_data else "RGB"
    return {"1": "L", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB"}.get(image.mode, image.mode)


def _metadata(image: Image.Image, file: BinaryIO, name: str) -> Metadata:
    """Collect what is kept beside the pixels of a decoded image."""
    block = None
    try:
        if image.format == "TIFF":
            file.seek(0)
            raw = exif.from_tiff(file.read())
        else:
            raw = _raw_exif(image, file)
        block = exif.cleaned(raw) if raw is not None else None
    except exif.CorruptExifError as error:
        _log.warning("%s: its EXIF cannot be followed and is not kept: %s", name, error)
    profile = image.info.get("icc_profile")
    xmp = image.info.get("xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    if isinstance(xmp, bytes):
        xmp = _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
    return Metadata(
        exif=block,
        icc_profile=profile if isinstance(profile, bytes) and profile else None,
        xmp=xmp if isinstance(xmp, bytes) and xmp else None,
        dpi=_dpi(image.info.get("dpi")),
    )


def _dpi(value: object) -> tuple[float, float] | None:
    """Give a resolution that every format can hold, None for any other."""
    if not isinstance(value, tuple) or len(value) != 2:
        return None
    try:
        across, down = float(value[0]), float(value[1])
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if (
        not (math.isfinite(across) and math.isfinite(down))
        or min(across, down) < 1
        or max(across, down) > 65535
    ):
        return None
    return across, down
