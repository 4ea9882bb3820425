"""The user's size of the result."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction

from manet_cli.errors import OutputError, Parameter, UsageError
from manet_cli.images import Header

__all__ = ["ResultSize", "parse_size"]

_FACTOR = re.compile(r"x\d{1,2}\.\d{1,4}|x0*[1-8]")
_PATTERN = re.compile(r"(?P<width>\d{1,9})?(?:x(?P<height>\d{1,9})?)?")
# Above this factor, interpolation becomes visible; a second run is better.
_LARGEST_ENLARGEMENT = 2
# Below this share of the input's side, the networks' detail is lost: a slip, such as x12 meant as a factor.
_SMALLEST_PART = 4


@dataclass(frozen=True)
class ResultSize:
    """Bounds of a result in pixels, or its factor to the input; the aspect ratio is always the input's.

    Attributes:
        width: largest width in pixels; None for no limit.
        height: largest height in pixels; None for no limit.
        factor: result pixels per input pixel along a side; None for bounds.
    """

    width: int | None = None
    height: int | None = None
    factor: Fraction | None = None

    def __str__(self) -> str:
        """Return the size in the syntax of the option."""
        if self.factor is not None:
            return f"x{float(self.factor)}"
        return f"{self.width or ''}x{self.height or ''}"

    @property
    def scale(self) -> int | None:
        """The smallest scale that reaches the factor, at most 4; None for bounds."""
        return None if self.factor is None else min(4, max(2, math.ceil(self.factor)))

    def ending(self, header: Header | None) -> str:
        """Return the ending of a result's name: ``_x2.5``, or ``_3000x2000`` in pixels.

        Args:
            header: header of the result; if it is None, the ending shows the bounds.
        """
        if self.factor is not None:
            return f"_x{float(self.factor):g}"
        return f"_{self}" if header is None else f"_{header.width}x{header.height}"

    def of(self, enlarged: Header, scale: int) -> Header:
        """Return the header of the result: the largest size within the bounds, or the factor's size.

        Args:
            enlarged: header of the super-resolved picture.
            scale: its scale.

        Raises:
            OutputError: the size is more than twice the super-resolved picture, or less than a quarter of the
                input along a side.
        """
        width, height = enlarged.width, enlarged.height
        if self.factor is not None:
            share = self.factor / scale
            across, down = (_rounded(side * share.numerator, share.denominator) for side in (width, height))
        elif self.width is not None and (self.height is None or self.width * height <= self.height * width):
            across, down = self.width, _rounded(height * self.width, width)
        else:
            assert self.height is not None
            across, down = _rounded(width * self.height, height), self.height
        if across > _LARGEST_ENLARGEMENT * width or down > _LARGEST_ENLARGEMENT * height:
            raise OutputError(
                Parameter("size", str(self)),
                f" makes {across}x{down} pixels of a result of {width}x{height}: give ",
                Parameter("size", f"{_LARGEST_ENLARGEMENT * width}x{_LARGEST_ENLARGEMENT * height}"),
                " or less, or upscale the result again",
            )
        before = width // scale, height // scale
        if _SMALLEST_PART * across < before[0] or _SMALLEST_PART * down < before[1]:
            meant = "" if self.factor else f" ({self} is in pixels; factors go up to x8)"
            raise OutputError(
                Parameter("size", str(self)),
                f" makes {across}x{down} pixels of an input of {before[0]}x{before[1]}, less than a quarter "
                f"along a side{meant}: give a larger size",
            )
        return replace(enlarged, width=across, height=down)


def parse_size(text: str) -> ResultSize:
    """Parse ``--size``.

    W or Wx is a width, xH a height, WxH both, as bounds. x1 to x8, also with a point as x2.5, is a factor.

    Raises:
        UsageError: the text has another form.
    """
    if _FACTOR.fullmatch(text.lower()) and (factor := Fraction(text[1:])):
        return ResultSize(factor=factor)
    match = _PATTERN.fullmatch(text.lower())
    sides = [int(side) if side else None for side in match.groups()] if match else [None, None]
    if sides == [None, None] or 0 in sides:
        raise UsageError(
            Parameter("size", text),
            ": expected WxH, Wx or xH in pixels, such as 3000x2000, 3000x or x2000, or a "
            "factor up to 8, such as x3 or x2.5",
        )
    return ResultSize(*sides)


def _rounded(numerator: int, denominator: int) -> int:
    """Return the quotient as a whole number, halves upwards, at least 1."""
    return max((2 * numerator + denominator) // (2 * denominator), 1)
