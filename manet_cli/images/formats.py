"""The file formats that are read and written, and what each of them can hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from manet_cli.errors import OutputError, UsageError

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "ImageFormat",
    "check_writable_as",
    "format_by_name",
    "format_for_suffix",
]


@dataclass(frozen=True)
class ImageFormat:
    """One file format.

    `name` and `aliases`: what a user may type. `suffixes`: lower case with the dot, the usual one first.
    `pillow_name`: the name Pillow knows it by. `largest_side` (pixels) and `largest_area` (pixels, None: no
    limit but the sides'): what can be written and read back. `alpha`, `bits16`, `record`: whether it holds
    transparency, 16 bits per channel, the record of a run. `default_quality`: 1..100, None if the format is
    lossless and has no such setting.
    """

    name: str
    suffixes: tuple[str, ...]
    pillow_name: str
    largest_side: int
    largest_area: int | None = None
    aliases: tuple[str, ...] = ()
    alpha: bool = False
    bits16: bool = False
    default_quality: int | None = None
    record: bool = True


_INT32 = 2**31 - 1

# The sides are those that Pillow both writes and reads back: libjpeg stops at 65500 and libavif's decoder at
# 32768, below what the formats allow. A BMP file stays below 4 GiB, 3 bytes a pixel and up to 3 of padding a
# row; libavif's decoder stops at 2^28 pixels.
FORMATS = (
    ImageFormat("png", (".png",), "PNG", _INT32, alpha=True, bits16=True),
    ImageFormat(
        "jpeg", (".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG", 65500, aliases=("jpg",), default_quality=95
    ),
    ImageFormat("webp", (".webp",), "WEBP", 16383, alpha=True, default_quality=90),
    ImageFormat("tiff", (".tif", ".tiff"), "TIFF", _INT32, aliases=("tif",), alpha=True, bits16=True),
    ImageFormat("bmp", (".bmp",), "BMP", 2**30, 2**30, record=False),
    ImageFormat("avif", (".avif",), "AVIF", 32768, 2**28, alpha=True, default_quality=85),
)

_READ_ONLY_SUFFIXES = (".gif", ".heic", ".heif", ".hif", ".jxl")

IMAGE_SUFFIXES = frozenset(
    (*(suffix for entry in FORMATS for suffix in entry.suffixes), *_READ_ONLY_SUFFIXES)
)
"""Suffixes, lower case with the dot, of the files that are taken from a folder."""


def format_for_suffix(path: Path) -> ImageFormat | None:
    """Give the format that the suffix of `path` stands for, whatever its case; None for any other suffix."""
    suffix = path.suffix.lower()
    return next((entry for entry in FORMATS if suffix in entry.suffixes), None)


def format_by_name(name: str) -> ImageFormat:
    """Give the format a user calls `name` (`png`, `jpeg` or `jpg`, ...; any case).

    Raises UsageError for an unknown name.
    """
    wanted = name.lower()
    for entry in FORMATS:
        if wanted == entry.name or wanted in entry.aliases:
            return entry
    known = ", ".join(entry.name for entry in FORMATS)
    raise UsageError(f"the format {name!r} is unknown: choose one of {known}")


def check_writable_as(format: ImageFormat, width: int, height: int, *, alpha: bool, bits: int) -> None:
    """Raise OutputError with the limit and what to choose instead if `format` cannot hold such a picture.

    `width` and `height`: of the picture to be written, pixels. `bits`: per channel, 8 or 16.
    """
    shown = format.name.upper()
    if max(width, height) > format.largest_side:
        raise OutputError(
            f"{shown} holds at most {format.largest_side} pixels a side, not {width}x{height}: "
            "choose png or tiff, or a smaller scale or size"
        )
    if format.largest_area is not None and width * height > format.largest_area:
        raise OutputError(
            f"{shown} holds at most {format.largest_area} pixels, not {width}x{height}: "
            "choose png or tiff, or a smaller scale or size"
        )
    if bits > 8 and not format.bits16:
        raise OutputError(f"{shown} holds 8 bits per channel, not {bits}: choose png or tiff")
    if alpha and not format.alpha:
        raise OutputError(f"{shown} is not written with transparency: choose png, webp, tiff or avif")
