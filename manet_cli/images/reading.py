"""Files -> photos. A picture that cannot be kept faithfully raises an error; nothing is reduced silently."""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from manet_cli.errors import InputError
from manet_cli.images import (
    budgets,
    cicp,
    cmyk,
    headers,
    jpeg2000,
    jpeg_scans,
    jxl,
    plugins,
    raw_files,
    sixteen_bit,
    tiff_pictures,
    tiff_structure,
)
from manet_cli.images.decoding import (
    COLOUR_MODES,
    GREY_MODES,
    decode,
    is_deep,
    is_grey,
    numbers_of,
    tiff_depth,
    turned,
)
from manet_cli.images.files import MAX_PIXELS, memory_reported, open_source, raise_limit, unknown_picture
from manet_cli.images.formats import FORMATS
from manet_cli.images.jpeg_traces import file_quality
from manet_cli.images.metadata import metadata_of, turn_of
from manet_cli.images.photo import Header, Photo
from manet_cli.images.pillow_limit import pillow_limit
from manet_cli.images.warning_log import logged_warnings

__all__ = ["check_claims", "open_image", "read_header", "read_photo"]

_log = logging.getLogger(__name__)

_REFUSED_MODES = {
    "YCbCr": "in uncompressed YCbCr colours",
    "LAB": "in LAB colours",
    "I": "in 32-bit or signed integers",
    "F": "in floating-point numbers",
}
_WHOLE = {"PNG": headers.png_is_whole, "GIF": headers.gif_is_whole, "JPEG2000": jpeg2000.is_whole}

_SEVERAL = "{} contains several pictures (an animation or pages): extract one of them"
_UNREADABLE_MODE = "{} is {}: convert it to RGB or grey of 8 or 16 bits per channel"
_UNREADABLE_COLOURS = "{} is {}, which cannot be kept: convert it to sRGB or Display P3 in an editor"
_UNREADABLE_DEPTH = (
    "{} has {} bits per channel, but only 8 can be read in this format: convert it to 16-bit TIFF or PNG"
)


def read_header(source: Path | bytes, name: str, max_pixels: int = MAX_PIXELS) -> Header:
    """Read the header of a photo, without decoding its pixels.

    Raises InputError as in `read_photo`, for all errors that can be found without decoding. The arguments are
    as in `read_photo`.
    """
    with _opened_raw(source, name, max_pixels) as raw:
        if raw is not None:
            return raw.header
    with open_image(source, name, max_pixels) as (image, file):
        return _checked_header(image, file, name)


