"""Make ICC profiles (the same colours always give the same bytes), and inspect them.

A profile is a header of 128 bytes, the number of tags, 12 bytes for each tag (name, offset, length), and the
tags' content. Numbers are big-endian, in units of 1/65536. A curve maps numbers to light; the columns of a
matrix are the primaries in XYZ, adapted to ICC's white, D50.
"""

from __future__ import annotations

import io
import logging
import re
import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

__all__ = ["SRGB_CURVE", "Curve", "ToSrgb", "coloured", "coloured_twin", "fitting", "grey", "srgb"]

_log = logging.getLogger(__name__)

_CREATED = slice(24, 36)  # a profile's date: year, month, day, hour, minute, second
_THE_YEAR_2000 = bytes((0x07, 0xD0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0))
_SPACE = slice(16, 20)
_GREY, _RGB = b"GRAY", b"RGB "
_SPACES = re.compile(rb"GRAY|RGB |CMYK|CMY |Lab |XYZ |Luv |YCbr|Yxy |HSV |HLS |[2-9A-F]CLR")
_D50 = np.array((0.9642, 1.0, 0.8249))
_BRADFORD = np.array(((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)))
_MOST_TAGS = 200

_Corner = tuple[float, float]
Corners = tuple[_Corner, _Corner, _Corner, _Corner]
"""x and y of red, green, blue and white."""

_SRGB_CORNERS: Corners = ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06), (0.3127, 0.329))


class Curve(NamedTuple):
    """Light is (a x + b) ** gamma for x >= `limit`, and slope x below."""

    gamma: float
    a: float = 1.0
    b: float = 0.0
    slope: float = 1.0
    limit: float = 0.0


SRGB_CURVE = Curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def srgb() -> bytes:
    """Return a profile of sRGB."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    content[_CREATED] = _THE_YEAR_2000
    return bytes(content)


def coloured(curve: Curve | bytes, corners: Corners) -> bytes:
    """Return an RGB profile. `curve`: curve of all three channels, or the content of a curve tag."""
    columns = _columns(corners)
    tag = _curve_tag(curve)
    tags = {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True)}
    return _profile(_RGB, tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), tag))


def grey(curve: Curve | bytes) -> bytes:
    """Return a grey profile. `curve`: its curve, or the content of a curve tag."""
    return _profile(_GREY, {b"kTRC": _curve_tag(curve)})


def fitting(profile: bytes, channels: int, name: str) -> bytes | None:
    """Return a profile that fits pixels of 1 or 3 channels: the given one, a grey one, or None.

    Grey pixels with an RGB profile get a grey profile with the same curve. A changed or dropped profile is
    logged as a warning. A block without a colour space is kept unchanged.

    Args:
        profile: profile of the file.
        channels: 1 (grey) or 3.
        name: name of the file in messages.
    """
    space = profile[_SPACE]
    if space == (_GREY if channels == 1 else _RGB) or not _SPACES.fullmatch(space):
        return profile
    curve = _tag(profile, b"gTRC") if channels == 1 and space == _RGB else None
    pixels = "grey" if channels == 1 else "RGB"
    if curve is None:
        _log.warning("%s: its colour profile does not fit its %s pixels and is not kept", name, pixels)
        return None
    _log.warning("%s: its profile is for RGB; its grey pixels get a grey profile with the same curve", name)
    return grey(curve)


def coloured_twin(profile: bytes) -> bytes | None:
    """Return an RGB profile for grey pixels written as RGB; None if the curve is missing."""
    if profile[_SPACE] != _GREY:
        return profile
    curve = _tag(profile, b"kTRC")
    return None if curve is None else coloured(curve, _SRGB_CORNERS)


class ToSrgb:
    """Converts rows of 8 bits from a profile to sRGB, for formats without profiles. Raises PyCMSError.

    Attributes:
        changes: whether any colour changes by more than rounding.
    """

    def __init__(self, profile: bytes) -> None:
        is_grey = profile[_SPACE] == _GREY
        self._transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            *("L" if is_grey else "RGB", "RGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        steps = np.arange(0, 256, 15).astype(np.uint8)
        colours = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(1, -1, 3)
        sample = steps[None, :, None] if is_grey else colours
        self.changes = bool(np.abs(self(sample).astype(int) - sample).max() > 1)

    def __call__(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Convert (rows, width, C), uint8, C 1 or 3, into the same shape."""
        channels = pixels.shape[2]
        values = np.ascontiguousarray(pixels[..., 0] if channels == 1 else pixels)
        converted = ImageCms.applyTransform(Image.fromarray(values), self._transform)
        return np.asarray(converted)[..., :channels]


def _tag(profile: bytes, wanted: bytes) -> bytes | None:
    """Return the content of a curve tag; None if there is none."""
    try:
        (count,) = struct.unpack_from(">L", profile, 128)
        for entry in range(min(count, _MOST_TAGS)):
            name, offset, length = struct.unpack_from(">4sLL", profile, 132 + 12 * entry)
            content = profile[offset : offset + length]
            if name == wanted and len(content) == length and content[:4] in (b"curv", b"para"):
                return content
    except struct.error:
        pass
    return None


def _columns(corners: Corners) -> npt.NDArray[np.float64]:
    """Return XYZ of the three primaries as columns, adapted to D50 by Bradford's matrix."""
    xyz = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in corners]).T
    primaries, white = xyz[:, :3], xyz[:, 3]
    scaled = primaries * np.linalg.solve(primaries, white)
    adapted = _BRADFORD @ _D50 / (_BRADFORD @ white)
    columns: npt.NDArray[np.float64] = np.linalg.solve(_BRADFORD, adapted[:, None] * (_BRADFORD @ scaled))
    return columns


def _curve_tag(curve: Curve | bytes) -> bytes:
    if isinstance(curve, bytes):
        return curve
    if curve.limit == 0:
        return b"para" + struct.pack(">LHH", 0, 0, 0) + _fractions(curve.gamma)
    return b"para" + struct.pack(">LHH", 0, 3, 0) + _fractions(*curve)


def _xyz(values: npt.NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + _fractions(*values)


def _text(text: str) -> bytes:
    words = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">LLL2s2sLL", 0, 1, 12, b"en", b"US", len(words), 28) + words


def _fractions(*values: float) -> bytes:
    return struct.pack(f">{len(values)}l", *(round(value * 65536) for value in values))


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _text("colours of the input"), b"cprt": _text("CC0"), b"wtpt": _xyz(_D50)} | tags
    table, content = bytearray(struct.pack(">L", len(tags))), bytearray()
    start = 128 + 4 + 12 * len(tags)
    places: dict[bytes, int] = {}
    for name, value in tags.items():
        if value not in places:
            places[value] = start + len(content)
            content += value + bytes(-len(value) % 4)
        table += struct.pack(">4sLL", name, places[value], len(value))
    header = struct.pack(">L4xL4s4s4s", start + len(content), 0x04300000, b"mntr", space, b"XYZ ")
    header += _THE_YEAR_2000 + b"acsp" + bytes(28) + _fractions(*_D50)
    return header.ljust(128, b"\0") + bytes(table) + bytes(content)
