"""Measure the speed of the networks on a device, on tiles of a run's size."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Speed", "measure_speed"]

# Other programs slow down small squares most: every layer waits for the last thread.
_FIRST_SIDE = 128
_SECONDS = 3.0  # most time of a measurement, unless two runs of the first size take longer
_RUNS = 2.5  # number of runs of the next size that must fit in the time left
_AGREE = 1.1  # two runs agree if they differ by less than this factor


@dataclass(frozen=True)
class Speed:
    """Time of the networks, as a range: other programs slow them down.

    Attributes:
        fastest: seconds per pixel that the restorer computes, with the tiles' context.
        slowest: likewise; close to ``fastest`` if the runs agreed.
        side: side of the timed square in LR pixels.
    """

    fastest: float
    slowest: float
    side: int

    @property
    def mean(self) -> float:
        """The middle of the range."""
        return (self.fastest + self.slowest) / 2


def measure_speed(
    run: Callable[[int], int],
    largest: int,
    pixels: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Time growing squares, each until two of three runs agree.

    Args:
        run: runs the networks on a square of this side and returns the number of pixels that the restorer
            computed.
        largest: side of a tile in the run to predict.
        pixels: number of pixels that the restorer computes in this run. The measurement takes no longer than
            the run.
        clock: returns seconds from an arbitrary start.

    Raises:
        ManetError: the networks do not work.
    """
    side = min(_FIRST_SIDE, largest, max(math.isqrt(int(pixels)) // 2, 1))
    run(side)  # warm-up

    def timed() -> float:
        began = clock()
        computed = run(side)
        return (clock() - began) / computed

    started = clock()
    found = [timed()]
    end = started + min(_SECONDS, found[0] * pixels / 2)  # half: the warm-up took time too
    while True:
        # At least two runs: the first of a size is often slower.
        while len(found) < 2 or (not _agreeing(found) and clock() + min(found) * side**2 < end):
            found.append(timed())
        larger = min(2 * side, largest)
        if larger == side or clock() + _RUNS * min(found) * larger**2 > end:
            break
        side = larger
        found = [timed()]
    low, high = _agreeing(found) or (min(found), max(found))
    return Speed(max(low, 1e-12), max(high, 1e-12), side)


def _agreeing(found: list[float]) -> tuple[float, float] | None:
    """Return the two closest of the last three times if they agree."""
    last = sorted(found[-3:])
    pairs = sorted(itertools.pairwise(last), key=lambda pair: pair[1] - pair[0])
    return pairs[0] if pairs and pairs[0][1] <= pairs[0][0] * _AGREE else None
