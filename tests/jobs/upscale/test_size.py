"""What ``--size`` means."""

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
        ("1x", (1, 1)),
        ("1200x800", (1200, 800)),
        ("x1", (2, 1)),
    ],
)
def test_the_aspect_stays(text: str, expected: tuple[int, int]) -> None:
    assert size(text, 600, 400) == expected


@pytest.mark.parametrize("bounds", [(333, 777), (50, 50), (999, 10)])
@pytest.mark.parametrize("source", [(600, 400), (401, 599), (64001, 3), (7, 7)])
def test_both_sides_are_bounds_and_one_is_reached(bounds: tuple[int, int], source: tuple[int, int]) -> None:
    scaled = (source[0] * 200, source[1] * 200)
    width, height = size(f"{bounds[0]}x{bounds[1]}", *scaled)
    assert width <= bounds[0]
    assert height <= bounds[1]
    assert width == bounds[0] or height == bounds[1]


@pytest.mark.parametrize(
    "text", ["", "x", "0x", "x0", "10x0", "-5", "3.5x", "10*20", "10x20x30", "10 x 20", "9" * 12]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected WxH, Wx or xH"):
        parse_size(text)


def test_much_more_than_the_result_is_refused() -> None:
    with pytest.raises(OutputError, match="size='1202x' makes 1202x801 pixels of a result of 600x400"):
        size("1202", 600, 400)


def test_what_it_is_called_can_be_parsed() -> None:
    for text in ("300x", "x300", "300x200", "x2.5", "x0.75"):
        assert str(parse_size(text)) == text
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
    ],
)
def test_a_factor_is_of_the_input_at_the_next_larger_scale(
    text: str, scale: int, expected: tuple[int, int]
) -> None:
    size = parse_size(text)
    assert size.scale == scale
    result = size.of(Header(150 * scale, 100 * scale, 3, False, 8), scale)
    assert (result.width, result.height) == expected


def test_bounds_choose_no_scale_and_a_factor_has_its_limit() -> None:
    assert parse_size("300x").scale is None
    with pytest.raises(OutputError, match=r"size='x8\.5' makes 1275x850"):
        parse_size("x8.5").of(Header(600, 400, 3, False, 8), 4)
    with pytest.raises(UsageError, match="a factor with a point"):
        parse_size("x0.0")
