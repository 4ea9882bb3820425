from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from manet_cli.errors import InputError
from manet_cli.images import Header
from manet_cli.jobs.sources import Source
from manet_cli.jobs.stacks import Stacks
from manet_cli.jobs.upscale import pipeline as pipeline_module
from manet_cli.jobs.upscale.job import AT_ONCE, Progress, Upscaler
from manet_cli.jobs.upscale.pipeline import LocalWork, Pipeline
from manet_cli.jobs.upscale.plan import Item
from manet_cli.jobs.upscale.result import Result


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
    stacks: Stacks | None = None,
    fail_fast: bool = False,
    progress: Progress = lambda share: None,
) -> Iterator[Pipeline]:
    stacks = stacks or [[place] for place in range(len(items))]
    work, all_upscalers = LocalWork(len(stacks)), cast(list[Upscaler], upscalers)
    with Pipeline(
        items, stacks, work, all_upscalers, lambda item: nullcontext(progress), fail_fast=fail_fast
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


def test_stacks_run_together_and_results_keep_the_order_of_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    items = plan(6)
    seen: list[list[Item]] = []

    def run_ahead(upscaler: Upscaler, stack: list[Item], go_on: Callable[[], None]) -> list[Upscaler]:
        go_on()
        seen.append(stack)
        return [replace(upscaler) for _ in stack]

    monkeypatch.setattr(pipeline_module, "run_ahead", run_ahead)
    with run(items, StandIn(), stacks=[[0, 3, 5], [1], [2], [4]]) as pipeline:
        results = list(pipeline.results())
    assert [result.item for result in results] == items
    assert sorted(map(len, seen)) == [1, 1, 1, 3]
    assert [items[0], items[3], items[5]] in seen


def test_a_stack_takes_the_room_of_all_its_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "available_memory", lambda device: 0)
    monkeypatch.setattr(
        pipeline_module, "run_ahead", lambda upscaler, stack, go_on: [upscaler for _ in stack]
    )
    upscaler = StandIn(memory=pipeline_module._LEAST_ROOM // 3 + 1)
    with run(plan(12), upscaler, stacks=[[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]) as pipeline:
        assert len(list(pipeline.results())) == 12
    assert max(upscaler.most) == 1


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


def test_what_is_finished_is_told_when_the_run_is_interrupted() -> None:
    """While the first picture is on the device, others are finished, which come later in the plan."""
    pipelines: list[Pipeline] = []

    @dataclass(frozen=True)
    class Slow(StandIn):
        def finish(self, item: Item, progress: Progress) -> Result:
            if item.source.name == "0":
                while not pipelines or len(pipelines[0]._finished) < 5:
                    time.sleep(0.01)
                _thread.interrupt_main()
                while True:
                    progress(0.5)  # until the run ends
            return Result(item, "done", 4)

    told = []

    def tell() -> None:
        with run(plan(6), Slow()) as pipeline:
            pipelines.append(pipeline)
            for result in pipeline.results():
                told.append(result.item.source.name)

    with pytest.raises(KeyboardInterrupt):
        tell()
    assert told == ["1", "2", "3", "4", "5"]