def read_photo(source: Path | bytes, name: str, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read and decode a photo, upright, with its metadata.

    `source`: a file, or its content. `name`: name of the file in messages. `max_pixels`: larger pictures
    raise an error.

    CMYK with a profile is converted to sRGB, with a warning in the log. From a phone's JPEG with several
    pictures (MPO), and from a TIFF with previews, the main picture is read. A camera raw file is decoded to
    16-bit sRGB, with its extra. Damaged EXIF is dropped and logged. The EXIF orientation is applied, then set
    to 1 in EXIF and XMP; as in browsers, an orientation only in XMP is not applied.

    Raises InputError if the file is missing, empty, damaged, truncated, not a picture, too large, animated or
    has several pages; for 12-bit, 32-bit or floating-point numbers and LAB, which cannot be kept; for CMYK
    without a profile; for 16-bit colours or transparency, HEIC and JPEG XL without their extras.
    """
    with _opened_raw(source, name, max_pixels) as raw:
        if raw is not None:
            return raw.decode()
    with open_image(source, name, max_pixels) as (image, file):
        _checked_header(image, file, name)
        if image.format == "PNG" and not headers.png_is_sound(file):
            raise InputError(f"{name} is damaged: its checksums are wrong; copy or export it again")
        if image.format in ("JPEG", "MPO"):
            jpeg_scans.check_scans(headers.content_of(file), image.width * image.height, name)
        pixels, alpha = decode(image, file, name)
        if alpha is not None and isinstance(file, _GuessedAlpha):
            alpha = _checked_alpha(alpha, name)
        if isinstance(image, TiffImageFile):
            extra = len(numbers_of(image.tag_v2.get(headers.TIFF_EXTRA_SAMPLES, ()))) - (alpha is not None)
            if extra > 0:
                _log.warning("%s: extra channels that are not read: %d", name, extra)
        if image.format in ("JPEG", "MPO"):
            jpeg_scans.check_jpeg(headers.content_of(file), image, name)
        turn = turn_of(image, file)
        metadata = metadata_of(image, file, name, pixels.shape[2])
        quality = file_quality(image)
    pixels = turned(pixels, turn)
    metadata = replace(metadata, size=(pixels.shape[1], pixels.shape[0]))
    return Photo(pixels, None if alpha is None else turned(alpha, turn), metadata, quality)


@contextmanager
def open_image(
    source: Path | bytes, name: str, max_pixels: int | None = MAX_PIXELS
) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """Open a file as a Pillow image, not decoded, and yield it with the open file.

    `max_pixels`: larger pictures raise an error; None for no limit, if the picture is not decoded. Warnings
    in the block are logged. Raises InputError if the file is missing, empty, too large or not a known
    picture, if its metadata exceed the budget, and for Pillow's errors in the block; OutOfMemoryError.
    """
    with (
        open_source(source, name, max_pixels) as file,
        logged_warnings(name),
        pillow_limit(max_pixels),
        memory_reported(name),
    ):
        kind = headers.kind_of(file)
        budgets.check_size(file, kind, name)
        budgets.check_metadata(file, kind, name)
        formats = (*(entry.pillow_name for entry in FORMATS), *plugins.register(kind, name))
        if kind == "TIFF":
            file = _plain_tiff(file, name)
        if kind == "JPEG 2000":
            profile = _jpeg2000_profile(file, name)
        if kind == "JPEG XL":
            _check_jxl(file, name, MAX_PIXELS if max_pixels is None else max_pixels)
        file.seek(0)
        try:
            image = Image.open(file, formats=formats)
        except MemoryError:
            raise
        except Image.DecompressionBombError as error:
            raise InputError(
                f"{name} has more than twice the limit of {max_pixels} pixels: ", *raise_limit
            ) from error
        except Exception as error:
            raise _unreadable(file, name) from error
        width, height = image.size
        if max_pixels is not None and width * height > max_pixels:
            raise _too_large(name, width, height, max_pixels)
        budgets.check_size(file, kind, name, width * height)
        try:
            with image:
                if kind == "JPEG 2000" and profile:
                    image.info["icc_profile"] = profile
                yield image, file
        except (InputError, MemoryError):
            raise
        except Exception as error:
            raise InputError(
                f"{name} is damaged or cut off and cannot be decoded: copy or export it again"
            ) from error


def check_claims(path: Path, name: str, max_pixels: int = MAX_PIXELS) -> None:
    """Raise InputError for a file that is too large for the picture size that it claims.

    Reads only the header. The arguments are as in `read_photo`.
    """
    with open_source(path, name, max_pixels) as file, memory_reported(name):
        if _is_raw(file, name):
            return
    with open_image(path, name, max_pixels):
        return


def _is_raw(file: BinaryIO, name: str) -> bool:
    """Whether a file is a camera raw file. Raises InputError for one that is too large for its picture."""
    is_tiff = headers.kind_of(file) == "TIFF"
    if is_tiff:  # its directories show whether it is a raw file
        budgets.check_metadata(file, "TIFF", name)
    if not raw_files.is_raw(file, name):
        return False
    pixels = raw_files.claimed_pixels(file) if is_tiff else None
    budgets.check_size(file, budgets.RAW, name, pixels)
    return True


@contextmanager
def _opened_raw(source: Path | bytes, name: str, max_pixels: int) -> Iterator[raw_files.RawPicture | None]:
    """Open a camera raw file; yield None for any other file. Raises InputError, OutOfMemoryError."""
    with open_source(source, name, max_pixels) as file, memory_reported(name):
        if not _is_raw(file, name):
            yield None
            return
        with raw_files.open_raw(file, name) as raw:
            if raw.header.width * raw.header.height > max_pixels:
                raise _too_large(name, raw.header.width, raw.header.height, max_pixels)
            yield raw


class _GuessedAlpha(io.BytesIO):
    """A TIFF whose undeclared extra channel is read as alpha."""


def _plain_tiff(file: BinaryIO, name: str) -> BinaryIO:
    """Return a TIFF file with its main picture first and declared alpha; a damaged file stays unchanged."""
    try:
        pictures = tiff_pictures.examine(file)
        if not pictures.is_first:
            _log.warning(
                "%s: its first picture is a preview; the main picture is read, with only its own EXIF", name
            )
            file = io.BytesIO(tiff_pictures.with_first(headers.content_of(file), pictures.main))
        named = tiff_pictures.with_named_alpha(file, pictures.main)
    except (tiff_structure.CorruptTagsError, struct.error):
        return file
    return file if named is None else _GuessedAlpha(named)


def _checked_alpha(alpha: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return a guessed alpha, or opaque if the channel is empty, and log it."""
    if alpha.any():
        _log.warning("%s: a channel of unknown meaning is read as transparency", name)
        return alpha
    _log.warning("%s: a channel of unknown meaning is empty and is not read", name)
    return np.full_like(alpha, np.iinfo(alpha.dtype).max)


def _check_tiff_pages(file: BinaryIO, name: str) -> None:
    """Raise InputError if a TIFF has several pages; log a page that counts as a preview."""
    pictures = tiff_pictures.examine(file)
    if pictures.several:
        raise InputError(_SEVERAL.format(name))
    if pictures.guessed:
        _log.info("%s: a second page, smaller and of the same shape, counts as a preview", name)


def _jpeg2000_profile(file: BinaryIO, name: str) -> bytes | None:
    """Return the profile, which Pillow does not report; raise InputError for a damaged file."""
    try:
        return jpeg2000.facts_of(file).profile
    except (struct.error, ValueError) as error:
        raise InputError(f"{name} is damaged ({error}): copy or export it again") from error


def _check_jxl(file: BinaryIO, name: str, max_pixels: int) -> None:
    """Raise InputError for pictures that the plugin would reduce or fail on; it decodes on opening."""
    try:
        header = jxl.header(file)
    except jxl.CorruptJxlError as error:
        raise InputError(f"{name} is damaged ({error}): copy or export it again") from error
    if header.width * header.height > max_pixels:
        raise _too_large(name, header.width, header.height, max_pixels)
    if header.is_animated:
        raise InputError(_SEVERAL.format(name))
    if header.is_float:
        raise InputError(_UNREADABLE_MODE.format(name, _REFUSED_MODES["F"]))
    if header.bits > 8:
        raise InputError(_UNREADABLE_DEPTH.format(name, header.bits))


def _too_large(name: str, width: int, height: int, max_pixels: int) -> InputError:
    return InputError(
        f"{name} has {width}x{height} pixels, more than the limit of {max_pixels}: ", *raise_limit
    )


def _unreadable(file: BinaryIO, name: str) -> InputError:
    kind = headers.kind_of(file)
    if kind is None:
        return unknown_picture(name)
    if kind == "TIFF" and (mode := _unreadable_tiff(file)) is not None:
        return InputError(_UNREADABLE_MODE.format(name, mode))
    return InputError(
        f"{name} is a damaged, truncated or unsupported {kind} file: copy it again, or export it as PNG"
    )


def _unreadable_tiff(file: BinaryIO) -> str | None:
    """Return the kind of numbers in a TIFF that Pillow does not support; None for another reason."""
    data = headers.content_of(file)
    try:
        layout, first = tiff_structure.header(data)
        entries, _ = tiff_structure.directory(data, layout, first)
        formats, depths = (
            tiff_structure.numbers(data, layout, entries[tag]) if tag in entries else (1,)
            for tag in (headers.TIFF_SAMPLE_FORMAT, headers.TIFF_BITS_PER_SAMPLE)
        )
    except tiff_structure.CorruptTagsError:
        return None
    if headers.TIFF_FLOAT in formats:
        return _REFUSED_MODES["F"]
    if headers.TIFF_SIGNED in formats or max(depths, default=1) > 16:
        return _REFUSED_MODES["I"]
    return None


def _checked_header(image: Image.Image, file: BinaryIO, name: str) -> Header:
    """Return the header of an opened image; raise InputError for unsupported pictures."""
    width, height = image.size
    if image.format == "TIFF":
        _check_tiff_pages(file, name)
    elif getattr(image, "is_animated", False) and image.format != "MPO":
        raise InputError(_SEVERAL.format(name))
    _check_depth(image, file, name)
    code = cicp.found_in(file, image.format)
    has_profile = image.format != "PNG" and image.info.get("icc_profile")
    if code is not None and not has_profile and (colours := cicp.why_refused(code)) is not None:
        raise InputError(_UNREADABLE_COLOURS.format(name, colours))
    if image.mode not in GREY_MODES | COLOUR_MODES:
        kind = _REFUSED_MODES.get(image.mode, f"in the pixel layout {image.mode}")
        raise InputError(_UNREADABLE_MODE.format(name, kind))
    if image.mode == "CMYK" and not cmyk.is_cmyk_profile(image.info.get("icc_profile")):
        raise InputError(f"{name} is in CMYK colours without a CMYK profile: convert it to RGB in an editor")
    whole = _WHOLE.get(image.format or "")
    if whole and not whole(file):
        raise InputError(f"{name} is cut off before its end: copy or export it again")
    if turn_of(image, file) >= 5:
        width, height = height, width
    deep = is_deep(image, file)
    if deep:
        sixteen_bit.check_readable(name, 16)
    bits = 16 if deep or image.mode.startswith("I;16") else 8
    return Header(width, height, 1 if is_grey(image, file) else 3, image.has_transparency_data, bits)


def _check_depth(image: Image.Image, file: BinaryIO, name: str) -> None:
    """Raise InputError for channels that would silently be reduced to 8 bits or misread."""
    if image.format in ("AVIF", "HEIF"):
        depth = headers.avif_depth(file) if image.format == "AVIF" else int(image.info.get("bit_depth", 8))
        unsupported = depth > 8
    elif image.format == "JPEG2000":
        facts = jpeg2000.facts_of(file)
        depth, unsupported = facts.bits, facts.bits > 8 and image.mode != "I;16"
        if facts.signed:
            raise InputError(_UNREADABLE_MODE.format(name, _REFUSED_MODES["I"]))
    elif image.format == "PPM" and image.mode != "F":
        depth = headers.ppm_depth(file)
        unsupported = depth > 8
    elif isinstance(image, TiffImageFile):
        depth = tiff_depth(image)
        unsupported = depth > 8 and depth != 16 and image.mode not in _REFUSED_MODES
        if max(numbers_of(image.tag_v2.get(headers.TIFF_SAMPLE_FORMAT, 1))) == headers.TIFF_SIGNED:
            raise InputError(_UNREADABLE_MODE.format(name, _REFUSED_MODES["I"]))
        if depth > 8 and image.mode == "CMYK":
            raise InputError(f"{name} is in CMYK colours of {depth} bits: convert it to RGB or to 8 bits")
    else:
        return
    if unsupported:
        raise InputError(_UNREADABLE_DEPTH.format(name, depth))
