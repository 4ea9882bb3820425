r"""Check that a JPEG file contains its whole picture; libjpeg fills missing parts with grey.

A file is a sequence of segments (0xFF, a marker, a length, content). The coded blocks of a scan follow an SOS
segment, up to the next marker; RST markers split them into intervals. Only decoding shows how many bytes a
scan needs. So we decode the file again with other bytes after each interval: if the picture changes, bytes
are missing. Likewise, if the picture stays the same without the last bytes, it does not need them.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image, ImageChops

from manet_cli.errors import InputError
from manet_cli.images import jpeg_strict
from manet_cli.stopping import end_if_stopped

__all__ = ["check_jpeg", "check_scans"]

_log = logging.getLogger(__name__)

_SOI, _EOI, _SOS, _DHT, _APP0, _APP14, _COM = 0xD8, 0xD9, 0xDA, 0xC4, 0xE0, 0xEE, 0xFE
_RESTARTS = range(0xD0, 0xD8)
_BARE = frozenset((0x01, _SOI, *_RESTARTS))  # markers without a length
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_OTHER_FRAMES = frozenset((0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
_MARKER = re.compile(rb"\xff+[\x01-\xfe]")
_COEFFICIENTS = 64
# The first bit differs from the zeros that libjpeg inserts, and no byte is 0xFF.
_FILLER = bytes((151 + 89 * place) % 255 for place in range(64))
_ZEROS = bytes(64)
"""A run of zeros this long contains no blocks, unless code 0 means a flat block."""
_UNUSED = 8
"""Bytes at the end of the last scan that every complete picture needs."""

_MOST_SCANS = 32  # allowed for any picture; encoders write about ten
_MOST_SCANNED = 1_000_000_000  # pixels times scans, for pictures with more scans

_DAMAGED = "{} is damaged: {}; copy or export it again"
_ENDS_EARLY = "the data of its pixels is incomplete"


@dataclass
class _Scan:
    """One scan: start of its header, the intervals of its coded blocks, the meaning of zeros in it."""

    header: int
    intervals: list[tuple[int, int]] = field(default_factory=list)
    zeros_are_flat: bool = True


@dataclass
class _Structure:
    """The segments for decoding, the scans among them, and the precision of each coefficient.

    `lowest_bit`: for each coefficient of each component, the lowest bit in any scan.
    """

    segments: list[tuple[int, int]] = field(default_factory=list)
    scans: list[_Scan] = field(default_factory=list)
    components: list[int] = field(default_factory=list)
    progressive: bool = False
    first_symbols: dict[int, int] = field(default_factory=dict)
    lowest_bit: dict[tuple[int, int], int] = field(default_factory=dict)
    is_known: bool = True


def check_scans(data: bytes, pixels: int, name: str) -> None:
    """Raise InputError for a JPEG file with so many scans that decoding takes very long.

    `data`: the file. `pixels`: number of pixels of its picture. `name`: name of the file in messages.
    """
    scans = len(_structure(data).scans)
    if scans > max(_MOST_SCANS, _MOST_SCANNED // pixels):
        raise InputError(f"{name} has {scans} scans, too many for a picture of its size: export it again")


def check_jpeg(data: bytes, decoded: Image.Image, name: str) -> None:
    """Check that a JPEG file contains the whole picture that Pillow decoded from it.

    Unneeded bytes between the end of a scan and the next marker are logged as a warning. Invalid codes are
    found only if the extra `jpeg` or `vips` is installed.

    Args:
        data: the file; pictures after the first are ignored.
        decoded: Pillow's image, loaded.
        name: name of the file in messages.

    Raises:
        InputError: blocks or whole scans are missing, replaced by zeros, or cannot be decoded.
    """
    structure = _structure(data)
    if not structure.is_known:  # arithmetic codes may omit trailing zeros
        return
    if _lacks_scans(structure):
        raise InputError(_DAMAGED.format(name, "some of its scans are missing"))
    ends = {interval: interval[1] for scan in structure.scans for interval in scan.intervals}
    warnings = jpeg_strict.warnings_of(data)
    damage = next(filter(jpeg_strict.is_damage, warnings or ()), None)
    if damage is not None:
        raise InputError(_DAMAGED.format(name, f"the decoder says: {damage}"))
    asked = warnings == []
    if not ends or not (asked or _stays(data, structure, ends, decoded)):
        raise InputError(_DAMAGED.format(name, _ENDS_EARLY))
    extra = _check_zeros(data, structure, ends, decoded, name)
    last = structure.scans[-1].intervals[-1]
    if not (extra or asked) and last[1] - last[0] > _UNUSED:
        extra = _stays(data, structure, {**ends, last: last[1] - _UNUSED}, decoded)
    if extra:  # tables with a single code give the same blocks for any bytes
        extra = not _stays(data, structure, {**ends, last: last[0]}, decoded)
    if extra or any(map(jpeg_strict.is_extraneous, warnings or ())):
        _log.warning("%s: extra bytes after its pixels are ignored", name)


def _check_zeros(
    data: bytes,
    structure: _Structure,
    ends: dict[tuple[int, int], int],
    decoded: Image.Image,
    name: str,
) -> bool:
    """Raise InputError if a run of zeros replaces blocks; return whether there is a harmless run."""
    runs = {
        interval: start
        for scan in structure.scans
        for interval in scan.intervals
        if (start := data.find(_ZEROS, *interval)) >= 0
    }
    if not runs:
        return False
    if _stays(data, structure, ends | runs, decoded):
        return True
    damaged = any(
        not scan.zeros_are_flat and not runs.keys().isdisjoint(scan.intervals) for scan in structure.scans
    )
    if not damaged:
        # Zeros may be blocks of a constant area, but then they end with the last block.
        tails = {interval: interval[1] - _UNUSED for interval in runs if _ends_in_zeros(data, interval)}
        damaged = bool(tails) and _stays(data, structure, ends | tails, decoded)
    if damaged:
        raise InputError(_DAMAGED.format(name, "zeros replace the data of its pixels"))
    return False


def _ends_in_zeros(data: bytes, interval: tuple[int, int]) -> bool:
    return data.endswith(_ZEROS[:_UNUSED], *interval)


def _stays(
    data: bytes, structure: _Structure, ends: dict[tuple[int, int], int], decoded: Image.Image
) -> bool:
    """Whether the picture stays the same with other bytes after the new end of each interval."""
    parts = [b"\xff\xd8"]
    for start, stop in structure.segments:
        end = ends.get((start, stop))
        parts += [data[start:stop]] if end is None else [data[start:end], _FILLER]
    file = io.BytesIO(b"".join(parts) + b"\xff\xd9")
    del parts
    try:
        with Image.open(file, formats=("JPEG",)) as image:
            image.load()
            if image.mode != decoded.mode or image.size != decoded.size:
                return False
            return ImageChops.difference(image, decoded).getbbox(alpha_only=False) is None
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the decoder may raise anything
        end_if_stopped()
        return False


def _structure(data: bytes) -> _Structure:
    """Parse the segments of the first picture, up to its end or the end of the file."""
    found = _Structure()
    position = 2
    while (match := _MARKER.search(data, position)) is not None:
        marker, body = data[match.end() - 1], match.end()
        if marker == _EOI:
            break
        if marker in _BARE:
            position = body
            continue
        stop = body + int.from_bytes(data[body : body + 2], "big")
        if stop < body + 2 or stop > len(data):
            break
        content = data[body + 2 : stop]
        if _is_needed(marker):
            found.segments.append((match.end() - 2, stop))
        _take(found, marker, content)
        position = stop
        if marker == _SOS:
            position = _take_scan(found, data, content, stop)
    return found


def _is_needed(marker: int) -> bool:
    """Whether decoding needs a segment; of application segments, only those about colours."""
    return marker in (_APP0, _APP14) or not (_APP0 <= marker < _APP0 + 16 or marker == _COM)


def _take(found: _Structure, marker: int, content: bytes) -> None:
    """Record the content of a segment other than a scan."""
    if marker in (*_SEQUENTIAL, _PROGRESSIVE) and len(content) > 5:
        found.progressive = marker == _PROGRESSIVE
        found.components = list(content[6 : 6 + 3 * content[5] : 3])
    elif marker in _OTHER_FRAMES:
        found.is_known = False
    elif marker == _DHT:
        for table, symbols in _tables(content):
            found.first_symbols[table] = symbols[0] if symbols else 0


def _tables(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield class (high 4 bits) and number of each Huffman table with its symbols, shortest codes first."""
    position = 0
    while position + 17 <= len(content):
        count = sum(content[position + 1 : position + 17])
        yield content[position], content[position + 17 : position + 17 + count]
        position += 17 + count


