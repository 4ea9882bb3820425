"""The option ``--size``."""

from __future__ import annotations

import pytest

from manet_cli.errors import OutputError, UsageError
from manet_cli.images import Header
from manet_cli.jobs.upscale.size import parse_size


def size(text: str, width: int, height: int) -> tuple[int, int]:
    result = parse_size(text).of(Header(width, height, 3, False, 8), 4)
    return result.width, result.height


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("300", (300, 200)),
        ("300x", (300, 200)),
        ("x300", (450, 300)),
        ("300x300", (300, 200)),
        ("900X200", (300, 200)),
        ("301x200", (300, 200)),
        ("38x", (38, 25)),
        ("1200x800", (1200, 800)),
        ("x25", (38, 25)),
    ],
)
def test_the_aspect_stays(text: str, expected: tuple[int, int]) -> None:
    assert size(text, 600, 400) == expected


@pytest.mark.parametrize("shares", [(0.333, 0.777), (0.5, 0.5), (1.999, 0.31)])
@pytest.mark.parametrize("source", [(600, 400), (401, 599), (64001, 3), (7, 7)])
def test_both_sides_are_bounds_and_one_is_reached(
    shares: tuple[float, float], source: tuple[int, int]
) -> None:
    scaled = source[0] * 200, source[1] * 200
    box = [round(side * share) for side, share in zip(scaled, shares, strict=True)]
    width, height = size(f"{box[0]}x{box[1]}", *scaled)
    assert width <= box[0]
    assert height <= box[1]
    assert width == box[0] or height == box[1]


@pytest.mark.parametrize(
    "text", ["", "x", "0x", "x0", "10x0", "-5", "3.5x", "10*20", "10x20x30", "10 x 20", "9" * 12]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected WxH, Wx or xH"):
        parse_size(text)


@pytest.mark.parametrize("text", ["37x", "x24", "x9", "1x", "8x", "3000x20", "x0.2"])
def test_less_than_a_quarter_of_the_input_is_refused(text: str) -> None:
    with pytest.raises(OutputError, match="of an input of 150x100, less than a quarter"):
        size(text, 600, 400)


def test_much_more_than_the_result_is_refused() -> None:
    with pytest.raises(OutputError, match="size='1202x' makes 1202x801 pixels of a result of 600x400"):
        size("1202", 600, 400)


def test_what_it_is_called_can_be_parsed() -> None:
    for text in ("300x", "x300", "300x200", "x2.5", "x0.75", "x9"):
        assert str(parse_size(text)) == text
        assert parse_size(str(parse_size(text))) == parse_size(text)
    for text in ("x3", "X8", "x1", "x03"):
        assert parse_size(str(parse_size(text))) == parse_size(text)
    assert str(parse_size("0300")) == "300x"


@pytest.mark.parametrize(
    ("text", "scale", "expected"),
    [
        ("x2.5", 3, (375, 250)),
        ("x1.5", 2, (225, 150)),
        ("x2.0", 2, (300, 200)),
        ("x0.5", 2, (75, 50)),
        ("x3.333", 4, (500, 333)),
        ("X6.0", 4, (900, 600)),
        ("x1", 2, (150, 100)),
        ("x3", 3, (450, 300)),
        ("X8", 4, (1200, 800)),
    ],
)
def test_a_factor_is_of_the_input_at_the_next_larger_scale(
    text: str, scale: int, expected: tuple[int, int]
) -> None:
    size = parse_size(text)
    assert size.scale == scale
    assert size.ending(None) == f"_x{float(text[1:]):g}"
    result = size.of(Header(150 * scale, 100 * scale, 3, False, 8), scale)
    assert (result.width, result.height) == expected


def test_bounds_choose_no_scale_and_a_factor_has_its_limit() -> None:
    assert parse_size("300x").scale is None
    with pytest.raises(OutputError, match=r"size='x8\.5' makes 1275x850"):
        parse_size("x8.5").of(Header(600, 400, 3, False, 8), 4)
    for text in ("x0.0", "x0", "x00"):
        with pytest.raises(UsageError, match="a factor up to 8"):
            parse_size(text)
