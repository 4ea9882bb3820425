"""Files of other programs (tests/fixtures/README.md), read and written."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from manet_cli.errors import InputError
from manet_cli.images import Photo, format_by_name, read_header, read_photo, write_photo

from .conftest import facts

FIXTURES = Path(__file__).parents[1] / "fixtures"


def netpbm(name: str) -> npt.NDArray[Any]:
    """(H, W, C) of a binary PPM or PGM file, read by hand."""
    kind, width, height, largest, data = (FIXTURES / name).read_bytes().split(maxsplit=4)
    depth: Any = ">u2" if int(largest) > 255 else np.uint8
    channels = {b"P5": 1, b"P6": 3}[kind]
    native = np.uint16 if int(largest) > 255 else np.uint8
    return np.frombuffer(data, depth).astype(native).reshape(int(height), int(width), channels)


def fixture(name: str) -> Photo:
    """Read a fixture, and check that its header matches the photo."""
    path = FIXTURES / name
    photo = read_photo(path, name)
    assert read_header(path, name) == photo.header
    assert photo.pixels.flags.c_contiguous
    assert photo.pixels.dtype.isnative
    return photo


def again(photo: Photo, format_name: str) -> Photo:
    file = io.BytesIO()
    write_photo(photo, file, format_by_name(format_name))
    return read_photo(file.getvalue(), "again")


COLOUR = netpbm("rgb16.ppm")
ALPHA = netpbm("alpha16.pgm")[..., 0]
DEEP = {
    "rgb16.png": (COLOUR, None),
    "rgb16-interlaced.png": (COLOUR, None),
    "rgba16.png": (COLOUR, ALPHA),
    "grey-alpha16.png": (ALPHA[..., None], ALPHA[::-1]),
    "rgb16-plain.tif": (COLOUR, None),
    "rgb16-lzw.tif": (COLOUR, None),
    "rgb16-deflate-big-endian.tif": (COLOUR, None),
    "rgb16-planes.tif": (COLOUR, None),
    "rgb16-tiles.tif": (COLOUR, None),
    "rgb16-bigtiff.tif": (COLOUR, None),
    "rgba16.tif": (COLOUR, ALPHA),
}


def test_the_truth_has_16_bits() -> None:
    assert COLOUR.dtype == np.uint16
    assert (COLOUR % 257 != 0).mean() > 0.9


@pytest.mark.parametrize("name", DEEP)
def test_16_bits_are_read_exactly(name: str) -> None:
    colours, alpha = DEEP[name]
    photo = fixture(name)
    np.testing.assert_array_equal(photo.pixels, colours)
    if alpha is None:
        assert photo.alpha is None
    else:
        np.testing.assert_array_equal(photo.alpha, alpha)


@pytest.mark.parametrize("format_name", ["png", "tiff"])
@pytest.mark.parametrize("name", ["rgb16.png", "rgba16.png", "grey-alpha16.png"])
def test_16_bits_come_back_exactly(name: str, format_name: str) -> None:
    photo = fixture(name)
    if name == "grey-alpha16.png" and format_name == "tiff":
        photo = Photo(np.repeat(ALPHA[..., None], 3, 2).astype(np.uint16), photo.alpha, photo.metadata)
    back = again(photo, format_name)
    np.testing.assert_array_equal(back.pixels, photo.pixels)
    if photo.alpha is None:
        assert back.alpha is None
    else:
        np.testing.assert_array_equal(back.alpha, photo.alpha)


def test_16_bit_colours_come_out_of_their_alpha() -> None:
    photo = fixture("rgba16-premultiplied.tif")
    np.testing.assert_array_equal(photo.alpha, ALPHA)
    # Rounding of premultiplied colours gives an error of half a step divided by alpha.
    allowed = 1 + 0.5 * 65535 / ALPHA[..., None]
    assert (np.abs(photo.pixels.astype(float) - COLOUR) <= allowed).all()


def test_a_compression_that_the_extra_lacks_is_refused() -> None:
    with pytest.raises(InputError, match=r"rgb16-zstd\.tif cannot be decoded \(.*export it with LZW"):
        fixture("rgb16-zstd.tif")


@pytest.mark.parametrize("name", ["rgb16.png", "rgba16.tif"])
def test_without_the_extra_16_bits_are_refused_by_a_sentence_that_names_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyvips", None)
    for read in (read_header, read_photo):
        with pytest.raises(InputError, match=r"16 bits .* pip install 'manet-cli\[vips\]'"):
            read(FIXTURES / name, name)


@pytest.mark.parametrize("name", ["rgb16.png", "rgb16-lzw.tif", "rgb16-plain.tif"])
def test_16_bits_cut_off_or_damaged_give_a_photo_or_a_sentence(name: str) -> None:
    data = (FIXTURES / name).read_bytes()
    for length in range(1, len(data) - 1, 97):
        try:
            whole = read_photo(data[:length], name)
        except InputError:
            continue
        # Only the part of a TIFF after its pixels may be missing.
        assert name.endswith(".tif")
        np.testing.assert_array_equal(whole.pixels, COLOUR)
    generator = np.random.default_rng(7)
    sentences = 0
    for _ in range(50):
        damaged = bytearray(data)
        for _ in range(3):
            damaged[int(generator.integers(0, len(data)))] = int(generator.integers(0, 256))
        try:
            read_photo(bytes(damaged), name)
        except InputError:
            sentences += 1
    assert sentences > 0


COLOURS = netpbm("rgb.ppm")
OTHERS = {
    "palette-transparent.png": (netpbm("palette.ppm"), netpbm("palette-alpha.pgm")[..., 0]),
    "still.gif": (netpbm("still.ppm"), None),
    "grey-alpha.tif": (netpbm("alpha.pgm"), netpbm("alpha.pgm")[::-1, :, 0]),
    "camera.jxl": (COLOURS, None),
    "camera.tif": (np.rot90(COLOURS, -1), None),
    "camera.png": (np.rot90(COLOURS, -1), None),
    "camera.webp": (np.rot90(COLOURS, -1), None),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_layouts_are_read_exactly(name: str) -> None:
    colours, alpha = OTHERS[name]
    photo = fixture(name)
    if alpha is None:
        assert photo.alpha is None
        np.testing.assert_array_equal(photo.pixels, colours)
    else:
        np.testing.assert_array_equal(photo.alpha, alpha)
        np.testing.assert_array_equal(photo.pixels[alpha > 0], colours[alpha > 0])


@pytest.mark.parametrize("name", ["camera.jpg", "jpeg-inside.jxl", "camera.heic", "camera.avif"])
def test_lossy_pictures_are_read_the_right_way_up(name: str) -> None:
    # HEIC and AVIF store the turn in a box, which these files lack; their EXIF does not turn them.
    truth = COLOURS if name in ("camera.heic", "camera.avif") else np.rot90(COLOURS, -1)
    photo = fixture(name)
    assert photo.pixels.shape == truth.shape
    assert np.abs(photo.pixels.astype(int) - truth).mean() < 5


def test_one_bit_is_read_exactly() -> None:
    size, rows = (FIXTURES / "bilevel.pbm").read_bytes().split(b"\n", 2)[1:]
    assert size == b"24 16"
    black = np.unpackbits(np.frombuffer(rows, np.uint8)).reshape(16, 24)
    photo = fixture("bilevel.tif")
    np.testing.assert_array_equal(photo.pixels[..., 0], np.where(black, 0, 255))


@pytest.mark.parametrize("kind", ["jpg", "tif"])
def test_cmyk_is_converted_by_its_profile_and_said_so(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    photo = fixture(f"cmyk.{kind}")
    truth = netpbm(f"cmyk-{kind}.ppm").astype(int)
    assert np.abs(photo.pixels - truth).max() <= 1
    assert "CMYK colours were converted to sRGB" in caplog.text
    assert photo.metadata.icc_profile is not None
    assert photo.metadata.icc_profile[16:20] == b"RGB "
    assert photo.metadata.icc_profile == fixture(f"cmyk.{kind}").metadata.icc_profile


def test_a_broken_cmyk_profile_is_a_sentence() -> None:
    data = (FIXTURES / "cmyk.jpg").read_bytes()
    with pytest.raises(InputError, match="its profile cannot be used"):
        read_photo(data.replace(b"mft1", b"mftX"), "a.jpg")


REFUSED = {
    "animation.gif": "contains several pictures",
    "animation.png": "contains several pictures",
    "animation.webp": "contains several pictures",
    "animation.jxl": "contains several pictures",
    "pages.tif": "contains several pictures",
    "cmyk-untagged.jpg": "CMYK colours without a CMYK profile",
    "cmyk16.tif": "CMYK colours of 16 bits",
    "rgb-float.tif": "in floating-point numbers",
    "ten-bits.heic": "has 10 bits per channel",
    "sixteen-bits.jxl": "has 16 bits per channel",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_kept_is_refused_by_its_header(name: str) -> None:
    for read in (read_header, read_photo):
        with pytest.raises(InputError, match=f"^{name} (is )?{REFUSED[name]}|^{name} .*{REFUSED[name]}.*: "):
            read(FIXTURES / name, name)


def pages(mode: str, *, big: bool) -> bytes:
    """A TIFF with two pages, as Pillow writes it."""
    page = Image.radial_gradient("L").resize((6, 5)).convert(mode)
    file = io.BytesIO()
    page.save(file, "TIFF", compression="tiff_lzw", big_tiff=big, save_all=True, append_images=[page])
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        (FIXTURES / "pages.tif").read_bytes(),
        *(pages(mode, big=big) for mode in "L1" for big in (False, True)),
    ],
    ids=["fixture", "grey", "grey BigTIFF", "1 bit", "1 bit BigTIFF"],
)
def test_pages_are_refused_wherever_the_file_is_cut_off(data: bytes) -> None:
    for length in range(len(data)):
        for read in (read_header, read_photo):
            with pytest.raises(InputError, match=r"^pages\.tif "):
                read(data[:length], "pages.tif")


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("camera.heic", "pillow_heif", "heic"), ("camera.jxl", "pillow_jxl", "jxl")],
)
def test_without_its_plugin_a_format_is_refused_by_a_sentence_that_names_the_extra(
    name: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    for read in (read_header, read_photo):
        with pytest.raises(InputError, match=rf"needs an extra: pip install 'manet-cli\[{extra}\]'"):
            read(FIXTURES / name, name)


def test_a_jpeg_xl_of_a_size_beyond_the_limit_is_refused_before_it_is_decoded() -> None:
    data = (FIXTURES / "camera.jxl").read_bytes()
    start = data[: data.index(b"jxlc") + 20]
    with pytest.raises(InputError, match=r"camera\.jxl has 24x16 pixels, more than the limit of 383"):
        read_photo(start.ljust(len(data), b"\0"), "camera.jxl", max_pixels=383)


@pytest.mark.parametrize("name", ["camera.heic", "camera.jxl", "still.gif", "cmyk.tif", "camera.avif"])
def test_damaged_files_give_a_photo_or_a_sentence(name: str) -> None:
    data = (FIXTURES / name).read_bytes()
    generator = np.random.default_rng(7)
    sentences = 0
    for _ in range(40):
        damaged = bytearray(data[: int(generator.integers(len(data) // 2, len(data) + 1))])
        for _ in range(3):
            damaged[int(generator.integers(0, len(damaged)))] = int(generator.integers(0, 256))
        for read in (read_header, read_photo):
            try:
                read(bytes(damaged), name)
            except InputError:
                sentences += 1
    assert sentences > 0


DESCRIBED = [
    "camera.jpg",
    "camera.tif",
    "camera.png",
    "camera.webp",
    "camera.avif",
    "camera.heic",
    "camera.jxl",
]
HOLDS_IPTC = ("camera.jpg", "camera.tif", "camera.png")


def enlarged(photo: Photo) -> Photo:
    return replace(photo, pixels=np.repeat(np.repeat(photo.pixels, 4, 0), 4, 1))


@pytest.mark.parametrize("name", DESCRIBED)
def test_what_was_written_beside_the_pixels_is_read(name: str) -> None:
    metadata = fixture(name).metadata
    found = facts(metadata.exif)
    assert found["first"][0x010F] == "Maker"
    assert found["first"].get(0x0112, 1) == 1
    assert found["exif"][0x829A] == pytest.approx(0.008)
    assert found["exif"][0x9286] == b"ASCII\0\0\0Comment"
    assert found["gps"][2] == pytest.approx((48, 51, 0))
    assert found["thumbnail"] == {}
    assert metadata.icc_profile is not None
    assert b"Compatible with Adobe RGB" in metadata.icc_profile
    assert metadata.xmp is not None
    assert b"A title" in metadata.xmp
    assert b"tiff:Orientation>6<" not in metadata.xmp
    assert (metadata.iptc is not None) == (name in HOLDS_IPTC)
    if metadata.iptc is not None:
        assert metadata.iptc.startswith(b"\x1c\x02\x19\0\x07keyword")
        assert metadata.iptc.endswith((b"Caption\x1c\x02\0\0\x02\0\x04", b"Photographer"))
        assert metadata.dpi == pytest.approx((300, 300), abs=0.01)


def test_iptc_that_imagemagick_wrote_into_a_png_is_read() -> None:
    assert fixture("iptc.png").metadata.iptc == fixture("camera.jpg").metadata.iptc


@pytest.mark.parametrize("format_name", ["png", "jpeg", "webp", "tiff", "avif"])
@pytest.mark.parametrize("name", DESCRIBED)
def test_what_was_written_beside_the_pixels_comes_back(name: str, format_name: str) -> None:
    photo = enlarged(fixture(name))
    before, after = photo.metadata, again(photo, format_name).metadata
    assert after.icc_profile == before.icc_profile
    assert after.iptc == (before.iptc if format_name in ("png", "jpeg", "tiff") else None)
    found, expected = facts(after.exif), facts(before.exif)
    width, height = photo.width, photo.height
    assert (found["exif"][0xA002], found["exif"][0xA003]) == (width, height)
    for key in (0xA002, 0xA003):
        del found["exif"][key], expected["exif"][key]
    assert (found["exif"], found["gps"]) == (expected["exif"], expected["gps"])
    assert found["first"][0x0110] == "Model"
    assert after.xmp is not None
    assert b"exif:PixelXDimension>%d<" % width in after.xmp
    assert b"exif:PixelYDimension>%d<" % height in after.xmp
    assert b"A title" in after.xmp


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_finds_what_was_written_beside_the_pixels(tmp_path: Path) -> None:
    for name in ("camera.jpg", "camera.tif"):
        photo = enlarged(fixture(name))
        for format_name in ("png", "jpeg", "webp", "tiff", "avif"):
            path = tmp_path / f"{Path(name).suffix[1:]}.{format_name}"
            write_photo(photo, path, format_by_name(format_name), record='{"tool": "manet"}')
    command = ["exiftool", "-j", "-n", "-G1", "-a", str(tmp_path)]
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    assert len(found) == 10
    for tags in found:
        assert not [key for key in tags if "Warning" in key or "Error" in key], tags
        assert (tags["Composite:ImageSize"], tags["IFD0:Make"]) == ("64 96", "Maker")
        assert tags["ExifIFD:ExposureTime"] == 0.008
        assert (tags["ExifIFD:ExifImageWidth"], tags["ExifIFD:ExifImageHeight"]) == (64, 96)
        assert tags["Composite:GPSLatitude"] == 48.85
        assert tags.get("IFD0:Orientation", 1) == 1
        assert "IFD1:ThumbnailImage" not in tags
        assert tags["ICC_Profile:ProfileDescription"] == "Compatible with Adobe RGB (1998)"
        assert (tags["XMP-dc:Title"], tags["XMP-tiff:Orientation"]) == ("A title", 1)
        assert tags["XMP-exif:ExifImageWidth"] == 64
        path = Path(tags["SourceFile"])
        if path.suffix in (".png", ".jpeg", ".tiff"):
            assert (tags["IPTC:Keywords"], tags["IPTC:Caption-Abstract"]) == ("keyword", "Caption")
        if path.suffix in (".jpeg", ".tiff"):
            assert tags.get("IFD0:XResolution", tags.get("JFIF:XResolution")) == 300
        if path.suffix != ".png":
            assert "manet" in tags["IFD0:ImageHistory"]
