"""The main picture of a container: raw files, previews, thumbnails, pages, masks."""

from __future__ import annotations

import struct
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from manet_cli.errors import InputError
from manet_cli.images import has_readable_suffix, read_header, read_photo

from .conftest import pixels

PREVIEW, PAGE, MASK = 1, 2, 4
CFA, LINEAR, GREY, RGB = 32803, 34892, 1, 2
LABEL, OLD_LABEL, SUB, DNG = 254, 255, 330, 50706


class Part(NamedTuple):
    """A directory of a file: its pixels (H, W) or (H, W, 3), more tags, and the directories below it."""

    values: npt.NDArray[Any]
    tags: dict[int, int] = {}  # noqa: RUF012 - never changed
    below: Sequence[Part] = ()


def tiff(*parts: Part, order: Literal["<", ">"] = "<", mark: bytes = b"") -> bytes:
    """A TIFF file of these pictures in a chain; `mark`: bytes after its first eight."""
    data = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4) + mark.ljust(8, b"\0"))

    def add(part: Part) -> tuple[int, int]:
        """Append a directory; return its offset, and the position of the next directory's offset."""
        inner = [add(child)[0] for child in part.below]
        values = part.values
        height, width, *channels = values.shape
        place = len(data)
        data.extend(values.astype(values.dtype.newbyteorder(order)).tobytes())
        samples = channels[0] if channels else 1
        tags = {256: width, 257: height, 258: 8 * values.itemsize, 259: 1, 262: RGB if channels else GREY}
        tags |= {273: place, 277: samples, 278: height, 279: values.nbytes} | part.tags
        lists = {}
        if samples > 1:
            lists[258] = [8 * values.itemsize] * samples
        if inner:
            tags[SUB] = inner[0]
            if len(inner) > 1:
                lists[SUB] = inner
        places = {}
        for tag, numbers in lists.items():
            places[tag] = len(data)
            data.extend(struct.pack(f"{order}{len(numbers)}L", *numbers))
        data.extend(bytes(len(data) % 2))
        offset = len(data)
        data.extend(struct.pack(order + "H", len(tags)))
        for tag in sorted(tags):
            if tag in lists:
                data.extend(struct.pack(order + "HHLL", tag, 4, len(lists[tag]), places[tag]))
            elif tag == DNG:
                data.extend(struct.pack(order + "HHL4B", tag, 1, 4, 1, 4, 0, 0))
            else:
                data.extend(struct.pack(order + "HHLL", tag, 4, 1, tags[tag]))
        data.extend(bytes(4))
        return offset, len(data) - 4

    link = 4
    for part in parts:
        offset, following = add(part)
        struct.pack_into(order + "L", data, link, offset)
        link = following
    return bytes(data)


