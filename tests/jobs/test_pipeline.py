from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from manet_cli.errors import InputError
from manet_cli.images import Header
from manet_cli.jobs import pipeline as pipeline_module
from manet_cli.jobs.pipeline import LocalWork, Pipeline
from manet_cli.jobs.plan import Item
from manet_cli.jobs.sources import Source
from manet_cli.jobs.upscale import AT_ONCE, Progress, Result, Upscaler


@dataclass(frozen=True)
class StandIn:
    """An upscaler that decodes, runs and encodes nothing, but notes what happens together."""

    events: list[str] = field(default_factory=list)
    bad: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()
    memory: int = 1
    turn: Any = AT_ONCE
    running: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1))
    meet: threading.Barrier | None = None
    inside: set[str] = field(default_factory=set)
    most: list[int] = field(default_factory=list)

    def host_memory(self, item: Item) -> int:
        return self.memory

    def finish(self, item: Item, progress: Progress) -> Result:
        name = item.source.name
        self.inside.add(name)
        self.most.append(len(self.inside))
        try:
            if name in self.broken:
                raise ZeroDivisionError(name)
            if self.meet:
                self.meet.wait(30)  # both are here at the same time
            self.turn.run(self, lambda on_device: on_device._networks(name, progress))
            error = InputError(f"{name} is bad") if name in self.bad else None
            return Result(item, "failed" if error else "done", 4, error=error)
        finally:
            self.inside.discard(name)

    def _networks(self, name: str, progress: Progress) -> None:
        assert self.running.acquire(blocking=False), "two pictures on one device"
        try:
            self.events.append(name)
            progress(0.5)
        finally:
            self.running.release()

    def not_started(self, item: Item) -> Result:
        return Result(item, "failed", 4, error=InputError("not started"))


HEADER = Header(10, 10, 3, False, 8)


def plan(pictures: int) -> list[Item]:
    return [Item(Source(str(i), Path(str(i))), Path(f"{i}_x4.png"), header=HEADER) for i in range(pictures)]


@contextmanager
def run(
    items: list[Item],
    *upscalers: StandIn,
    fail_fast: bool = False,
    progress: Progress = lambda share: None,
) -> Iterator[Pipeline]:
    work = LocalWork(len(items))
    all_upscalers = cast(list[Upscaler], upscalers)
    with Pipeline(
        items, work, all_upscalers, lambda item: nullcontext(progress), fail_fast=fail_fast
    ) as pipeline:
        yield pipeline


def test_results_come_in_the_order_of_the_plan_and_one_at_a_time_is_on_a_device() -> None:
    items = plan(40)
    first, second = StandIn(bad=frozenset({"7"})), StandIn(bad=frozenset({"7"}))
    with run(items, first, second) as pipeline:
        results = list(pipeline.results())
    assert [result.item for result in results] == items
    assert [result.item.source.name for result in results if result.error] == ["7"]
    assert sorted(first.events + second.events) == sorted(item.source.name for item in items)


def test_pictures_overlap() -> None:
    upscaler = StandIn(meet=threading.Barrier(2))
    with run(plan(4), upscaler) as pipeline:
        assert len(list(pipeline.results())) == 4


def test_every_device_takes_pictures() -> None:
    meet = threading.Barrier(2)

    @dataclass(frozen=True)
    class Slow(StandIn):
        def _networks(self, name: str, progress: Progress) -> None:
            if name in "01":
                meet.wait(30)  # each device has one of the first two
            super()._networks(name, progress)

    first, second = Slow(), Slow()
    with run(plan(2), first, second) as pipeline:
        assert len(list(pipeline.results())) == 2
    assert len(first.events) == len(second.events) == 1


def test_pictures_that_fit_together_only_in_part_wait_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "available_memory", lambda device: 0)
    room = pipeline_module._LEAST_ROOM
    for memory, most in ((room + 1, 1), (room // 2, 2)):
        upscaler = StandIn(memory=memory)
        with run(plan(12), upscaler) as pipeline:
            assert len(list(pipeline.results())) == 12
        assert max(upscaler.most) <= most


def test_what_is_done_or_wrong_already_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "available_memory", lambda device: 0)
    items = [replace(item, done=True) for item in plan(3)]
    upscaler = StandIn(memory=pipeline_module._LEAST_ROOM + 1, meet=threading.Barrier(3))
    with run(items, upscaler) as pipeline:
        assert len(list(pipeline.results())) == 3


def test_fail_fast_starts_none_after_the_one_that_failed() -> None:
    upscaler = StandIn(bad=frozenset({"2"}))
    with run(plan(6), upscaler, fail_fast=True) as pipeline:
        results = list(pipeline.results())
    assert upscaler.events == ["0", "1", "2"]
    assert [result.status for result in results] == ["done"] * 2 + ["failed"] * 4


def test_what_nobody_expected_is_raised_and_ends_the_threads() -> None:
    before = threading.active_count()
    upscaler = StandIn(broken=frozenset({"3"}))
    with pytest.raises(ZeroDivisionError, match="3"), run(plan(9), upscaler) as pipeline:
        list(pipeline.results())
    assert threading.active_count() == before


def test_leaving_gives_up_what_is_running() -> None:
    """The picture on the device ends at its next sign of progress, and nothing is started any more."""
    begun, leave = threading.Event(), threading.Event()

    def progress(share: float) -> None:
        begun.set()
        assert leave.wait(30)

    upscaler = StandIn()
    with run(plan(20), upscaler, progress=progress) as pipeline:
        begun.wait(30)
        threading.Timer(0.1, leave.set).start()
    assert len(upscaler.events) <= 3
    assert not any(thread.is_alive() for thread in pipeline._threads)
