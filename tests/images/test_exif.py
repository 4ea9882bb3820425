from __future__ import annotations

import struct

import pytest

from manet_cli.images import exif
from manet_cli.images.tiff_structure import CorruptTagsError, Layout, pack_directory

from .conftest import MAKER_NOTE, exif_block, facts

ORDERS = pytest.mark.parametrize("big_endian", [False, True])


@ORDERS
@pytest.mark.parametrize("turn", range(1, 9))
def test_the_orientation_is_read_and_reset_in_place(turn: int, big_endian: bool) -> None:
    block = exif_block(orientation=turn, big_endian=big_endian)
    assert exif.orientation(block) == turn
    cleaned = exif.cleaned(b"Exif\0\0Exif\0\0" + block)
    assert exif.orientation(cleaned) == 1
    assert len(cleaned) == len(block)
    assert sum(old != new for old, new in zip(block, cleaned, strict=True)) == (turn != 1)


@pytest.mark.parametrize("turn", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(turn: int) -> None:
    assert exif.orientation(exif_block(orientation=turn)) == 1


@ORDERS
def test_the_thumbnail_is_unlinked_and_its_picture_gone(big_endian: bool) -> None:
    block = exif_block(big_endian=big_endian, thumbnail=True)
    assert facts(block)["thumbnail"]
    cleaned = exif.cleaned(block)
    assert facts(cleaned)["thumbnail"] == {}
    assert b"THUMB" not in cleaned
    assert facts(cleaned)["gps"] == facts(block)["gps"]


@pytest.mark.parametrize("start", [0, 8, 2**31])
def test_a_thumbnail_that_points_at_other_data_blanks_nothing(start: int) -> None:
    block = bytearray(exif_block(orientation=1, thumbnail=True))
    position = block.rindex(struct.pack("<HHL", 0x0201, 4, 1)) + 8
    struct.pack_into("<L", block, position, start)
    cleaned = exif.cleaned(bytes(block))
    assert facts(cleaned) | {"thumbnail": None} == facts(bytes(block)) | {"thumbnail": None}


@ORDERS
def test_the_sizes_are_updated_and_nothing_else_moves(big_endian: bool) -> None:
    block = exif_block(big_endian=big_endian)
    sized = exif.with_size(block, 70_000, 123, (70_000, 123))
    found = facts(sized)
    assert (found["first"][0x0100], found["first"][0x0101]) == (70_000, 123)
    assert (found["exif"][0xA002], found["exif"][0xA003]) == (70_000, 123)
    assert sized.index(MAKER_NOTE) == block.index(MAKER_NOTE)


def test_sizes_that_were_not_there_are_not_added() -> None:
    assert exif.with_size(exif.with_history(None, "x"), 5, 6, (1, 1)) == exif.with_history(None, "x")


@ORDERS
def test_the_orientation_can_be_taken_out(big_endian: bool) -> None:
    block = exif_block(big_endian=big_endian, thumbnail=True)
    found = facts(exif.without_orientation(block))
    expected = facts(block)
    del expected["first"][0x0112]
    assert found == expected
    assert exif.without_orientation(exif_block(orientation=None)) == exif_block(orientation=None)


@ORDERS
def test_a_history_is_added_replaced_and_read(big_endian: bool) -> None:
    block = exif_block(big_endian=big_endian)
    assert exif.history(block) is None
    once = exif.with_history(block, "a longer first record")
    twice = exif.with_history(once, "abc")
    assert exif.history(once) == "a longer first record"
    assert exif.history(twice) == "abc"
    assert facts(twice)["first"] == facts(block)["first"] | {0x9213: "abc"}
    assert facts(twice)["exif"] == facts(block)["exif"]
    assert twice.index(MAKER_NOTE) == block.index(MAKER_NOTE)


@ORDERS
def test_a_directory_that_grew_is_sorted_as_the_standard_asks(big_endian: bool) -> None:
    order = ">" if big_endian else "<"
    block = bytearray(exif_block(big_endian=big_endian))
    position = block.index(struct.pack(order + "HH", 0x8825, 4))
    struct.pack_into(order + "H", block, position, 0xC000)  # now the last tag, above ImageHistory
    grown = exif.with_history(bytes(block), "abc")
    (first,) = struct.unpack_from(order + "L", grown, 4)
    (count,) = struct.unpack_from(order + "H", grown, first)
    tags = [struct.unpack_from(order + "H", grown, first + 2 + 12 * entry)[0] for entry in range(count)]
    assert {0x9213, 0xC000} <= set(tags)
    assert tags == sorted(tags)


def test_a_history_needs_no_block() -> None:
    block = exif.with_history(None, "x" * 1000)
    assert exif.history(block) == "x" * 1000
    assert facts(block)["first"] == {0x9213: "x" * 1000}


def test_a_history_that_is_not_ascii_is_an_error() -> None:
    with pytest.raises(UnicodeEncodeError):
        exif.with_history(None, "é")


@ORDERS
@pytest.mark.parametrize("big_tiff", [False, True])
def test_a_block_survives_the_way_into_a_tiff_and_out(big_tiff: bool, big_endian: bool) -> None:
    block = exif_block(orientation=None, big_endian=big_endian)
    layout = Layout("<", big=big_tiff)
    file = bytearray(layout.start(0))

    def append(data: bytes) -> int:
        file.extend(data)
        return len(file) - len(data)

    entries = exif.descriptive_entries(block, append, layout)
    first = append(pack_directory(layout, entries))
    file[: len(layout.start(0))] = layout.start(first)
    back = exif.from_tiff(bytes(file))
    found, expected = facts(back), facts(block)
    del expected["first"][0x0100], expected["first"][0x0101]
    assert found == expected
    assert found["interoperability"] == {1: "R98"}


@pytest.mark.parametrize("pointer", [8, 0x7FFFFFFF])
def test_directories_in_a_circle_or_nowhere_are_left_out(pointer: int) -> None:
    entries = [(0x010F, 2, 4, int.from_bytes(b"abc\0", "little")), (0x8769, 4, 1, pointer)]
    body = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    file = b"II*\0" + struct.pack("<LH", 8, 2) + body + bytes(4)
    found = facts(exif.from_tiff(file))
    assert found["first"] == {0x010F: "abc"}
    assert 0x8769 not in found["exif"]


def test_overlapping_values_do_not_multiply() -> None:
    size = 60_000
    tags = range(1, 2000)
    inner_start = 8 + 2 + 12 + 4
    inner = b"".join(struct.pack("<HHLL", tag, 7, size, 0) for tag in tags)
    directory = struct.pack("<LHHHLLL", 8, 1, 0x8769, 4, 1, inner_start, 0)
    file = b"II*\0" + directory + struct.pack("<H", len(tags)) + inner + bytes(4)
    file = file.ljust(size, b"\0")
    copied = exif.from_tiff(file)
    assert copied is not None
    assert len(copied) < 3 * size


@pytest.mark.parametrize("length", range(0, 26, 3))
def test_a_block_cut_off_is_an_error_of_its_own(length: int) -> None:
    with pytest.raises(CorruptTagsError):
        exif.cleaned(exif_block()[:length])


def lenient(kind: int, values: bytes, *, following: bytes = b"", count: int = 1, entries: int = 1) -> bytes:
    """A block with only an orientation."""
    value = values if len(values) <= 4 else struct.pack(">L", 8 + 2 + 12 + len(following))
    entry = struct.pack(">HHL", 0x0112, kind, count) + value.ljust(4, b"\0")
    tail = values if len(values) > 4 else b""
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", entries) + entry + following + tail


LENIENT = {
    "no offset of a next directory": lenient(3, b"\0\6"),
    "half an offset": lenient(3, b"\0\6", following=b"\0\0"),
    "two values": lenient(3, b"\0\6\0\6", count=2, following=bytes(4)),
    "two values, the second another": lenient(3, b"\0\6\0\1", count=2, following=bytes(4)),
    "three values, outside of the entry": lenient(3, b"\0\6\0\6\0\6", count=3, following=bytes(4)),
    "a long": lenient(4, b"\0\0\0\6", following=bytes(4)),
    "a byte": lenient(1, b"\6", following=bytes(4)),
    "a signed short": lenient(8, b"\0\6", following=bytes(4)),
}


@pytest.mark.parametrize("block", LENIENT.values(), ids=LENIENT)
def test_an_orientation_that_lenient_readers_read_is_read_and_reset(block: bytes) -> None:
    assert exif.orientation(block) == 6
    cleaned = exif.cleaned(block)
    assert exif.orientation(cleaned) == 1
    assert len(cleaned) == len(block)
    rewritten = exif.with_history(cleaned, "made")
    assert (exif.orientation(rewritten), exif.history(rewritten)) == (1, "made")
    assert facts(rewritten)["first"][0x0112] == 1


@pytest.mark.parametrize("kind", [2, 5, 12, 99])
def test_an_orientation_that_cannot_be_read_is_left_as_it_is(kind: int) -> None:
    block = lenient(kind, b"6\0", count=2 if kind == 2 else 1, following=bytes(4))
    assert exif.orientation(block) == 1
    assert exif.cleaned(block) == block


def test_a_directory_that_is_cut_off_turns_and_is_not_kept() -> None:
    block = lenient(3, b"\0\6", entries=7)
    assert exif.orientation(block) == 6
    with pytest.raises(CorruptTagsError):
        exif.cleaned(block)