MAIN = pixels(3)
SMALL = MAIN[::3, ::3].copy()
SENSOR = (pixels(1, np.uint16)[..., 0] // 8 + 64).astype(np.uint16)
PATTERN = {262: CFA, LABEL: 0, 33421: 2 | 2 << 16, 33422: 0}


def cfa(values: npt.NDArray[Any] = SENSOR) -> Part:
    return Part(values, {262: CFA, LABEL: 0})


RAW = {
    "DNG": tiff(Part(SMALL, {LABEL: PREVIEW, DNG: 1}, [cfa()])),
    "DNG whose first picture is the sensor's": tiff(Part(SENSOR, {262: CFA, LABEL: 0, DNG: 1})),
    "linear DNG": tiff(Part(SMALL, {LABEL: PREVIEW, DNG: 1}, [Part(MAIN, {262: LINEAR, LABEL: 0})])),
    "NEF, big-endian": tiff(Part(SMALL, {LABEL: PREVIEW}, [Part(SMALL), cfa()]), order=">"),
    "ARW": tiff(Part(SMALL, {LABEL: PREVIEW}, [cfa()]), Part(SMALL, {LABEL: PREVIEW})),
    "PEF": tiff(cfa(), Part(SMALL)),
    "compressed as Sony does": tiff(Part(SENSOR, {259: 32767})),
    "CR2": tiff(Part(MAIN), Part(SMALL), mark=b"CR\2\0"),
    "IIQ": tiff(Part(MAIN), mark=b"IIII\0waR"),
    "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1" + bytes(60),
    "CRW": b"II\x1a\0\0\0HEAPCCDR" + bytes(60),
    "RAF": b"FUJIFILMCCD-RAW 0201" + bytes(60),
    "ORF": b"IIRO\x08\0\0\0" + bytes(60),
    "RW2": b"IIU\0\x18\0\0\0" + bytes(60),
    "MRW": b"\0MRM" + bytes(60),
    "X3F": b"FOVb" + bytes(60),
}


@pytest.mark.parametrize("name", ["a.dng", "renamed.tif", "standard input"])
@pytest.mark.parametrize("data", RAW.values(), ids=RAW)
def test_without_the_extra_no_preview_is_taken_for_a_raw_file(
    data: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    for read in (read_header, read_photo):
        with pytest.raises(InputError, match=rf"^{name} is a camera raw file.*'manet-cli\[raw\]'"):
            read(data, name)


@pytest.mark.parametrize("suffix", [".nef", ".IIQ", ".3fr"])
def test_a_tiff_named_as_raw_files_are_is_one(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    data = tiff(Part(MAIN))
    assert read_photo(data, "a.tif").height == 24
    with pytest.raises(InputError, match="is a camera raw file"):
        read_photo(data, "a" + suffix)
    assert has_readable_suffix(Path("a" + suffix))


class FakeRaw:
    """A stand-in for rawpy's file: 40x24 pixels, turned by `flip`."""

    def __init__(self, file: Any, flip: int = 0, error: Exception | None = None) -> None:  # noqa: ANN401
        self.data = file.read()
        self.error = error
        self.sizes = types.SimpleNamespace(iwidth=40, iheight=24, flip=flip)
        self.settings: dict[str, Any] = {}

    def __enter__(self) -> FakeRaw:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def postprocess(self, **settings: Any) -> npt.NDArray[np.uint16]:  # noqa: ANN401
        self.settings |= settings
        if self.error:
            raise self.error
        values = pixels(3, np.uint16)
        return np.rot90(values) if self.sizes.flip in (5, 6) else values


def install(monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[FakeRaw]:  # noqa: ANN401
    opened: list[FakeRaw] = []

    def imread(file: object) -> FakeRaw:
        opened.append(FakeRaw(file, **options))
        return opened[-1]

    space = types.SimpleNamespace(sRGB="sRGB")
    monkeypatch.setitem(sys.modules, "rawpy", types.SimpleNamespace(imread=imread, ColorSpace=space))
    return opened


@pytest.mark.parametrize("flip", [0, 3, 5, 6])
@pytest.mark.parametrize("data", [RAW["DNG"], RAW["CR3"]], ids=["DNG", "CR3"])
def test_a_raw_file_is_decoded_to_srgb_of_16_bits(
    data: bytes, flip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = install(monkeypatch, flip=flip)
    read = read_photo(data, "a.dng")
    assert read_header(data, "a.dng") == read.header
    assert (read.width, read.height) == ((24, 40) if flip in (5, 6) else (40, 24))
    expected = pixels(3, np.uint16)
    np.testing.assert_array_equal(read.pixels, np.rot90(expected) if flip in (5, 6) else expected)
    assert read.pixels.dtype == np.uint16
    assert (read.metadata.icc_profile or b"")[16:20] == b"RGB "
    assert opened[0].data == data
    assert opened[0].settings["use_camera_wb"] is True
    assert (opened[0].settings["output_bps"], opened[0].settings["output_color"]) == (16, "sRGB")


@pytest.mark.parametrize("message", [b"Unsupported file format", "out of order"])
def test_what_libraw_cannot_decode_gets_a_sentence(
    message: bytes | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, error=RuntimeError(message))
    with pytest.raises(InputError, match=r"^a\.dng is a camera raw file that cannot be decoded \([Uo]"):
        read_photo(RAW["DNG"], "a.dng")


def test_a_raw_file_beyond_the_limit_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = install(monkeypatch)
    for read in (read_header, read_photo):
        with pytest.raises(InputError, match="40x24 pixels, more than the limit of 959"):
            read(RAW["DNG"], "a.dng", 959)
    assert not any(one.settings for one in opened)


def test_a_raw_file_that_is_cut_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    data = bytearray(tiff(Part(SENSOR, {262: CFA, 279: 10**6})))
    with pytest.raises(InputError, match="is cut off before its end"):
        read_photo(bytes(data), "a.dng")


def test_libraw_decodes_what_the_sensor_saw() -> None:
    pytest.importorskip("rawpy")
    levels = np.full((64, 96), 500, np.uint16)
    levels[:, 48:] = 3000
    part = Part(levels, {**PATTERN, 262: CFA, 50714: 0, 50717: 4095})
    data = dng_with_pattern(part)
    for name in ("a.dng", "renamed.tif"):
        read = read_photo(data, name)
        assert (read.width, read.height, read.pixels.dtype.name) == (96, 64, "uint16")
        assert read.header == read_header(data, name)
        assert read.pixels[:, 60:].mean() > 1.5 * read.pixels[:, :40].mean()


def dng_with_pattern(part: Part) -> bytes:
    """A DNG whose sensor has red, green, green and blue points."""
    data = bytearray(tiff(Part(SMALL, {LABEL: PREVIEW, DNG: 1}, [part])))
    pattern = data.index(struct.pack("<HHLL", 33421, 4, 1, 2 | 2 << 16))
    struct.pack_into("<HHLHH", data, pattern, 33421, 3, 2, 2, 2)
    struct.pack_into("<HHL4B", data, pattern + 12, 33422, 1, 4, 0, 1, 1, 2)
    return bytes(data)


ONE_PICTURE = {
    "alone": tiff(Part(MAIN)),
    "a preview behind": tiff(Part(MAIN, {LABEL: 0}), Part(SMALL, {LABEL: PREVIEW})),
    "a preview behind, old label": tiff(Part(MAIN), Part(SMALL, {OLD_LABEL: 2})),
    "a preview behind as in EXIF": tiff(Part(MAIN), Part(SMALL, {259: 6, 513: 8, 514: 20})),
    "a preview behind without a label": tiff(Part(MAIN), Part(SMALL)),
    "a mask behind": tiff(Part(MAIN), Part(MAIN[..., 0], {LABEL: MASK})),
    "smaller copies below": tiff(Part(MAIN, {}, [Part(SMALL, {LABEL: PREVIEW}), Part(SMALL)])),
    "a preview before": tiff(Part(SMALL, {LABEL: PREVIEW}), Part(MAIN, {LABEL: 0})),
    "a preview before, the main one below": tiff(Part(SMALL, {LABEL: PREVIEW}, [Part(MAIN, {LABEL: 0})])),
    "big-endian, preview before": tiff(Part(SMALL, {LABEL: PREVIEW}), Part(MAIN), order=">"),
    "one page": tiff(Part(MAIN, {LABEL: PAGE})),
}


@pytest.mark.parametrize("name", ONE_PICTURE)
def test_the_main_picture_of_a_tiff_is_read(name: str, caplog: pytest.LogCaptureFixture) -> None:
    data = ONE_PICTURE[name]
    read = read_photo(data, "a.tif")
    np.testing.assert_array_equal(read.pixels, MAIN)
    assert ("a.tif: its first picture is a preview" in caplog.text) == ("preview before" in name)
    assert read.header == read_header(data, "a.tif")


@pytest.mark.parametrize(
    "data",
    [
        tiff(Part(MAIN), Part(MAIN)),
        tiff(Part(MAIN, {LABEL: PAGE}), Part(MAIN, {LABEL: PAGE})),
        tiff(Part(MAIN, {LABEL: PAGE}), Part(SMALL, {LABEL: PAGE})),
        tiff(Part(MAIN), Part(MAIN[:12])),
        tiff(Part(SMALL, {LABEL: PREVIEW}), Part(MAIN), Part(MAIN)),
    ],
    ids=["two", "two pages", "a small page", "of another shape", "a preview and two"],
)
def test_pages_are_refused(data: bytes) -> None:
    for read in (read_header, read_photo):
        with pytest.raises(InputError, match="contains several pictures"):
            read(data, "a.tif")


@pytest.mark.parametrize("data", [b"II*\0" + bytes(100), b"MM\0+\0\x08" + bytes(100)])
def test_a_tiff_without_a_directory_is_refused(data: bytes) -> None:
    for read in (read_header, read_photo):
        with pytest.raises(InputError, match=r"^x is a damaged, truncated or unsupported TIFF file"):
            read(data, "x")


def test_directories_in_a_circle_end() -> None:
    data = bytearray(tiff(Part(MAIN), Part(SMALL, {LABEL: PREVIEW})))
    (first,) = struct.unpack("<L", data[4:8])
    struct.pack_into("<L", data, len(data) - 4, first)
    np.testing.assert_array_equal(read_photo(bytes(data), "a.tif").pixels, MAIN)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_channel_of_unspecified_meaning_is_read_as_transparency(
    channels: int, bits: int, order: Literal["<", ">"], caplog: pytest.LogCaptureFixture
) -> None:
    if bits == 16:
        if channels == 1:
            pytest.skip("16-bit grey with transparency is not read")
        pytest.importorskip("pyvips")
    values = pixels(channels + 1, np.uint8 if bits == 8 else np.uint16)
    tags = {262: GREY if channels == 1 else RGB}
    data = tiff(Part(values, {**tags, 338: 0}), order=order)
    read = read_photo(data, "a.tif")
    np.testing.assert_array_equal(read.pixels, values[..., :channels])
    np.testing.assert_array_equal(read.alpha, values[..., channels])
    assert "a.tif: a channel of unknown meaning is read as transparency" in caplog.text
    assert read_header(data, "a.tif") == read.header
    caplog.clear()
    np.testing.assert_array_equal(
        read_photo(tiff(Part(values, {**tags, 338: 2}), order=order), "b").alpha, read.alpha
    )
    assert not caplog.records


def test_an_empty_channel_of_unspecified_meaning_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    values = np.dstack([MAIN, np.zeros(MAIN.shape[:2], np.uint8)])
    read = read_photo(tiff(Part(values, {338: 0})), "a.tif")
    np.testing.assert_array_equal(read.pixels, MAIN)
    assert read.alpha is not None
    assert (read.alpha == 255).all()
    assert "a.tif: a channel of unknown meaning is empty and is not read" in caplog.text


def test_further_channels_are_said_not_to_be_read(caplog: pytest.LogCaptureFixture) -> None:
    data = bytearray(tiff(Part(np.dstack([pixels(4), pixels(1)]), {338: 2 << 16})))
    entry = data.index(struct.pack("<HHLL", 338, 4, 1, 2 << 16))
    struct.pack_into("<HHLHH", data, entry, 338, 3, 2, 2, 0)
    read = read_photo(bytes(data), "a.tif")
    np.testing.assert_array_equal(read.alpha, pixels(4)[..., 3])
    assert "a.tif: extra channels that are not read: 1" in caplog.text
