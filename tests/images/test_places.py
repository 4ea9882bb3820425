"""Metadata in pixels, about places or about further pictures: scaled, turned or removed."""

from __future__ import annotations

import io
import re
import struct
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from manet_cli.images import FORMATS, Photo, exif, format_by_name, read_photo, write_photo, xmp

from .conftest import encode, pixels

NAMESPACES = {
    "exif": "http://ns.adobe.com/exif/1.0/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "Item": "http://ns.google.com/photos/1.0/container/item/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "GPano": "http://ns.google.com/photos/1.0/panorama/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "MP": "http://ns.microsoft.com/photo/1.2/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
}


def packet(content: str, attributes: str = "") -> bytes:
    names = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    text = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description {names} {attributes}>{content}'
    return f"{text}<dc:title>kept</dc:title></rdf:Description></rdf:RDF></x:xmpmeta>".encode()


REGIONS = (
    '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:AppliedToDimensions rdf:parseType="Resource">'
    "<stDim:h>24</stDim:h><stDim:unit>pixel</stDim:unit><stDim:w>40</stDim:w></mwg-rs:AppliedToDimensions>"
    "<mwg-rs:RegionList><rdf:Bag><rdf:li><mwg-rs:Area><stArea:x>0.25</stArea:x><stArea:unit>normalized"
    "</stArea:unit></mwg-rs:Area></rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
)
SHORT_REGIONS = (
    '<mwg-rs:Regions><mwg-rs:AppliedToDimensions stDim:w="40" stDim:h="24" stDim:unit="pixel"/>'
    '<mwg-rs:RegionList><rdf:Seq><rdf:li mwg-rs:Name="Tom"/></rdf:Seq></mwg-rs:RegionList></mwg-rs:Regions>'
)


@pytest.mark.parametrize(
    ("content", "attributes"),
    [
        ("", 'hdrgm:Version="1.0" GCamera:MotionPhoto="1" GCamera:MicroVideoOffset=\'9\''),
        (
            "<hdrgm:GainMapMax>3</hdrgm:GainMapMax><GCamera:MotionPhotoVersion>1</GCamera:MotionPhotoVersion>",
            "",
        ),
        (
            '<Container:Directory><rdf:Seq><rdf:li><Container:Item Item:Semantic="GainMap" Item:Length="9"/>'
            "</rdf:li></rdf:Seq></Container:Directory>",
            "",
        ),
        ("<exif:SubjectArea><rdf:Seq><rdf:li>9</rdf:li></rdf:Seq></exif:SubjectArea>", ""),
        ("", 'exif:FocalPlaneXResolution="80/1" xmpNote:HasExtendedXMP="abc"'),
    ],
)
@pytest.mark.parametrize("turn", [1, 6])
def test_claims_about_what_is_not_written_go(content: str, attributes: str, turn: int) -> None:
    found = xmp.cleaned(packet(content, attributes), turn)
    assert re.sub(rb"\s+>", b">", found) == re.sub(rb"\s+>", b">", packet(""))


def test_namespaces_are_known_by_their_address_not_by_their_prefix() -> None:
    renamed = packet("<hdrgm:GainMapMax>3</hdrgm:GainMapMax>").replace(b"hdrgm", b"x1")
    assert b"GainMapMax" not in xmp.cleaned(renamed)
    other = packet("<hdrgm:GainMapMax>3</hdrgm:GainMapMax>").replace(b"hdr-gain-map", b"something-else")
    assert xmp.cleaned(other) == other


@pytest.mark.parametrize("content", [REGIONS, SHORT_REGIONS])
def test_regions_are_applied_to_the_new_size_or_go_when_the_picture_is_turned(content: str) -> None:
    kept = xmp.cleaned(packet(content))
    assert kept == packet(content)
    scaled = xmp.with_size(kept, 160, 96, (40, 24))
    assert scaled == kept.replace(b">24<", b">96<").replace(b">40<", b">160<").replace(
        b'w="40" stDim:h="24"', b'w="160" stDim:h="96"'
    )
    turned = xmp.cleaned(packet(content), 6)
    assert turned == packet("")
    in_pixels = xmp.with_size(kept.replace(b"normalized", b"pixel"), 160, 96, (40, 24))
    assert (b"RegionList" in in_pixels) == (content is SHORT_REGIONS)


