"""The result of one picture, its share of the work, and the summary of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from manet_cli.errors import ManetError, Message, NotStartedError
from manet_cli.jobs.durations import time_range
from manet_cli.jobs.upscale.plan import Item

__all__ = ["Report", "Result", "Tally", "work_of"]


class Report(Protocol):
    """Facts found while a result was made, such as how well it matches its input."""

    @property
    def name(self) -> str:
        """Key of the report in `Result.fields`."""
        ...

    def fields(self) -> dict[str, object]:
        """Return the report as fields for JSON."""
        ...

    def sentence(self) -> Message:
        """Return the report as a sentence."""
        ...


@dataclass(frozen=True)
class Result:
    """Result of one picture.

    Attributes:
        item: the planned picture.
        status: done, skipped, failed, or planned by a dry run.
        scale: output pixels per input pixel along a side.
        width: width of the output in pixels; None if unknown.
        height: height of the output in pixels; None if unknown.
        seconds: time from reading to writing.
        memory: estimated bytes of memory; only in a dry run.
        report: facts found while the result was made; None for none.
        error: the error, if it failed.
        estimate: shortest and longest time in seconds; only in a dry run.
        denoise: position of the dial, 0 to 1; None for weights without a dial, or if there is no result.
    """

    item: Item
    status: str
    scale: int
    width: int | None = None
    height: int | None = None
    seconds: float = 0.0
    memory: int | None = None
    report: Report | None = None
    error: ManetError | None = None
    estimate: tuple[float, float] | None = None
    denoise: float | None = None

    def fields(self) -> dict[str, object]:
        """Return the result as fields for JSON."""
        item = self.item
        fields: dict[str, object] = {
            "input": item.source.name,
            "output": str(item.output) if item.output and not self.error else None,
            "status": self.status,
            "scale": self.scale,
            "width": self.width,
            "height": self.height,
            "seconds": round(self.seconds, 3),
            "error": self.error,
        }
        if item.kernels and self.error is None:
            fields["kernels"] = str(item.kernels)
        if self.denoise is not None:
            fields["denoise"] = self.denoise
        if self.memory is not None:
            fields["memory"] = self.memory
        if self.report is not None:
            fields[self.report.name] = self.report.fields()
        if self.estimate is not None:
            fields["estimated_seconds"] = round(sum(self.estimate) / 2, 3)
            fields["estimated_range"] = [round(seconds, 3) for seconds in self.estimate]
        return fields

    def lines(self) -> list[str]:
        """Return the lines for stdout without ``--json``: the written path, the plan, or none."""
        if self.error or self.item.output is None or self.status == "skipped":
            return []
        if self.status == "done":
            return [str(self.item.output)]
        size = f" {self.width}x{self.height}" if self.width else ""
        memory = f", about {self.memory / 1e6:.0f} MB of memory" if self.memory else ""
        time = f", about {time_range(*self.estimate)}" if self.estimate is not None else ""
        return [f"{self.item.source.name} -> {self.item.output}{size}{memory}{time}"]

    def remark(self) -> Message | None:
        """Return a remark if the result is smaller than its input; None otherwise, or if unknown."""
        before = self.item.header
        if self.status not in ("done", "planned") or before is None:
            return None
        if self.width is None or self.height is None:
            return None
        if self.width >= before.width and self.height >= before.height:
            return None
        name = self.item.output or self.item.source.name
        return Message(
            f"{name}: {self.width}x{self.height} pixels, smaller than the input's "
            f"{before.width}x{before.height}"
        )


def work_of(item: Item) -> float:
    """Estimate the work for a picture in pixels, twice with alpha; 0 if none is left, 1 if unknown."""
    if item.error or item.done:
        return 0.0
    header = item.header
    return float(header.width * header.height * (1 + header.has_alpha)) if header else 1.0


class Tally:
    """Counts the results of a run.

    Args:
        total: number of pictures in the run.

    Attributes:
        estimate: shortest and longest time in seconds for the planned pictures with an estimate.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._counts: Counter[str] = Counter()
        self.estimate = (0.0, 0.0)

    @property
    def failed(self) -> bool:
        """Whether any picture failed or was not started."""
        return bool(self._counts["failed"] or self._counts["not started"])

    def add(self, result: Result) -> None:
        """Count one picture."""
        self._counts["not started" if isinstance(result.error, NotStartedError) else result.status] += 1
        if result.estimate is not None:
            low, high = result.estimate
            self.estimate = (self.estimate[0] + low, self.estimate[1] + high)

    def line(self) -> str:
        """Return the counts, such as ``12 done, 3 skipped``; an interrupted run also counts ``not done``."""
        counts = self._counts.copy()
        counts["not done"] = self._total - counts.total()
        kinds = ("done", "planned", "skipped", "failed", "not started", "not done")
        parts = [f"{counts[kind]} {kind}" for kind in kinds if counts[kind]]
        return ", ".join(parts) or "nothing to do"

    def interrupted(self) -> str:
        """Return the summary of an interrupted run, and how to resume it."""
        if self._total == self._counts.total():
            return self.line()
        if self._total == 1:
            return "the picture was not finished and nothing was written: run the same command again"
        return f"{self.line()}: run the same command again for the rest"
