"""Colours named by numbers instead of an ICC profile: PNG's cICP chunk, and `nclx` in AVIF and HEIC.

ITU-T H.273 defines the numbers (coding-independent code points): primaries, transfer curve, matrix, and full
or video range. Decoders apply the matrix and the range. For primaries and curve we make an ICC profile,
because some formats cannot store the numbers.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

from manet_cli.images import headers, profiles
from manet_cli.images.profiles import Curve

__all__ = ["CodePoints", "found_in", "profile_for", "why_refused"]

_UNSPECIFIED = (0, 2, 3)
_BT709, _SRGB = 1, 13
_LIKE_BT709 = (1, 6, 14, 15)
_HDR = {16: "PQ", 18: "HLG"}
_D65, _C, _DCI = (0.3127, 0.329), (0.31, 0.316), (0.314, 0.351)
_BT601 = ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), _D65)
# number: x and y of red, green, blue and white
_PRIMARIES = {
    1: ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06), _D65),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.6), (0.15, 0.06), _D65),
    6: _BT601,
    7: _BT601,
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046), _D65),
    11: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), _DCI),
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), _D65),
    22: ((0.63, 0.34), (0.295, 0.605), (0.155, 0.077), _D65),
}
_FROM_BT709 = Curve(1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_CURVES = {
    **dict.fromkeys(_LIKE_BT709, _FROM_BT709),
    4: Curve(2.2),
    5: Curve(2.8),
    7: Curve(1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4.0, 0.0912),
    8: Curve(1.0),
    _SRGB: profiles.SRGB_CURVE,
}


class CodePoints(NamedTuple):
    """Numbers of the primaries and of the transfer curve, and whether the range is full."""

    primaries: int
    transfer: int
    full_range: bool


def found_in(file: BinaryIO, format_name: str | None) -> CodePoints | None:
    """Return the numbers in a file of Pillow's format `format_name`; None if it has none."""
    if format_name == "PNG":
        content = headers.png_chunk(file, b"cICP")
        if content is None or len(content) < 4:
            return None
        return _taken(content[0], content[1], full_range=content[3] != 0)
    if format_name in ("AVIF", "HEIF"):
        content = headers.nclx(file)
        # The decoder already applied the range.
        return None if content is None else _taken(*struct.unpack(">HH", content[:4]), full_range=True)
    return None


def _taken(primaries: int, transfer: int, *, full_range: bool) -> CodePoints:
    """Resolve numbers: unspecified means sRGB, and so does video's curve with video's primaries."""
    primaries = _BT709 if primaries in _UNSPECIFIED else primaries
    transfer = _SRGB if transfer in _UNSPECIFIED else transfer
    if primaries == _BT709 and transfer in _LIKE_BT709:
        transfer = _SRGB
    return CodePoints(primaries, transfer, full_range)


def why_refused(code: CodePoints) -> str | None:
    """Return the reason why a picture's colours cannot be kept; None if they can."""
    if code.transfer in _HDR:
        return f"in HDR colours ({_HDR[code.transfer]})"
    if code.primaries not in _PRIMARIES or code.transfer not in _CURVES:
        return f"in unusual colours (primaries {code.primaries}, transfer {code.transfer} of H.273)"
    return None if code.full_range else "in colours of video range"


def profile_for(code: CodePoints, channels: int) -> bytes | None:
    """Return the profile of these colours for 1 or 3 channels; None for sRGB, which needs none."""
    if code.transfer == _SRGB and (channels == 1 or code.primaries == _BT709):
        return None
    curve = _CURVES[code.transfer]
    return profiles.grey(curve) if channels == 1 else profiles.coloured(curve, _PRIMARIES[code.primaries])
