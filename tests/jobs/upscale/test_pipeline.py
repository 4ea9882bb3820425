from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from manet_cli.errors import InputError
from manet_cli.images import Header
from manet_cli.inference import Engine
from manet_cli.jobs.sources import Source
from manet_cli.jobs.upscale import pipeline as pipeline_module
from manet_cli.jobs.upscale.devices import Devices
from manet_cli.jobs.upscale.files import PictureMaker
from manet_cli.jobs.upscale.job import Progress
from manet_cli.jobs.upscale.pipeline import LocalWork, Pipeline
from manet_cli.jobs.upscale.plan import Item
from manet_cli.jobs.upscale.result import Result


class Device:
    """An engine that computes nothing, but records its pictures."""

    kernel_size = 21

    def __init__(self) -> None:
        self.events: list[str] = []
        self._running = threading.Semaphore(1)

    def run(self, name: str, progress: Progress) -> None:
        assert self._running.acquire(blocking=False), "two pictures on one device"
        try:
            self.events.append(name)
            progress(0.5)
        finally:
            self._running.release()


@dataclass
class StandIn:
    """A maker that decodes and encodes nothing, but records simultaneous work."""

    devices: Devices
    bad: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()
    memory: int = 1
    meet: threading.Barrier | None = None
    inside: set[str] = field(default_factory=set)
    most: list[int] = field(default_factory=list)

    def host_memory(self, item: Item) -> int:
        return self.memory

    def make(self, item: Item, progress: Progress) -> Result:
        name = item.source.name
        self.inside.add(name)
        self.most.append(len(self.inside))
        try:
            if name in self.broken:
                raise ZeroDivisionError(name)
            if self.meet:
                self.meet.wait(30)  # both are here at the same time
            with self.devices.take() as engine:
                cast(Device, engine).run(name, progress)
            error = InputError(f"{name} is bad") if name in self.bad else None
            return Result(item, "failed" if error else "done", 4, error=error)
        finally:
            self.inside.discard(name)

    def not_started(self, item: Item) -> Result:
        return Result(item, "failed", 4, error=InputError("not started"))


def stand_in(*devices: Device, **settings: Any) -> StandIn:  # noqa: ANN401 - fields of the stand-in
    return StandIn(Devices(cast(list[Engine], devices or (Device(),))), **settings)


HEADER = Header(10, 10, 3, False, 8)


def plan(pictures: int) -> list[Item]:
    return [Item(Source(str(i), Path(str(i))), Path(f"{i}_x4.png"), header=HEADER) for i in range(pictures)]


@contextmanager
def run(
    items: list[Item],
    maker: StandIn,
    *,
    fail_fast: bool = False,
    progress: Progress = lambda share: None,
) -> Iterator[Pipeline]:
    work, watch = LocalWork(len(items)), lambda item: nullcontext(progress)
    with Pipeline(items, work, cast(PictureMaker, maker), watch, fail_fast=fail_fast) as pipeline:
        yield pipeline


def test_results_come_in_the_order_of_the_plan_and_one_at_a_time_is_on_a_device() -> None:
    items = plan(40)
    first, second = Device(), Device()
    with run(items, stand_in(first, second, bad=frozenset({"7"}))) as pipeline:
        results = list(pipeline.results())
    assert [result.item for result in results] == items
    assert [result.item.source.name for result in results if result.error] == ["7"]
    assert sorted(first.events + second.events) == sorted(item.source.name for item in items)


def test_pictures_overlap() -> None:
    maker = stand_in(meet=threading.Barrier(2))
    with run(plan(4), maker) as pipeline:
        assert len(list(pipeline.results())) == 4


def test_every_device_takes_pictures() -> None:
    meet = threading.Barrier(2)

    class Slow(Device):
        def run(self, name: str, progress: Progress) -> None:
            meet.wait(30)  # each device has one of the two
            super().run(name, progress)

    first, second = Slow(), Slow()
    with run(plan(2), stand_in(first, second)) as pipeline:
        assert len(list(pipeline.results())) == 2
    assert len(first.events) == len(second.events) == 1


def test_pictures_that_fit_together_only_in_part_wait_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "available_memory", lambda device: 0)
    room = pipeline_module._LEAST_ROOM
    for memory, most in ((room + 1, 1), (room // 2, 2)):
        maker = stand_in(memory=memory)
        with run(plan(12), maker) as pipeline:
            assert len(list(pipeline.results())) == 12
        assert max(maker.most) <= most


def test_what_is_done_or_wrong_already_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "available_memory", lambda device: 0)
    items = [replace(item, done=True) for item in plan(3)]
    maker = stand_in(memory=pipeline_module._LEAST_ROOM + 1, meet=threading.Barrier(3))
    with run(items, maker) as pipeline:
        assert len(list(pipeline.results())) == 3


def test_fail_fast_starts_none_after_the_one_that_failed() -> None:
    device = Device()
    maker = stand_in(device, bad=frozenset({"2"}))
    with run(plan(6), maker, fail_fast=True) as pipeline:
        results = list(pipeline.results())
    assert device.events == ["0", "1", "2"]
    assert [result.status for result in results] == ["done"] * 2 + ["failed"] * 4


def test_what_nobody_expected_is_raised_and_ends_the_threads() -> None:
    before = threading.active_count()
    maker = stand_in(broken=frozenset({"3"}))
    with pytest.raises(ZeroDivisionError, match="3"), run(plan(9), maker) as pipeline:
        list(pipeline.results())
    assert threading.active_count() == before


def test_leaving_gives_up_what_is_running() -> None:
    """The picture on the device stops at its next progress call, and no picture is started."""
    begun, leave = threading.Event(), threading.Event()

    def progress(share: float) -> None:
        begun.set()
        assert leave.wait(30)

    device = Device()
    with run(plan(20), stand_in(device), progress=progress) as pipeline:
        begun.wait(30)
        threading.Timer(0.1, leave.set).start()
    assert len(device.events) <= 3
    assert not any(thread.is_alive() for thread in pipeline._threads)


def test_what_is_finished_is_told_when_the_run_is_interrupted() -> None:
    """While the first picture is on the device, later pictures of the plan are finished."""
    pipelines: list[Pipeline] = []

    class Slow(StandIn):
        def make(self, item: Item, progress: Progress) -> Result:
            if item.source.name == "0":
                while not pipelines or len(pipelines[0]._finished) < 5:
                    time.sleep(0.01)
                _thread.interrupt_main()
                while True:
                    progress(0.5)  # until the run ends
            return Result(item, "done", 4)

    told = []

    def tell() -> None:
        with run(plan(6), Slow(Devices(cast(list[Engine], [Device()])))) as pipeline:
            pipelines.append(pipeline)
            for result in pipeline.results():
                told.append(result.item.source.name)

    with pytest.raises(KeyboardInterrupt):
        tell()
    assert told == ["1", "2", "3", "4", "5"]