def _take_scan(found: _Structure, data: bytes, content: bytes, start: int) -> int:
    """Record a scan, with the content of its header and blocks from `start` on; return their end."""
    count = content[0] if content else 0
    if len(content) < 4 + 2 * count:
        return start
    components, tables = content[1 : 1 + 2 * count : 2], content[2 : 2 + 2 * count : 2]
    first, last, bits = content[1 + 2 * count : 4 + 2 * count]
    if not found.progressive:
        first, last, bits = 0, _COEFFICIENTS - 1, 0
    for component in components:
        for coefficient in range(first, min(last, _COEFFICIENTS - 1) + 1):
            found.lowest_bit[component, coefficient] = bits & 15
    scan = _Scan(start)
    if not found.progressive:  # a code 0 that ends a block makes it flat
        scan.zeros_are_flat = all(found.first_symbols.get(0x10 | table & 15, 0) == 0 for table in tables)
    found.scans.append(scan)
    position = start
    while True:
        match = _MARKER.search(data, position)
        stop = len(data) if match is None else match.start()
        scan.intervals.append((position, stop))
        found.segments.append((position, stop))
        if match is None or data[match.end() - 1] not in _RESTARTS:
            return stop
        found.segments.append(match.span())
        position = match.end()


def _lacks_scans(found: _Structure) -> bool:
    """Whether a component, or a bit of one of its coefficients, is in no scan."""
    return any(
        found.lowest_bit.get((component, coefficient), 1) != 0
        for component in found.components
        for coefficient in range(_COEFFICIENTS)
    )
