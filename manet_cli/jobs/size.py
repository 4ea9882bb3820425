"""The size that a user wants the result to have."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from manet_cli.errors import OutputError, UsageError
from manet_cli.images import Header

__all__ = ["ResultSize", "parse_size"]

_PATTERN = re.compile(r"(?P<width>\d{1,9})?(?:x(?P<height>\d{1,9})?)?")
# Beyond this a plain enlargement of the result shows; a second run does it better.
_LARGEST_ENLARGEMENT = 2


@dataclass(frozen=True)
class ResultSize:
    """Bounds of a result; its aspect is always that of the input.

    Attributes:
        width: pixels that it may be wide; None if only the height matters.
        height: pixels that it may be high; None if only the width matters.
    """

    width: int | None
    height: int | None

    def __str__(self) -> str:
        """Return it as a user may type it."""
        return f"{self.width or ''}x{self.height or ''}"

    def of(self, enlarged: Header) -> Header:
        """Return what a super-resolved picture becomes: the largest within the bounds.

        Raises:
            OutputError: that is more than twice the super-resolved picture.
        """
        width, height = enlarged.width, enlarged.height
        if self.width is not None and (self.height is None or self.width * height <= self.height * width):
            across, down = self.width, _rounded(height * self.width, width)
        else:
            assert self.height is not None
            across, down = _rounded(width * self.height, height), self.height
        if across > _LARGEST_ENLARGEMENT * width or down > _LARGEST_ENLARGEMENT * height:
            raise OutputError(
                f"--size {self} makes {across}x{down} pixels of a result of {width}x{height}: ask for "
                f"at most {_LARGEST_ENLARGEMENT} times the result, or upscale the result again"
            )
        return replace(enlarged, width=across, height=down)


def parse_size(text: str) -> ResultSize:
    """Return the size that ``--size`` names: W or Wx (a width), xH (a height) or WxH (both, as bounds).

    Raises:
        UsageError: it is none of that.
    """
    match = _PATTERN.fullmatch(text.lower())
    sides = [int(side) if side else None for side in match.groups()] if match else [None, None]
    if sides == [None, None] or 0 in sides:
        raise UsageError(
            f"--size {text}: expected WxH, Wx or xH in pixels, such as 3000x2000, 3000x or x2000"
        )
    return ResultSize(*sides)


def _rounded(numerator: int, denominator: int) -> int:
    """Return the quotient as a whole number, halves upwards, at least 1."""
    return max((2 * numerator + denominator) // (2 * denominator), 1)
