"""Damaged files of every readable kind."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["damaged", "other_files", "whole_files"]

FIXTURES = Path(__file__).parents[1] / "fixtures"

_WAYS = ("flip", "cut", "swap", "drop", "insert", "zero")


def whole_files() -> dict[str, bytes]:
    """Small pictures by file name."""
    y, x = np.mgrid[:48, :64]
    rgb = np.stack([x * 4 % 256, y * 5 % 256, x * y % 256], axis=-1).astype(np.uint8)
    colour, grey = Image.fromarray(rgb), Image.fromarray(rgb[..., 2])
    clear = Image.fromarray(np.dstack([rgb, rgb[..., 0]]))
    deep = Image.fromarray(rgb[..., 2].astype(np.uint16) * 257)
    few = colour.quantize(16)
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker of cameras", 6
    profile = bytes(16) + b"RGB XYZ " + bytes(range(256))

    def saved(image: Image.Image, format: str, **options: object) -> bytes:
        file = io.BytesIO()
        image.save(file, format, **options)
        return file.getvalue()

    return {
        "colour.png": saved(colour, "PNG", exif=exif, icc_profile=profile, dpi=(72, 72)),
        "grey.png": saved(grey, "PNG"),
        "deep.png": saved(deep, "PNG"),
        "clear.png": saved(clear, "PNG"),
        "few.png": saved(few, "PNG", transparency=3),
        "bits.png": saved(grey.convert("1"), "PNG"),
        "colour.jpg": saved(colour, "JPEG", exif=exif, icc_profile=profile),
        "progressive.jpg": saved(colour, "JPEG", progressive=True),
        "grey.jpg": saved(grey, "JPEG"),
        "colour.webp": saved(colour, "WEBP", exif=exif),
        "clear.webp": saved(clear, "WEBP"),
        "lossless.webp": saved(clear, "WEBP", lossless=True),
        "colour.tif": saved(colour, "TIFF"),
        "lzw.tif": saved(colour, "TIFF", compression="tiff_lzw"),
        "deflated.tif": saved(clear, "TIFF", compression="tiff_adobe_deflate"),
        "packed.tif": saved(grey, "TIFF", compression="packbits"),
        "jpeg.tif": saved(colour, "TIFF", compression="jpeg"),
        "deep.tif": saved(deep, "TIFF"),
        "bits.tif": saved(grey.convert("1"), "TIFF", compression="group4"),
        "colour.bmp": saved(colour, "BMP"),
        "grey.bmp": saved(grey, "BMP"),
        "colour.avif": saved(colour, "AVIF"),
        "clear.avif": saved(clear, "AVIF"),
    }


def other_files() -> dict[str, bytes]:
    """Pictures of other programs, by name: 16 bits, CMYK, many compressions, HEIC, JPEG XL, ..."""
    kinds = (".png", ".jpg", ".tif", ".webp", ".avif", ".gif", ".heic", ".jxl")
    return {path.name: path.read_bytes() for path in sorted(FIXTURES.iterdir()) if path.suffix in kinds}


def damaged(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    """Return the name of a damage and the damaged content, which differs from `content`."""
    while True:
        way = chance.choice(_WAYS)
        changed = bytearray(content)
        _damage(changed, way, chance)
        if changed != content:
            return way, bytes(changed)


def _damage(content: bytearray, way: str, chance: random.Random) -> None:
    size = len(content)
    start, length = chance.randrange(size), chance.choice((1, 4, 16, 100))
    if way == "flip":
        for _ in range(chance.choice((1, 1, 1, 3, 20))):
            content[chance.randrange(size)] ^= 1 << chance.randrange(8)
    elif way == "cut":
        del content[start:]
    elif way == "drop":
        del content[start : start + length]
    elif way == "insert":
        content[start:start] = chance.randbytes(length)
    elif way == "zero":
        content[start : start + length] = bytes(len(content[start : start + length]))
    else:
        other = chance.randrange(size - length)
        start = chance.randrange(size - length)
        one, two = content[start : start + length], content[other : other + length]
        content[start : start + length], content[other : other + length] = two, one
