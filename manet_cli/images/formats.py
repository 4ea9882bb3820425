"""The list of output formats: one row each, with all facts about it.

To add a format: write its encoder (see `encoding.Encoder`) and add its row to `FORMATS`. Command help, plans,
memory estimates, disk space, `manet doctor` and the tables in the docs (``python -m tests.format_tables``)
read the row. This module imports neither NumPy nor Pillow, because the help reads the list.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manet_cli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from manet_cli.images.photo import Header

__all__ = [
    "DEFAULT_FORMAT",
    "FORMATS",
    "ImageFormat",
    "check_writable_as",
    "format_by_name",
    "format_for_suffix",
    "has_picture_suffix",
    "has_raw_suffix",
    "has_readable_suffix",
    "listed",
    "load_encoder",
    "readable_titles",
]


@dataclass(frozen=True, kw_only=True)
class ImageFormat:
    """One row: all facts about an output format.

    Attributes:
        name: name for the user, lower case.
        title: name in the docs.
        suffixes: lower case with the dot, the usual one first.
        aliases: other names for the user, lower case.
        pillow_name: Pillow's name of the format.
        encoder: ``module:callable``, imported when the format is first written. Called with an open file and
            an `encoding.OutputSpec`, it returns an `encoding.Encoder`.
        extra: the extra of this package that the encoder needs; None for none.
        pillow_feature: feature of Pillow's build for the format; None if it is always built in.
        streamed: whether the encoder writes rows as they arrive; otherwise it needs the whole picture, which
            is kept on the disk if it is large.
        encoder_memory: bytes that the encoder takes per byte of the result's pixels, at 8 bits.
        encoder_memory_limit: upper limit of these bytes; None for no limit.
        least_share: bytes of a file per byte of its pixels, a low estimate.
        largest_side: longest side of a picture that can be written and read back, pixels.
        largest_area: largest number of pixels of such a picture; None for no limit besides the side.
        bits16: whether 16 bits per channel are kept; otherwise such a picture raises an error.
        grey: whether grey stays one channel; otherwise it becomes RGB.
        grey_with_alpha: likewise, with transparency.
        alpha: whether transparency is kept; otherwise such a picture raises an error.
        metadata: the fields of `Metadata` that are kept.
        record: place of a run's record in the file; None if there is none.
        default_quality: 1 to 100; None for a lossless format.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    pillow_name: str
    encoder: str
    extra: str | None = None
    pillow_feature: str | None = None
    streamed: bool
    encoder_memory: float
    encoder_memory_limit: int | None = None
    least_share: float
    largest_side: int
    largest_area: int | None = None
    bits16: bool
    grey: bool
    grey_with_alpha: bool
    alpha: bool
    metadata: frozenset[str]
    record: str | None
    default_quality: int | None

    def keeps_grey(self, header: Header) -> bool:
        """Whether a picture is grey and stays grey."""
        return header.channels == 1 and (self.grey_with_alpha if header.has_alpha else self.grey)


_INT32 = 2**31 - 1
_ALL_METADATA = frozenset(("exif", "icc_profile", "xmp", "iptc", "dpi"))
_EXIF_ICC_XMP = frozenset(("exif", "icc_profile", "xmp"))

