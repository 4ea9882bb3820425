"""A run over many pictures: how much work each one is, and how the run went in one line."""

from __future__ import annotations

from collections import Counter

from manet_cli.errors import NotStartedError
from manet_cli.jobs.plan import Item
from manet_cli.jobs.result import Result

__all__ = ["Tally", "work_of"]


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
        estimate: seconds that those planned will take, as far as that was estimated.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._counts: Counter[str] = Counter()
        self.estimate = 0.0

    @property
    def failed(self) -> bool:
        """Whether any picture failed or was not started."""
        return bool(self._counts["failed"] or self._counts["not started"])

    def add(self, result: Result) -> None:
        """Count one picture."""
        self._counts["not started" if isinstance(result.error, NotStartedError) else result.status] += 1
        self.estimate += result.estimate or 0.0

    def line(self) -> str:
        """Say how the run went: ``12 done, 3 skipped, 1 failed``."""
        counts = self._counts.copy()
        counts["not started"] += self._total - counts.total()
        kinds = ("done", "planned", "skipped", "failed", "not started")
        parts = [f"{counts[kind]} {kind}" for kind in kinds if counts[kind]]
        return ", ".join(parts) or "nothing to do"
