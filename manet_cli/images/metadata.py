"""What a picture that Pillow has opened says beside its pixels."""

from __future__ import annotations

import logging
import math
import re
from typing import BinaryIO

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from manet_cli.images import exif, headers, iptc, xmp
from manet_cli.images.photo import Metadata

__all__ = ["metadata_of", "turn_of"]

_log = logging.getLogger(__name__)

_PHOTOSHOP_IPTC = 0x0404
_TIFF_IPTC, _TIFF_PHOTOSHOP = 33723, 34377


def metadata_of(image: Image.Image, file: BinaryIO, name: str) -> Metadata:
    """Collect what is kept beside the pixels of a decoded image."""
    block = None
    try:
        if image.format == "TIFF":
            file.seek(0)
            raw = exif.from_tiff(file.read())
        else:
            raw = _raw_exif(image, file)
        block = exif.cleaned(raw) if raw is not None else None
    except exif.CorruptTagsError as error:
        _log.warning("%s: its EXIF cannot be followed and is not kept: %s", name, error)
    profile = image.info.get("icc_profile")
    packet = image.info.get("xmp")
    if isinstance(packet, str):
        packet = packet.encode()
    return Metadata(
        exif=block,
        icc_profile=profile if isinstance(profile, bytes) and profile else None,
        xmp=xmp.cleaned(packet) if isinstance(packet, bytes) and packet else None,
        dpi=_dpi(image.info.get("dpi")),
        iptc=_iptc(image),
    )


def _iptc(image: Image.Image) -> bytes | None:
    """Give the captions and keywords; None if there are none."""
    if isinstance(image, TiffImageFile):
        value, resources = (image.tag_v2.get(tag) for tag in (_TIFF_IPTC, _TIFF_PHOTOSHOP))
        if isinstance(value, tuple):  # numbers of 4 bytes, as some writers store them
            value = b"".join(int(number).to_bytes(4, "little") for number in value)
        found = iptc.from_tiff_tag(value) if isinstance(value, bytes) else None
        return found or (iptc.from_resources(resources) if isinstance(resources, bytes) else None)
    if isinstance(text := image.info.get("Raw profile type iptc"), str):
        return iptc.from_profile_text(text)
    parts = image.info.get("photoshop")
    found = parts.get(_PHOTOSHOP_IPTC) if isinstance(parts, dict) else None
    return found if isinstance(found, bytes) and found else None


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


def turn_of(image: Image.Image, file: BinaryIO) -> int:
    """Give the turn, 1..8, still to be applied; Pillow turns a TIFF, and swaps its sides, by itself."""
    raw = None if image.format == "TIFF" else _raw_exif(image, file)
    if raw is None:
        return 1
    try:
        return exif.orientation(raw)
    except exif.CorruptTagsError:
        return 1