# The size limits are for pictures that Pillow can write and read back, below the formats' limits: libjpeg
# stops at 65500 pixels a side, libavif's decoder at 32768 pixels a side and at 2^28 pixels. A BMP file stays
# below 4 GiB, with 3 bytes per pixel and up to 3 bytes of padding per row. `encoder_memory` was measured on
# 12 megapixels. Above its limit the result is kept on the disk, and JPEG makes no copy of it. `least_share`:
# the smallest of 8 photos were 0.28 as PNG, 0.07 as JPEG, 0.02 as WebP. Less free space is an error at once.
FORMATS = [
    ImageFormat(
        name="png",
        title="PNG",
        suffixes=(".png",),
        pillow_name="PNG",
        encoder="manet_cli.images.lossless:png_encoder",
        streamed=True,
        encoder_memory=0.0,
        least_share=0.25,
        largest_side=_INT32,
        bits16=True,
        grey=True,
        grey_with_alpha=True,
        alpha=True,
        metadata=_ALL_METADATA,
        record="text chunk",
        default_quality=None,
    ),
    ImageFormat(
        name="jpeg",
        title="JPEG",
        suffixes=(".jpg", ".jpeg", ".jpe", ".jfif"),
        aliases=("jpg",),
        pillow_name="JPEG",
        encoder="manet_cli.images.pillow_encoders:jpeg_encoder",
        streamed=False,
        encoder_memory=1.5,
        encoder_memory_limit=400_000_000,
        least_share=0.05,
        largest_side=65500,
        bits16=False,
        grey=True,
        grey_with_alpha=False,
        alpha=False,
        metadata=_ALL_METADATA,
        record="EXIF",
        default_quality=95,
    ),
    ImageFormat(
        name="webp",
        title="WebP",
        suffixes=(".webp",),
        pillow_name="WEBP",
        encoder="manet_cli.images.pillow_encoders:webp_encoder",
        pillow_feature="webp",
        streamed=False,
        encoder_memory=5.0,
        least_share=0.01,
        largest_side=16383,
        bits16=False,
        grey=False,
        grey_with_alpha=False,
        alpha=True,
        metadata=_EXIF_ICC_XMP,
        record="EXIF",
        default_quality=90,
    ),
    ImageFormat(
        name="tiff",
        title="TIFF",
        suffixes=(".tif", ".tiff"),
        aliases=("tif",),
        pillow_name="TIFF",
        encoder="manet_cli.images.lossless:tiff_encoder",
        streamed=True,
        encoder_memory=0.0,
        least_share=0.25,
        largest_side=_INT32,
        bits16=True,
        grey=True,
        grey_with_alpha=True,
        alpha=True,
        metadata=_ALL_METADATA,
        record="EXIF",
        default_quality=None,
    ),
    ImageFormat(
        name="bmp",
        title="BMP",
        suffixes=(".bmp",),
        pillow_name="BMP",
        encoder="manet_cli.images.pillow_encoders:bmp_encoder",
        streamed=False,
        encoder_memory=3.0,
        least_share=1.0,
        largest_side=2**30,
        largest_area=2**30,
        bits16=False,
        grey=True,
        grey_with_alpha=False,
        alpha=False,
        metadata=frozenset(("dpi",)),
        record=None,
        default_quality=None,
    ),
    ImageFormat(
        name="avif",
        title="AVIF",
        suffixes=(".avif",),
        pillow_name="AVIF",
        encoder="manet_cli.images.pillow_encoders:avif_encoder",
        pillow_feature="avif",
        streamed=False,
        encoder_memory=15.0,
        least_share=0.01,
        largest_side=32768,
        largest_area=2**28,
        bits16=False,
        grey=True,
        grey_with_alpha=False,
        alpha=True,
        metadata=_EXIF_ICC_XMP,
        record="EXIF",
        default_quality=85,
    ),
]
"""One row per format that is written."""

DEFAULT_FORMAT = FORMATS[0]
"""The default format of results. It can store every picture."""

