r"""IPTC captions and keywords, and how the formats store them.

JPEG has them in an APP13 segment, among Photoshop's resources. Each resource is `8BIM`, a number of 2 bytes,
a name (its length and bytes, padded to an even number), the length in 4 bytes and the data, padded likewise.
PNG has the same as a text chunk of hexadecimal digits, as written by ImageMagick and exiftool. TIFF has tag
33723.
"""

from __future__ import annotations

import struct

__all__ = [
    "APP13_PREFIX",
    "from_profile",
    "from_resources",
    "from_tiff_tag",
    "to_profile_text",
    "to_resources",
]

APP13_PREFIX = b"Photoshop 3.0\0"
_NUMBER = 0x0404
_FIRST_BYTE = b"\x1c"  # a field is this byte, its number (2 bytes), its length (2 bytes), its value
_LONG_FIELD = 0x8000


def from_resources(data: bytes) -> bytes | None:
    """Return the IPTC data in Photoshop's resources; None if it is missing or unreadable."""
    position = 0
    while data[position : position + 4] == b"8BIM" and position + 12 <= len(data):
        (number,) = struct.unpack_from(">H", data, position + 4)
        position += 6 + (data[position + 6] + 2) // 2 * 2
        if position + 4 > len(data):
            return None
        (length,) = struct.unpack_from(">L", data, position)
        position += 4
        if number == _NUMBER:
            return data[position : position + length] or None
        position += (length + 1) // 2 * 2
    return None


def to_resources(data: bytes) -> bytes:
    """Wrap IPTC data as one of Photoshop's resources."""
    return b"8BIM" + struct.pack(">HHL", _NUMBER, 0, len(data)) + data + bytes(len(data) % 2)


def from_tiff_tag(value: bytes) -> bytes | None:
    """Return the IPTC data of a TIFF tag; some writers store it as byte-swapped numbers."""
    if value[:1] != _FIRST_BYTE and value[3:4] == _FIRST_BYTE and len(value) % 4 == 0:
        value = b"".join(value[start : start + 4][::-1] for start in range(0, len(value), 4))
    if value[:1] != _FIRST_BYTE:
        return None
    end = 0  # after the last field; zeros fill the rest of the tag
    while value[end : end + 1] == _FIRST_BYTE and end + 5 <= len(value):
        (length,) = struct.unpack_from(">H", value, end + 3)
        if length >= _LONG_FIELD:
            return value
        end += 5 + length
    return value[:end]


def from_profile(data: bytes) -> bytes | None:
    """Return the IPTC data of a PNG's `Raw profile type iptc`; None if it cannot be read."""
    data = data.removeprefix(APP13_PREFIX)
    return data if data[:1] == _FIRST_BYTE else from_resources(data)


def to_profile_text(data: bytes) -> bytes:
    """Encode the text of such a profile: a blank line, the name, the length, lines of digits."""
    resources = to_resources(data)
    digits = resources.hex()
    lines = [digits[start : start + 72] for start in range(0, len(digits), 72)]
    return f"\niptc\n{len(resources):8}\n".encode() + "\n".join(lines).encode() + b"\n"
