"""How one picture of a run went."""

from __future__ import annotations

from dataclasses import dataclass

from manet_cli.errors import ManetError
from manet_cli.jobs.durations import duration
from manet_cli.jobs.plan import Item
from manet_cli.jobs.self_check import CheckReport

__all__ = ["Result"]


@dataclass(frozen=True)
class Result:
    """How one picture went.

    Attributes:
        item: what was planned.
        status: done, skipped, failed, or planned by a dry run.
        width: of the output, pixels; None if unknown.
        height: likewise.
        seconds: from reading to renaming, with its share of a stack.
        memory: about how many bytes the run will need; by a dry run only.
        check: how well the result explains the input, where that was asked for.
        error: why it failed.
        estimate: about how many seconds the run will take; by a dry run only.
    """

    item: Item
    status: str
    scale: int
    width: int | None = None
    height: int | None = None
    seconds: float = 0.0
    memory: int | None = None
    check: CheckReport | None = None
    error: ManetError | None = None
    estimate: float | None = None

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
            "error": str(self.error) if self.error else None,
        }
        if item.kernels and self.error is None:
            fields["kernels"] = str(item.kernels)
        if self.memory is not None:
            fields["memory"] = self.memory
        if self.check is not None:
            fields["check"] = self.check.fields()
        if self.estimate is not None:
            fields["estimated_seconds"] = round(self.estimate, 3)
        return fields

    def line(self) -> str | None:
        """Return what stdout gets without ``--json``: the written path, or the plan; None for neither."""
        if self.error or self.item.output is None or self.status == "skipped":
            return None
        if self.status == "done":
            return str(self.item.output)
        size = f" {self.width}x{self.height}" if self.width else ""
        memory = f", about {self.memory / 1e6:.0f} MB of memory" if self.memory else ""
        time = f", about {duration(self.estimate)}" if self.estimate is not None else ""
        return f"{self.item.source.name} -> {self.item.output}{size}{memory}{time}"
