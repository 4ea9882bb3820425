"""Metadata of a picture opened by Pillow."""

from __future__ import annotations

import logging
import math
from typing import BinaryIO

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from manet_cli.images import cicp, exif, headers, iptc, jxl, profiles, tiff_structure, xmp
from manet_cli.images.photo import Metadata

__all__ = ["metadata_of", "raw_exif", "turn_of"]

_log = logging.getLogger(__name__)

_SRGB_GAMMA = 1 / 2.2
_SRGB_CORNERS = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # white, red, green, blue: x and y
_SAME_COLOURS = 0.02
_PHOTOSHOP_IPTC = 0x0404
_TIFF_IPTC, _TIFF_PHOTOSHOP = 33723, 34377


def metadata_of(image: Image.Image, file: BinaryIO, name: str, channels: int) -> Metadata:
    """Collect the metadata to keep of a decoded image with 1 or 3 channels."""
    block, turn = None, _applied_turn(image, file)
    content = headers.content_of(file) if isinstance(image, TiffImageFile) else None
    try:
        raw = raw_exif(image, file) if content is None else exif.from_tiff(content)
        block = exif.cleaned(raw, turn) if raw is not None else None
    except exif.CorruptTagsError as error:
        _log.warning("%s: its EXIF is damaged and is not kept: %s", name, error)
    packet = jxl.box(file, b"xml ") if _is_plain_jxl(image) else image.info.get("xmp")
    if isinstance(packet, str):
        packet = packet.encode()
    return Metadata(
        exif=block,
        icc_profile=_profile(image, file, name, channels),
        xmp=xmp.cleaned(packet, turn) if isinstance(packet, bytes) and packet else None,
        dpi=_dpi(image.info.get("dpi")),
        iptc=_iptc(image, content),
    )


def _profile(image: Image.Image, file: BinaryIO, name: str, channels: int) -> bytes | None:
    """Return the ICC profile of the pixels; None for sRGB."""
    profile = image.info.get("icc_profile")
    code = cicp.found_in(file, image.format)
    if code is not None and (image.format == "PNG" or not profile):  # precedence in the formats' standards
        return cicp.profile_for(code, channels)
    if isinstance(profile, bytes) and profile:
        return profiles.fitting(profile, channels, name)
    if image.format == "PNG" and _has_odd_colours(image):
        _log.warning("%s: its gAMA and cHRM chunks are not kept; only an ICC profile would be kept", name)
    return None


def _iptc(image: Image.Image, content: bytes | None) -> bytes | None:
    """Return the captions and keywords; None if there are none. `content`: the bytes of a TIFF file."""
    if content is not None:  # for a TIFF, Pillow returns only the first number
        try:
            value, resources = tiff_structure.raw_values(content, (_TIFF_IPTC, _TIFF_PHOTOSHOP))
        except tiff_structure.CorruptTagsError:
            return None
        return iptc.from_tiff_tag(value) or iptc.from_resources(resources)
    if (profile := headers.png_profile(image.info.get("Raw profile type iptc"))) is not None:
        return iptc.from_profile(profile)
    parts = image.info.get("photoshop")
    found = parts.get(_PHOTOSHOP_IPTC) if isinstance(parts, dict) else None
    return found if isinstance(found, bytes) and found else None


def _has_odd_colours(image: Image.Image) -> bool:
    """Whether a PNG without a profile declares other colours than sRGB."""
    if "srgb" in image.info:
        return False
    gamma, corners = image.info.get("gamma", _SRGB_GAMMA), image.info.get("chromaticity", _SRGB_CORNERS)
    return abs(gamma - _SRGB_GAMMA) > _SAME_COLOURS or any(
        abs(corner - srgb) > _SAME_COLOURS for corner, srgb in zip(corners, _SRGB_CORNERS, strict=True)
    )


def _is_plain_jxl(image: Image.Image) -> bool:
    """Whether this is JPEG XL, not a JPEG inside it, which the plugin opens as a JPEG."""
    return image.format == "JXL" and not getattr(image, "jpeg", False)


def _dpi(value: object) -> tuple[float, float] | None:
    """Return a resolution that every format can store; None for any other."""
    if not isinstance(value, tuple) or len(value) != 2:
        return None
    try:
        across, down = float(value[0]), float(value[1])
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if (
        not (math.isfinite(across) and math.isfinite(down))
        or min(across, down) <= 1  # a placeholder for no resolution
        or max(across, down) > 65535
    ):
        return None
    return across, down


def raw_exif(image: Image.Image, file: BinaryIO) -> bytes | None:
    """Return the EXIF block of the file, unchecked; None if it has none."""
    raw = image.info.get("exif")
    if raw is None and image.format == "PNG":
        raw = headers.png_chunk(file, b"eXIf")  # if it follows the pixels, Pillow finds it only by decoding
    if raw is None:  # ImageMagick's older form
        raw = headers.png_profile(image.info.get("Raw profile type exif"))
    return raw if isinstance(raw, bytes) else None


def _applied_turn(image: Image.Image, file: BinaryIO) -> int:
    """Return the orientation, 1..8, that the decoder or we apply to get the upright picture."""
    if image.format == "HEIF":
        return int(image.info.get("original_orientation") or 1)
    try:
        raw = headers.content_of(file) if isinstance(image, TiffImageFile) else raw_exif(image, file)
        return 1 if raw is None else exif.orientation(raw)
    except exif.CorruptTagsError:  # also for BigTIFF, where Pillow knows the orientation
        return 1


def turn_of(image: Image.Image, file: BinaryIO) -> int:
    """Return the orientation, 1..8, that we must apply; decoders of TIFF, HEIC and JPEG XL apply it."""
    turned = image.format in ("TIFF", "HEIF") or _is_plain_jxl(image)
    raw = None if turned else raw_exif(image, file)
    if raw is None:
        return 1
    try:
        return exif.orientation(raw)
    except exif.CorruptTagsError:
        return 1
