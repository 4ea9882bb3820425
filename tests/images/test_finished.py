"""Facts about results without decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from manet_cli.images import FORMATS, ImageFormat, Metadata, Photo, read_finished, write_photo
from tests.commands.conftest import texture


@pytest.fixture(params=[entry for entry in FORMATS if entry.record], ids=lambda entry: entry.name)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A result with a record, in each format with records."""
    fmt: ImageFormat = request.param
    path = tmp_path / f"result{fmt.suffixes[0]}"
    pixels = np.kron(texture(40, 60), np.ones((4, 4, 1), np.uint8))
    write_photo(Photo(pixels, None, Metadata()), path, fmt, record="a record")
    return path


def test_a_result_that_is_whole(written: Path) -> None:
    found = read_finished(written)
    assert found is not None
    assert (found.record, found.size, found.whole) == ("a record", (240, 160), True)
    with written.open("ab") as file:
        file.write(b"appended by another program")
    found = read_finished(written)
    assert found is not None
    assert found.whole or written.suffix == ".avif", "what follows the end is no part of it"


def test_no_cut_result_is_taken_for_whole(written: Path) -> None:
    """Truncated at any place, or partly filled with zeros."""
    data = written.read_bytes()
    seen, lengths, told_by_marks = 0, 0, written.suffix in (".png", ".jpg")  # the others have lengths alone
    for length in {*range(0, len(data), max(1, len(data) // 60)), *range(len(data) - 12, len(data))}:
        for content in (data[:length], data[:length].ljust(len(data), b"\0")):
            written.write_bytes(content)
            found = read_finished(written)
            lengths += len(content) < len(data)
            seen += len(content) < len(data) and found is not None and found.record == "a record"
            if len(content) < len(data) or (told_by_marks and length < len(data) - 4):
                assert found is None or found.record is None or not found.whole, length
    assert seen > 0.75 * lengths, "the record stands before the pixels"


def test_the_beginning_of_other_files_is_none_of_ours(written: Path) -> None:
    """Neither a whole file that cannot be opened, nor a cut one without a record."""
    if written.suffix == ".png":
        pytest.skip("opened wherever it is cut off")
    data = bytearray(written.read_bytes())
    record = data.index(b"a record")
    for damaged in (data[:record] + bytes(8), data[: record + 4]):
        written.write_bytes(damaged)
        found = read_finished(written)
        assert found is None or found.record != "a record"
    if written.suffix == ".webp":
        fmt = data.index(b"VP8 ")
        data[fmt : fmt + 40] = b"x" * 40
        written.write_bytes(data)
        assert read_finished(written) is None


def test_what_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    for name in ("a.png", "none.png", "x" * 300, "."):
        assert read_finished(tmp_path / name) is None
