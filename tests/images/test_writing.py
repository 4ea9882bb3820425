from __future__ import annotations

import io
import logging
import os
import struct
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manet_cli.errors import OutputError, UsageError
from manet_cli.images import (
    ImageFormat,
    Metadata,
    Photo,
    exif,
    format_by_name,
    read_header,
    read_photo,
    read_record,
    tiff_writer,
    write_photo,
)

from .conftest import ICC, MAKER_NOTE, RECORD, XMP, exif_block, facts, photo, pixels, png_chunk

CAMERA = Metadata(exif_block(orientation=1), ICC, XMP.replace(b'"6"', b'"1"'), (300.0, 150.0))
PHOTOS = {
    "rgb": photo(3),
    "grey": photo(1),
    "rgba": photo(3, alpha=True),
    "grey-alpha": photo(1, alpha=True),
    "grey16": photo(1, bits=16),
    "rgb16": photo(3, bits=16),
    "rgba16": photo(3, alpha=True, bits=16),
}


def written(what: Photo, name: str, *, quality: int | None = None, record: str | None = None) -> bytes:
    file = io.BytesIO()
    write_photo(what, file, format_by_name(name), quality=quality, record=record)
    return file.getvalue()


def fits(what: Photo, fmt: ImageFormat) -> bool:
    return (what.alpha is None or fmt.alpha) and (what.pixels.dtype == np.uint8 or fmt.bits16)


@pytest.mark.parametrize("kind", PHOTOS)
def test_a_photo_comes_back(fmt: ImageFormat, kind: str) -> None:
    what = PHOTOS[kind]
    if not fits(what, fmt):
        with pytest.raises(OutputError, match="choose png"):
            written(what, fmt.name)
        return
    data = written(what, fmt.name)
    back = read_photo(data, "a")
    header = read_header(data, "a")
    assert (header.width, header.height) == (40, 24)
    assert back.pixels.dtype == what.pixels.dtype
    becomes_colour = fmt.name == "webp" or (fmt.name == "avif" and what.alpha is not None)
    assert fmt.keeps_grey(what.header) == (what.header.channels == 1 and not becomes_colour)
    assert back.pixels.shape[2] == (3 if becomes_colour else what.pixels.shape[2])
    if fmt.default_quality is None:
        np.testing.assert_array_equal(back.pixels, what.pixels)
    else:
        visible = np.ones((24, 40), bool) if what.alpha is None else what.alpha > 0
        difference = np.abs(back.pixels.astype(int) - what.pixels.astype(int))[visible]
        assert difference.mean() < 12
    if what.alpha is None:
        assert back.alpha is None
    elif fmt.name == "avif":
        assert back.alpha is not None
        assert np.abs(back.alpha.astype(int) - what.alpha).mean() < 4
    else:
        np.testing.assert_array_equal(back.alpha, what.alpha)


def test_jpeg_is_written_with_full_colour_resolution() -> None:
    with Image.open(io.BytesIO(written(photo(3), "jpeg"))) as image:
        layers = getattr(image, "layer", None)
    assert layers is not None
    assert {layer[1:3] for layer in layers} == {(1, 1)}


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])
def test_the_quality_decides_the_size(name: str) -> None:
    generator = np.random.default_rng(5)
    noise = Photo(generator.integers(0, 256, (64, 64, 3)).astype(np.uint8), None, Metadata())
    sizes = [len(written(noise, name, quality=quality)) for quality in (10, 60, 100)]
    assert sizes == sorted(set(sizes))
    default = format_by_name(name).default_quality
    assert written(noise, name) == written(noise, name, quality=default)


@pytest.mark.parametrize(
    ("name", "quality"), [("png", 90), ("tiff", 90), ("bmp", 90), ("jpeg", 0), ("webp", 101)]
)
def test_a_quality_without_meaning_is_refused(name: str, quality: int) -> None:
    with pytest.raises(UsageError, match=r"has no effect|choose a whole number from 1 to 100"):
        written(photo(3), name, quality=quality)


@pytest.mark.parametrize("record", [None, RECORD])
@pytest.mark.parametrize("name", ["png", "jpeg", "webp", "tiff", "avif"])
def test_metadata_is_kept_with_the_new_size(name: str, record: str | None) -> None:
    large = Photo(np.repeat(np.repeat(pixels(3), 4, 0), 4, 1), None, CAMERA)
    back = read_photo(written(large, name, record=record), "a").metadata
    assert back.icc_profile == ICC
    assert back.xmp == CAMERA.xmp
    if name in ("png", "jpeg", "tiff"):
        assert back.dpi == pytest.approx((300, 150), abs=0.02)
    found, expected = facts(back.exif), facts(CAMERA.exif)
    expected["first"] |= {0x0100: 160, 0x0101: 96}
    expected["exif"] |= {0xA002: 160, 0xA003: 96}
    if name in ("tiff", "avif"):
        del expected["first"][0x0112]
    if name == "tiff":
        del expected["first"][0x0100], expected["first"][0x0101]
    if record is not None and name != "png":
        expected["first"][0x9213] = record
    assert found == expected
    assert found["interoperability"] == {1: "R98"}


