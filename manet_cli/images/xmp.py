"""Edit XMP packets as text, so that everything else stays unchanged.

Properties are found by the namespaces of a packet's prefixes, as attributes and as elements.
"""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["cleaned", "with_size"]

_THUMBNAILS = re.compile(rb"<xmp:Thumbnails\b|</xmp:Thumbnails>\s*")
_WIDTHS = (b"tiff:ImageWidth", b"exif:PixelXDimension")
_HEIGHTS = (b"tiff:ImageLength", b"exif:PixelYDimension")
_PREFIX = re.compile(rb"xmlns:([\w.-]+)\s*=\s*[\"']([^\"'<>]*)[\"']")
_ANY = rb"[\w.-]+"
_GOOGLE = b"http://ns.google.com/photos/1.0/"
_PANORAMA = _GOOGLE + b"panorama/"
_REGIONS = b"http://www.metadataworkinggroup.com/schemas/regions/"
_EXIF = b"http://ns.adobe.com/exif/1.0/"

# namespace: names of the properties, as a pattern. They are about pictures and videos after the main picture,
# which are not written, or contain pixels or places without a reference size in the packet.
_NEVER_KEPT = {
    b"http://ns.adobe.com/hdr-gain-map/1.0/": _ANY,
    b"http://ns.apple.com/HDRGainMap/1.0/": _ANY,
    b"http://ns.adobe.com/xmp/note/": rb"HasExtendedXMP",
    _GOOGLE + b"container/": _ANY,
    _GOOGLE + b"container/item/": _ANY,
    _GOOGLE + b"depthmap/": _ANY,
    _GOOGLE + b"image/": _ANY,
    _GOOGLE + b"audio/": _ANY,
    b"http://ns.google.com/photos/dd/1.0/device/": _ANY,
    _GOOGLE + b"camera/": rb"(?:MotionPhoto|MicroVideo)[\w.-]*",
    _EXIF: rb"(?:SubjectArea|SubjectLocation|FocalPlane[XY]Resolution|FocalPlaneResolutionUnit)",
}
# Places in the stored picture, which are wrong after rotation.
_NOT_TURNED = {
    _REGIONS: _ANY,
    _PANORAMA: _ANY,
    b"http://ns.microsoft.com/photo/1.2/": _ANY,
    b"http://ns.acdsee.com/regions/": _ANY,
    b"http://ns.apple.com/faceinfo/1.0/": _ANY,
    b"http://iptc.org/std/Iptc4xmpExt/2008-02-29/": rb"ImageRegion",
}
_IN_PIXELS = re.compile(rb"(?:unit|rbUnit)\s*(?:=\s*[\"']|>)\s*pixel[\"'<\s]")
_ACROSS = (
    *(b"FullPanoWidthPixels", b"CroppedAreaImageWidthPixels", b"CroppedAreaLeftPixels"),
    *(b"LargestValidInteriorRectLeft", b"LargestValidInteriorRectWidth", b"SourceImageWidthPixels"),
)
_DOWN = (
    *(b"FullPanoHeightPixels", b"CroppedAreaImageHeightPixels", b"CroppedAreaTopPixels"),
    *(b"LargestValidInteriorRectTop", b"LargestValidInteriorRectHeight", b"SourceImageHeightPixels"),
)


def cleaned(packet: bytes, turn: int = 1) -> bytes:
    """Clean a packet just read: set an orientation to 1, and remove thumbnails and invalid properties.

    `turn`: the applied orientation, 1..8. Properties about later pictures in the file are removed; so are
    places in the picture, unless `turn` is 1.
    """
    packet = _without_thumbnails(_with_number(packet, b"tiff:Orientation", 1))
    packet = _without(packet, _NEVER_KEPT)
    return packet if turn == 1 else _without(packet, _NOT_TURNED)


