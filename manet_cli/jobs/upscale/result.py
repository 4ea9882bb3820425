"""How one picture of a run went, how much work it is, and how the run went in one line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from manet_cli.errors import ManetError, Message, NotStartedError
from manet_cli.jobs.durations import time_range
from manet_cli.jobs.upscale.plan import Item

__all__ = ["Report", "Result", "Tally", "work_of"]


class Report(Protocol):
    """What was found about a picture while its result was made."""

    @property
    def name(self) -> str:
        """Its name among the fields of a result."""
        ...

    def fields(self) -> dict[str, object]:
        """Return it for a script."""
        ...

    def sentence(self) -> Message:
        """Return it for a reader."""
        ...


@dataclass(frozen=True)
class Result:
    """How one picture went.

    Attributes:
        item: what was planned.
        status: done, skipped, failed, or planned by a dry run.
        width: of the output, pixels; None if unknown.
        height: likewise.
        seconds: from reading to renaming.
        memory: about how many bytes the run will need; by a dry run only.
        report: what was found, such as how well the result explains the input, where that was asked for.
        error: why it failed.
        estimate: seconds that the run will take, at least and at most; by a dry run only.
        denoise: where the dial stood, 0 to 1; None for weights without one, or if nothing was made.
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
        """Return the result for a script."""
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
        """Return what stdout gets without ``--json``: the written path, or the plan; or nothing."""
        if self.error or self.item.output is None or self.status == "skipped":
            return []
        if self.status == "done":
            return [str(self.item.output)]
        size = f" {self.width}x{self.height}" if self.width else ""
        memory = f", about {self.memory / 1e6:.0f} MB of memory" if self.memory else ""
        time = f", about {time_range(*self.estimate)}" if self.estimate is not None else ""
        return [f"{self.item.source.name} -> {self.item.output}{size}{memory}{time}"]

    def remark(self) -> Message | None:
        """Say that a result has fewer pixels than its input; None where it has not, or nothing is known."""
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
    """Give about how much work a picture is, for the share of a run that is done; 0 for none."""
    if item.error or item.done:
        return 0.0
    header = item.header
    return float(header.width * header.height * (1 + header.has_alpha)) if header else 1.0


class Tally:
    """Counts how the pictures of a run went.

    Args:
        total: pictures of the run.

    Attributes:
        estimate: seconds that those planned will take, at least and at most, as far as that was estimated.
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
        """Say how the run went: ``12 done, 3 skipped, 1 failed``; ``not done`` after an interruption."""
        counts = self._counts.copy()
        counts["not done"] = self._total - counts.total()
        kinds = ("done", "planned", "skipped", "failed", "not started", "not done")
        parts = [f"{counts[kind]} {kind}" for kind in kinds if counts[kind]]
        return ", ".join(parts) or "nothing to do"

    def interrupted(self) -> str:
        """Say how far a run came that is interrupted, and how it goes on."""
        if self._total == self._counts.total():
            return self.line()
        if self._total == 1:
            return "the picture was not finished, and nothing of it was written: the same command makes it"
        return f"{self.line()}: the same command goes on with the rest"
