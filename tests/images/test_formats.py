from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manet_cli.errors import OutputError, UsageError
from manet_cli.images import (
    DEFAULT_FORMAT,
    FORMATS,
    ImageFormat,
    check_writable_as,
    format_by_name,
    format_for_suffix,
    has_picture_suffix,
    has_readable_suffix,
)
from tests.format_tables import TABLES, documented_table


@pytest.mark.parametrize(
    ("typed", "name"),
    [("png", "png"), ("jpg", "jpeg"), ("JPEG", "jpeg"), ("webp", "webp"), ("tif", "tiff"), ("tiff", "tiff")],
)
def test_a_format_is_found_by_what_a_user_types(typed: str, name: str) -> None:
    assert format_by_name(typed).name == name


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'gif' is unknown: choose one of png, jpeg, webp, tiff, bmp, avif"):
        format_by_name("gif")


@pytest.mark.parametrize(
    ("file", "name"), [("a.PNG", "png"), ("a.b.jpg", "jpeg"), ("a.tif", "tiff"), ("a.avif", "avif")]
)
def test_a_format_is_found_by_suffix(file: str, name: str) -> None:
    found = format_for_suffix(Path(file))
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("file", ["a", "a.txt", ".png", "png"])
def test_other_suffixes_have_no_format(file: str) -> None:
    assert format_for_suffix(Path(file)) is None


def test_the_known_suffixes_are_those_of_the_formats() -> None:
    written = [suffix for entry in FORMATS for suffix in entry.suffixes]
    assert {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".avif"} <= set(written)
    read_only = [".gif", ".heic", ".heif", ".hif", ".jxl"]
    for suffix in (*written, *read_only):
        assert has_readable_suffix(Path("a" + suffix.upper()))
        assert has_picture_suffix(Path("a" + suffix))
    for suffix in read_only:
        assert format_for_suffix(Path("a" + suffix)) is None
    assert has_picture_suffix(Path("a.PSD"))
    for name in ("a.psd", "a.txt", "a", ".png"):
        assert not has_readable_suffix(Path(name))
    assert not has_picture_suffix(Path("a.v2"))


def test_the_largest_side_is_writable_and_one_more_is_refused(fmt: ImageFormat) -> None:
    check_writable_as(fmt, fmt.largest_side, 1, alpha=False, bits=8)
    check_writable_as(fmt, 1, fmt.largest_side // 2, alpha=False, bits=8)
    with pytest.raises(
        OutputError, match=f"at most {fmt.largest_side} pixels a side, not .* choose png or tiff"
    ):
        check_writable_as(fmt, 1, fmt.largest_side + 1, alpha=False, bits=8)


@pytest.mark.parametrize("name", ["bmp", "avif"])
def test_the_largest_area_is_named(name: str) -> None:
    fmt = format_by_name(name)
    assert fmt.largest_area is not None
    with pytest.raises(OutputError, match=f"at most {fmt.largest_area} pixels, not 32768x32769|32768x32768"):
        check_writable_as(fmt, 32768, 32768 + (name == "bmp"), alpha=False, bits=8)


def test_alpha_and_16_bits_are_refused_where_they_do_not_fit(fmt: ImageFormat) -> None:
    for alpha, bits, fits in [
        (True, 8, fmt.alpha),
        (False, 16, fmt.bits16),
        (True, 16, fmt.alpha and fmt.bits16),
        (False, 8, True),
    ]:
        if fits:
            check_writable_as(fmt, 8, 8, alpha=alpha, bits=bits)
        else:
            with pytest.raises(OutputError, match="choose"):
                check_writable_as(fmt, 8, 8, alpha=alpha, bits=bits)


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_the_stated_side_is_the_encoders(name: str) -> None:
    fmt = format_by_name(name)
    Image.new("L", (fmt.largest_side, 1)).save(io.BytesIO(), fmt.pillow_name)
    with pytest.raises((OSError, ValueError)):
        Image.new("L", (fmt.largest_side + 1, 1)).save(io.BytesIO(), fmt.pillow_name)


def test_the_stated_side_of_avif_is_the_decoders() -> None:
    fmt = format_by_name("avif")
    for side, readable in [(fmt.largest_side, True), (fmt.largest_side + 1, False)]:
        file = io.BytesIO()
        Image.new("L", (side, 1)).save(file, "AVIF", speed=10)
        if readable:
            assert np.asarray(Image.open(file)).shape == (1, side)
        else:
            with pytest.raises(OSError, match="cannot identify"):
                Image.open(file)


@pytest.mark.parametrize("name", TABLES)
def test_the_docs_hold_the_tables_of_the_list(name: str) -> None:
    page, table = TABLES[name]
    assert documented_table(name) == table(), f"{page} is out of date: python -m tests.format_tables"


def test_an_encoder_that_needs_a_missing_extra_is_named_before_any_work() -> None:
    fmt = replace(DEFAULT_FORMAT, title="Odd", encoder="manet_cli.images.missing:encoder", extra="odd")
    with pytest.raises(OutputError, match=r"Odd files need an extra: pip install 'manet-cli\[odd\]'"):
        check_writable_as(fmt, 8, 8, alpha=False, bits=8)


def test_names_and_suffixes_are_unique() -> None:
    names = [name for entry in FORMATS for name in (entry.name, *entry.aliases)]
    suffixes = [suffix for entry in FORMATS for suffix in entry.suffixes]
    assert len(set(names)) == len(names)
    assert len(set(suffixes)) == len(suffixes)