def with_size(packet: bytes, width: int, height: int, size: tuple[int, int]) -> bytes:
    """Return the packet with its sizes set to this size, and places scaled from `size`."""
    for name in _WIDTHS:
        packet = _with_number(packet, name, width)
    for name in _HEIGHTS:
        packet = _with_number(packet, name, height)
    if (width, height) == size:
        return packet
    for prefix in _prefixes(packet, _PANORAMA):
        for names, new, old in ((_ACROSS, width, size[0]), (_DOWN, height, size[1])):
            for name in names:
                packet = _scaled(packet, prefix + b":" + name, new, old)
    packet = _with_regions(packet, width, height)
    iptc_regions = {b"http://iptc.org/std/Iptc4xmpExt/2008-02-29/": rb"ImageRegion"}
    return _edited_properties(packet, iptc_regions, lambda part: b"" if _IN_PIXELS.search(part) else part)


def _with_regions(packet: bytes, width: int, height: int) -> bytes:
    """Return the packet with the size in its regions updated; the regions are shares of the picture."""

    def edited(regions: bytes) -> bytes:
        before, mark, after = regions.partition(b"AppliedToDimensions")
        inside, end, rest = after.partition(b"AppliedToDimensions")
        if not end:  # attributes alone
            inside, end, rest = after.partition(b"/>")
        if _IN_PIXELS.search(before) or _IN_PIXELS.search(rest):
            return b""
        inside = _with_number(inside, rb"[\w.-]+:w", width)
        return before + mark + _with_number(inside, rb"[\w.-]+:h", height) + end + rest

    return _edited_properties(packet, {_REGIONS: rb"Regions"}, edited)


def _without(packet: bytes, properties: dict[bytes, bytes]) -> bytes:
    """Return the packet without the properties of these namespaces and names."""
    return _edited_properties(packet, properties, lambda part: b"", attributes=True)


def _edited_properties(
    packet: bytes,
    properties: dict[bytes, bytes],
    edit: Callable[[bytes], bytes],
    *,
    attributes: bool = False,
) -> bytes:
    """Return the packet with each outermost element of a property edited; `attributes`: also removed."""
    for namespace, names in properties.items():
        for prefix in _prefixes(packet, namespace):
            name = re.escape(prefix) + b":" + names
            if attributes:
                packet = re.sub(rb"\s" + name + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')", b"", packet)
            packet = _edited_elements(packet, name, edit)
    return packet


def _edited_elements(packet: bytes, name: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    parts, kept, depth, start = list[bytes](), 0, 0, 0
    for match in re.finditer(rb"<(/?)" + name + rb"(?=[\s/>])[^<>]*>", packet):
        if depth == 0:
            start = match.start()
        closes, alone = bool(match[1]), match[0].endswith(b"/>")
        depth += 0 if alone else -1 if closes else 1
        if depth == 0 and (alone or closes):
            parts += [packet[kept:start], edit(packet[start : match.end()])]
            kept = match.end()
        depth = max(depth, 0)
    return b"".join((*parts, packet[kept:]))


def _prefixes(packet: bytes, namespace: bytes) -> set[bytes]:
    return {match[1] for match in _PREFIX.finditer(packet) if match[2] == namespace}


def _without_thumbnails(packet: bytes) -> bytes:
    """Remove thumbnails from the packet, in one pass even with many open tags."""
    kept, copied, opened = list[bytes](), 0, None
    for tag in _THUMBNAILS.finditer(packet):
        if not tag[0].startswith(b"</"):
            opened = tag.start() if opened is None else opened
        elif opened is not None:
            kept.append(packet[copied:opened])
            copied, opened = tag.end(), None
    return b"".join((*kept, packet[copied:]))


def _with_number(packet: bytes, name: bytes, value: int) -> bytes:
    """Return the packet with a property (attribute or element), if present, set to `value`."""
    return re.sub(_number_pattern(name), rb"\g<1>%d" % value, packet)


def _scaled(packet: bytes, name: bytes, new: int, old: int) -> bytes:
    """Return the packet with a property in pixels scaled by `new` / `old`."""

    def scaled(match: re.Match[bytes]) -> bytes:
        return match[1] + b"%d" % ((2 * int(match[2][:9]) * new + old) // (2 * old))

    return re.sub(_number_pattern(re.escape(name)), scaled, packet)


def _number_pattern(name: bytes) -> bytes:
    return rb"(" + name + rb"\s*(?:=\s*[\"']|>)\s*)(\d+)"