@pytest.mark.parametrize("record", [None, RECORD])
@pytest.mark.parametrize("name", ["png", "jpeg", "webp", "avif"])
def test_the_maker_note_stays_where_its_offsets_count_from(name: str, record: str | None) -> None:
    assert CAMERA.exif is not None
    back = read_photo(written(replace(photo(3), metadata=CAMERA), name, record=record), "a").metadata.exif
    assert back is not None
    assert back.index(MAKER_NOTE) == CAMERA.exif.index(MAKER_NOTE)


def test_big_endian_exif_goes_into_a_tiff() -> None:
    block = exif_block(orientation=None, big_endian=True)
    back = read_photo(written(replace(photo(3), metadata=Metadata(exif=block)), "tiff"), "a").metadata.exif
    found, expected = facts(back), facts(block)
    del expected["first"][0x0100], expected["first"][0x0101]
    assert found == expected


@pytest.mark.parametrize("field", [field.name for field in fields(Metadata) if field.name != "size"])
def test_a_row_says_which_metadata_is_kept(fmt: ImageFormat, field: str) -> None:
    value = getattr(replace(CAMERA, iptc=b"\x1c\x02\x05\0\x05Title"), field)
    back = read_photo(written(replace(photo(3), metadata=Metadata(**{field: value})), fmt.name), "a").metadata
    found = getattr(back, field)
    if field == "dpi" and found is not None:
        assert (found == pytest.approx(value, abs=0.02)) == (field in fmt.metadata)
    else:
        assert (found is not None) == (field in fmt.metadata)


def test_bmp_keeps_the_resolution() -> None:
    back = read_photo(written(replace(photo(3), metadata=CAMERA), "bmp"), "a").metadata
    assert back.dpi == pytest.approx((300, 150), abs=0.02)
    assert (back.exif, back.icc_profile, back.xmp) == (None, None, None)


@pytest.mark.parametrize(("name", "kept"), [("png", True), ("tiff", True), ("webp", False), ("avif", False)])
def test_a_profile_for_grey_goes_only_where_grey_goes(name: str, kept: bool) -> None:
    grey = ICC.replace(b"RGB ", b"GRAY")
    what = replace(photo(1, alpha=True), metadata=Metadata(icc_profile=grey))
    assert (read_photo(written(what, name), "a").metadata.icc_profile == grey) is kept


def test_a_tiff_is_deflated() -> None:
    with Image.open(io.BytesIO(written(photo(3), "tiff"))) as image:
        assert image.info["compression"] == "tiff_adobe_deflate"