@pytest.mark.parametrize("turn", [1, 3, 6])
def test_a_panorama_is_scaled_or_goes_when_it_is_turned(turn: int) -> None:
    attributes = 'GPano:FullPanoWidthPixels="4000" GPano:CroppedAreaTopPixels="31" GPano:PosePitchDegrees="9"'
    content = "<GPano:FullPanoHeightPixels>2000</GPano:FullPanoHeightPixels>"
    found = xmp.with_size(xmp.cleaned(packet(content, attributes), turn), 100, 48, (40, 24))
    if turn != 1:
        assert b"GPano:F" not in found
        assert b"GPano:C" not in found
        return
    assert b'GPano:FullPanoWidthPixels="10000"' in found
    assert b'GPano:CroppedAreaTopPixels="62"' in found
    assert b'GPano:PosePitchDegrees="9"' in found
    assert b">4000</GPano:FullPanoHeightPixels>" in found


def test_a_packet_of_openings_alone_is_read_in_linear_time() -> None:
    large = packet("<Container:Directory>" * 40_000 + "<mwg-rs:Regions>" * 40_000 + ' hdrgm:a="' * 40_000)
    assert xmp.with_size(xmp.cleaned(large, 6), 8, 8, (2, 2))


def block(area: tuple[int, ...], *, order: str = "<", orientation: int = 1, shared: bool = False) -> bytes:
    tags = Image.Exif()
    tags.endian = order
    tags[0x0112] = orientation
    inner = tags.get_ifd(0x8769)
    inner[0x829D] = TiffImagePlugin.IFDRational(2, 1)
    inner[0xA20E], inner[0xA20F] = TiffImagePlugin.IFDRational(80, 1), TiffImagePlugin.IFDRational(50, 3)
    inner[0xA210], inner[0x9214], inner[0xA214] = 3, area, (8, 6)
    data = bytearray(tags.tobytes()[6:])
    if shared:  # both resolutions in one place
        across = data.index(struct.pack(order + "HHL", 0xA20E, 5, 1)) + 8
        down = data.index(struct.pack(order + "HHL", 0xA20F, 5, 1)) + 8
        data[down : down + 4] = data[across : across + 4]
    return bytes(data)


def facts(data: bytes | None) -> dict[int, Any]:
    tags = Image.Exif()
    tags.load(b"Exif\0\0" + (data or b""))
    return dict(tags.get_ifd(0x8769))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("area", [(10, 12), (10, 12, 4), (10, 12, 6, 4)])
def test_numbers_of_pixels_in_exif_are_scaled(area: tuple[int, ...], order: str) -> None:
    data = exif.cleaned(block(area, order=order))
    found = facts(exif.with_size(data, 160, 72, (40, 24)))
    assert Fraction(found[0xA20E]) == 320
    assert Fraction(found[0xA20F]) == 50
    assert found[0x9214] == tuple(value * (4, 3, 4, 3)[place] for place, value in enumerate(area))
    assert found[0xA214] == (32, 18)
    assert found[0x829D] == 2
    assert facts(exif.with_size(data, 40, 24, (40, 24))) == facts(data)


def test_resolutions_that_share_a_place_are_scaled_once() -> None:
    found = facts(exif.with_size(block((1, 2), shared=True), 160, 72, (40, 24)))
    assert (int(found[0xA20E]), int(found[0xA20F])) == (320, 240)


def test_a_place_beyond_what_exif_holds_is_removed() -> None:
    found = facts(exif.with_size(block((20_000, 5)), 160, 96, (40, 24)))
    assert 0x9214 not in found
    assert found[0xA214] == (32, 24)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_turn_changes_the_sides_and_removes_places(turn: int) -> None:
    found = facts(exif.cleaned(block((10, 12), orientation=turn), turn))
    resolutions = [float(found[0xA20E]), float(found[0xA20F])]
    assert resolutions == pytest.approx([80, 50 / 3] if turn < 5 else [50 / 3, 80])
    assert (0x9214 in found) == (0xA214 in found) == (turn == 1)
    assert found[0x829D] == 2


@pytest.mark.parametrize("name", [entry.name for entry in FORMATS if "exif" in entry.metadata])
@pytest.mark.parametrize("turn", [1, 6])
def test_the_field_of_view_stays_the_same_in_every_format(name: str, turn: int) -> None:
    data = encode(Image.fromarray(pixels(3)), "JPEG", exif=b"Exif\0\0" + block((10, 12), orientation=turn))
    read = read_photo(data, "a")
    large = Photo(np.repeat(np.repeat(read.pixels, 4, 0), 4, 1), None, read.metadata)
    file = io.BytesIO()
    write_photo(large, file, format_by_name(name))
    found = facts(read_photo(file.getvalue(), "b").metadata.exif)
    expected = (320, Fraction(200, 3)) if turn == 1 else (Fraction(200, 3), 320)
    assert [float(found[tag]) for tag in (0xA20E, 0xA20F)] == pytest.approx([float(one) for one in expected])
    assert found.get(0x9214) == ((40, 48) if turn == 1 else None)
