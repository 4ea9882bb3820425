from __future__ import annotations

import threading
from pathlib import Path

import pytest
from torch.distributed import HashStore  # type: ignore[attr-defined]

from manet_cli.errors import InputError, NotStartedError, UsageError
from manet_cli.evaluation.self_check import Agreement
from manet_cli.jobs.sources import Source
from manet_cli.jobs.upscale.checks import CheckReport
from manet_cli.jobs.upscale.plan import Item
from manet_cli.jobs.upscale.result import Result
from manet_cli.jobs.upscale.sharing import Fleet, join_fleet


def plan(*names: str) -> list[Item]:
    return [Item(Source(name, Path(name)), Path(f"{name}_x4.png")) for name in names]


class Overtaking(HashStore):
    """A store in which the first process to count its plan is the last to report it."""

    def __init__(self) -> None:
        super().__init__()
        self._overtaken = threading.Event()

    def add(self, key: str, amount: int) -> int:
        count = int(super().add(key, amount))
        if key == "plans":
            self._overtaken.set()
        elif (count, amount) == (1, 1):
            assert self._overtaken.wait(10)
        return count


def agreed(*plans: list[Item], store: HashStore | None = None) -> tuple[list[Fleet], list[str]]:
    """A fleet of one process per plan, and the errors of processes that disagree."""
    store, wrong = store or HashStore(), list[str]()
    fleets = [Fleet(store, rank, len(plans), rank) for rank in range(len(plans))]

    def agree(fleet: Fleet, items: list[Item]) -> None:
        try:
            fleet.agree(items)
        except UsageError as error:
            wrong.append(str(error))

    threads = [threading.Thread(target=agree, args=pair) for pair in zip(fleets, plans, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return fleets, wrong


def test_every_picture_is_taken_by_one_and_told_by_the_first() -> None:
    items = plan("a", "b\udcff", "c", "d")
    (first, second), wrong = agreed(items, items)
    assert not wrong
    assert (first.first, second.first) == (True, False)
    check = CheckReport(Agreement(40.5, 30.25, (1, 2, 3, 4)))
    expected = [
        Result(items[0], "done", 4, 40, 80, 1.5, report=check),
        Result(items[1], "skipped", 4, 4, 8),
        Result(items[2], "failed", 4, error=InputError("c is bad.")),
        Result(items[3], "failed", 4, error=NotStartedError("d was not started.")),
    ]
    for fleet, place in ((first, 0), (second, 1), (second, 2), (first, 3)):
        assert fleet.take() == place
    assert (first.take(), second.take()) == (None, None)
    waited: list[int] = []

    def finish_another() -> None:
        place = (3, 1, 0, 2)[len(waited)]  # not in the plan's order
        waited.append(place)
        second.finished(place, expected[place])

    found = list(first.results(items, finish_another))
    assert waited == [3, 1, 0, 2]
    assert [repr(result) for result in found] == [repr(result) for result in expected]
    assert [type(result.error) for result in found[2:]] == [InputError, NotStartedError]


def test_processes_agree_whoever_is_last() -> None:
    items = plan("a", "b")
    _, wrong = agreed(items, items, store=Overtaking())
    assert not wrong


def test_processes_that_see_different_inputs_say_so_all() -> None:
    _, wrong = agreed(plan("a", "b"), plan("a", "b"), plan("a", "c"))
    assert wrong == ["the processes of this torchrun see different inputs: give each the same."] * 3


def test_one_stops_all() -> None:
    (first, second), _ = agreed(plan("a"), plan("a"))
    assert not first.stopped
    second.stop()
    assert first.stopped


def test_without_torchrun_there_is_no_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert join_fleet() is None
    monkeypatch.setenv("RANK", "0")  # a cluster's variable
    assert join_fleet() is None