def test_a_tiff_that_may_outgrow_4_gb_becomes_a_bigtiff(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    what = replace(photo(3), metadata=CAMERA)
    with monkeypatch.context() as patch:
        patch.setattr(tiff_writer, "_CLASSIC_BYTES", 1000)
        data = written(what, "tiff", record=RECORD)
    assert data[:4] == b"II\x2b\0"
    back = read_photo(data, "a")
    np.testing.assert_array_equal(back.pixels, what.pixels)
    classic = read_photo(written(replace(photo(3), metadata=CAMERA), "tiff", record=RECORD), "a").metadata
    assert facts(back.metadata.exif) == facts(classic.exif)
    assert replace(back.metadata, exif=None) == replace(classic, exif=None)
    (tmp_path / "a.tif").write_bytes(data)
    assert read_record(tmp_path / "a.tif") == RECORD


@pytest.mark.parametrize("with_metadata", [False, True])
def test_the_record_comes_back(fmt: ImageFormat, with_metadata: bool, tmp_path: Path) -> None:
    path = tmp_path / ("a" + fmt.suffixes[0])
    what = replace(photo(3), metadata=CAMERA) if with_metadata else photo(3)
    write_photo(what, path, fmt, record=RECORD)
    assert read_record(path) == (RECORD if fmt.record else None)
    read_photo(path, "a")
    write_photo(what, path, fmt)
    assert read_record(path) is None


def test_a_record_of_an_earlier_run_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    write_photo(photo(3), path, format_by_name("jpeg"), record="first")
    write_photo(read_photo(path, "a"), path, format_by_name("jpeg"), record="second")
    assert read_record(path) == "second"


def test_the_record_of_a_png_is_found_without_its_pixels(tmp_path: Path) -> None:
    data = written(photo(3), "png", record=RECORD)
    assert data.index(b"manet_cli") < data.index(b"IDAT")
    path = tmp_path / "a.png"
    path.write_bytes(data[: data.index(b"IDAT") + 8])
    assert read_record(path) == RECORD


def test_the_record_of_a_huge_png_is_found(tmp_path: Path) -> None:
    data = written(photo(3), "png", record=RECORD)
    header = png_chunk(b"IHDR", struct.pack(">LLBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    path = tmp_path / "a.png"
    path.write_bytes(data[:8] + header + data[33:])
    assert read_record(path) == RECORD
    assert Image.MAX_IMAGE_PIXELS is not None


def test_files_without_a_record_have_none(tmp_path: Path) -> None:
    for name, content in [("text.png", b"no picture"), ("empty.png", b""), ("png.png", b"\x89PNG\r\n\x1a\n")]:
        (tmp_path / name).write_bytes(content)
        assert read_record(tmp_path / name) is None
    odd = written(photo(3), "jpeg", record=RECORD).replace(b"Exif\0\0II", b"Exif\0\0XX")
    (tmp_path / "odd.jpg").write_bytes(odd)
    assert read_record(tmp_path / "odd.jpg") is None
    assert read_record(tmp_path / "missing.png") is None
    assert read_record(tmp_path) is None


def test_mutations_of_a_file_with_a_record_are_no_exception(tmp_path: Path) -> None:
    generator = np.random.default_rng(11)
    path = tmp_path / "a"
    for name in ("png", "jpeg", "webp", "tiff", "avif"):
        data = written(replace(photo(3), metadata=CAMERA), name, record=RECORD)
        for _ in range(60):
            damaged = bytearray(data)
            damaged[int(generator.integers(0, len(data)))] = int(generator.integers(0, 256))
            path.write_bytes(damaged)
            assert isinstance(read_record(path), str | None)


def test_equal_photos_give_equal_bytes(fmt: ImageFormat, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from manet_cli.images import *\n"
        "write_photo(read_photo(Path(sys.argv[1]), 'a'), Path(sys.argv[2]), format_by_name(sys.argv[3]),"
        " record='r')"
    )
    source = tmp_path / "source.png"
    source.write_bytes(written(replace(photo(3), metadata=CAMERA), "png"))
    what = read_photo(source, "a")
    first = written(what, fmt.name, record="r")
    assert written(what, fmt.name, record="r") == first
    subprocess.run([sys.executable, "-c", script, source, tmp_path / "again", fmt.name], check=True)
    assert (tmp_path / "again").read_bytes() == first


def test_the_bytes_of_avif_do_not_depend_on_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(5)
    noise = Photo(generator.integers(0, 256, (600, 600, 3)).astype(np.uint8), None, Metadata())
    results = set()
    for processors in ({0}, set(range(64))):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, known=processors: known, raising=False)
        results.add(written(noise, "avif"))
    assert len(results) == 1


@pytest.mark.parametrize("what", ["exif", "xmp"])
def test_what_a_jpeg_segment_cannot_hold_is_left_out(
    what: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    block = exif.with_history(exif_block(orientation=1), "x" * 70_000)
    metadata = Metadata(exif=block) if what == "exif" else Metadata(xmp=b"x" * 70_000)
    path = tmp_path / "a.jpg"
    with caplog.at_level(logging.WARNING):
        write_photo(replace(photo(3), metadata=metadata), path, format_by_name("jpeg"), record="r")
    assert "too many for a JPEG" in caplog.text
    assert read_record(path) == "r"
    assert read_photo(path, "a").metadata.xmp is None


def test_a_photo_can_be_written_to_a_pipe() -> None:
    script = (
        "import sys; from pathlib import Path; from manet_cli.images import *\n"
        "write_photo(read_photo(sys.stdin.buffer.read(), 'stdin'), sys.stdout.buffer,"
        " format_by_name(sys.argv[1]))"
    )
    for name in ("png", "tiff"):
        result = subprocess.run(
            [sys.executable, "-c", script, name],
            input=written(photo(3), "png"),
            stdout=subprocess.PIPE,
            check=True,
        )
        assert result.stdout == written(photo(3), name)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
def test_a_full_disk_is_a_sentence() -> None:
    with pytest.raises(OutputError, match=r"full cannot be written \(No space left on device\)"):
        write_photo(photo(3), Path("/dev/full"), format_by_name("png"))
    with (
        Path("/dev/full").open("wb", buffering=0) as file,
        pytest.raises(OutputError, match=r"the output cannot"),
    ):
        write_photo(photo(3), file, format_by_name("png"))


def test_a_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.png cannot be written \(No such file"):
        write_photo(photo(3), tmp_path / "x" / "a.png", format_by_name("png"))


def test_a_failing_encoder_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError("encoder error -2")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(
        OutputError, match=r"the output cannot be encoded as WEBP \(encoder error -2\): choose png"
    ):
        written(photo(3), "webp")


def test_damaged_exif_is_not_written(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("png", "jpeg", "webp", "tiff", "avif"):
        data = written(replace(photo(3), metadata=Metadata(exif=b"nonsense")), name, record="r")
        assert b"nonsense" not in data
    assert "the EXIF is damaged" in caplog.text