_READ_ONLY = {
    "GIF": (".gif",),
    "JPEG 2000": (".jp2", ".j2k", ".jpx", ".jpf", ".jpc", ".j2c"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "HEIC": (".heic", ".heif", ".hif"),
    "JPEG XL": (".jxl",),
}
"""Title of a format that can only be read -> its suffixes."""

_RAW_SUFFIXES = frozenset(
    (
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos"),
        *(".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
    )
)
"""Suffixes of camera raw files, which need an extra."""

_OTHER_PICTURE_SUFFIXES = frozenset(
    (".tga", ".ico", ".psd", ".svg", ".pdf", ".exr")  # neither read nor written
)


def has_readable_suffix(path: Path) -> bool:
    """Whether a path has the suffix of a readable picture, in any case; inputs in folders need one."""
    suffix = path.suffix.lower()
    known = (*_READ_ONLY.values(), _RAW_SUFFIXES)
    return format_for_suffix(path) is not None or any(suffix in some for some in known)


def has_raw_suffix(path: Path) -> bool:
    """Whether a path has the suffix of a camera's raw file, in any case."""
    return path.suffix.lower() in _RAW_SUFFIXES


def has_picture_suffix(path: Path) -> bool:
    """Whether a path has the suffix of any picture, in any case, and so means a file, not a folder."""
    return has_readable_suffix(path) or path.suffix.lower() in _OTHER_PICTURE_SUFFIXES


def readable_titles() -> list[str]:
    """Return the titles of the readable formats."""
    return [*(entry.title for entry in FORMATS), *_READ_ONLY, "camera raw"]


def format_for_suffix(path: Path) -> ImageFormat | None:
    """Return the format of a path's suffix, in any case; None for any other suffix."""
    suffix = path.suffix.lower()
    return next((entry for entry in FORMATS if suffix in entry.suffixes), None)


def format_by_name(name: str) -> ImageFormat:
    """Return the format by its name or alias (`png`, `jpeg` or `jpg`, ...; any case).

    Raises:
        UsageError: there is no such format.
    """
    wanted = name.lower()
    for entry in FORMATS:
        if wanted == entry.name or wanted in entry.aliases:
            return entry
    known = ", ".join(entry.name for entry in FORMATS)
    raise UsageError(f"the format {name!r} is unknown: choose one of {known}")


def load_encoder(format: ImageFormat) -> Callable[..., Any]:
    """Import the encoder of a format.

    Raises:
        OutputError: the encoder needs an extra that is not installed.
    """
    module, _, name = format.encoder.partition(":")
    try:
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
    except ImportError as error:
        if format.extra is None:
            raise
        raise OutputError(
            f"{format.title} files need an extra: pip install 'manet-cli[{format.extra}]', "
            f"or choose {DEFAULT_FORMAT.name}"
        ) from error


def check_writable_as(format: ImageFormat, width: int, height: int, *, alpha: bool, bits: int) -> None:
    """Check that a format can store a picture, and that its encoder is installed.

    Args:
        format: the format.
        width: width of the picture, pixels.
        height: likewise.
        alpha: whether it has transparency.
        bits: bits per channel, 8 or 16.

    Raises:
        OutputError: the format cannot store the picture; the message has the limit and an alternative.
    """
    shown = format.name.upper()
    longest = max(entry.largest_side for entry in FORMATS)
    roomy = _choice(entry for entry in FORMATS if entry.largest_side == longest)
    if max(width, height) > format.largest_side:
        raise OutputError(
            f"{shown} holds at most {format.largest_side} pixels a side, not {width}x{height}: "
            f"choose {roomy}, or a smaller scale or size"
        )
    if format.largest_area is not None and width * height > format.largest_area:
        raise OutputError(
            f"{shown} holds at most {format.largest_area} pixels, not {width}x{height}: "
            f"choose {roomy}, or a smaller scale or size"
        )
    if bits > 8 and not format.bits16:
        deep = _choice(entry for entry in FORMATS if entry.bits16)
        raise OutputError(f"{shown} holds 8 bits per channel, not {bits}: choose {deep}")
    if alpha and not format.alpha:
        transparent = _choice(entry for entry in FORMATS if entry.alpha)
        raise OutputError(f"{shown} is not written with transparency: choose {transparent}")
    load_encoder(format)


def _choice(formats: Iterable[ImageFormat]) -> str:
    return listed(entry.name for entry in formats)


def listed(words: Iterable[str], last: str = "or") -> str:
    """Join words for a sentence: ``a, b or c``."""
    *first, final = words
    return f"{', '.join(first)} {last} {final}" if first else final
