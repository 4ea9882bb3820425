"""The measurement for predictions, with the test's clock."""

from __future__ import annotations

import pytest

from manet_cli.jobs.durations import time_range
from manet_cli.jobs.speed import Speed, measure_speed

PIXELS = 10**9  # of a run that takes long


class Machine:
    """Takes a number of seconds per pixel, longer by a factor in the given runs and in the first."""

    def __init__(self, seconds: float, slower: dict[int, float] | None = None) -> None:
        self.now = 0.0
        self.sides: list[int] = []
        self._seconds = seconds
        self._slower = slower or {}

    def run(self, side: int) -> int:
        first = 1.0 if not self.sides else 0.0
        self.now += first + side * side * self._seconds * self._slower.get(len(self.sides), 1.0)
        self.sides.append(side)
        return side * side

    def clock(self) -> float:
        return self.now


def measured(machine: Machine, largest: int = 256, pixels: float = PIXELS) -> Speed:
    return measure_speed(machine.run, largest, pixels, machine.clock)


def test_a_fast_machine_is_timed_on_a_whole_tile() -> None:
    machine = Machine(1e-6)
    found = measured(machine)
    assert (found.side, machine.sides) == (256, [128, 128, 128, 256, 256])
    assert found.fastest == pytest.approx(1e-6)
    assert found.slowest == pytest.approx(1e-6)


def test_two_of_three_must_agree() -> None:
    machine = Machine(1e-6, {3: 3.0})
    found = measured(machine)
    assert machine.sides[3:] == [256] * 3
    assert found.slowest == pytest.approx(1e-6)


def test_a_machine_that_never_agrees_gives_a_range() -> None:
    found = measured(Machine(1e-5, {number: 1.2**number for number in range(100)}))
    assert found.slowest > 1.15 * found.fastest


@pytest.mark.parametrize("seconds", [1e-6, 1e-5, 1e-4, 1e-3])
@pytest.mark.parametrize("pixels", [32 * 32, 100 * 100, 1000 * 1000, PIXELS])
def test_a_measurement_is_short(seconds: float, pixels: int) -> None:
    """At most 3 s and no longer than the run, or two runs of the first square."""
    machine = Machine(seconds)
    found = measured(machine, pixels=pixels)
    smallest = 2 * machine.sides[0] ** 2 * seconds
    assert machine.now - 1.0 - smallest / 2 <= max(min(3.0, seconds * pixels), smallest)
    assert found.slowest == pytest.approx(seconds)


def test_a_tile_below_the_first_size() -> None:
    assert measured(Machine(1e-6), largest=16).side == 16


@pytest.mark.parametrize(
    ("low", "high", "said"), [(40.0, 44.0, "42 s"), (40.0, 70.0, "40 s to 1 min 10 s"), (0.0, 0.0, "0.0 s")]
)
def test_a_range_as_people_say_it(low: float, high: float, said: str) -> None:
    assert time_range(low, high) == said


def test_an_error_of_the_networks_comes_through() -> None:
    def fail(side: int) -> int:
        raise RuntimeError("broken driver")

    with pytest.raises(RuntimeError, match="broken driver"):
        measure_speed(fail, 256, PIXELS)
