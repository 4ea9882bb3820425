"""Sums between two lines of a run's log."""

from __future__ import annotations

import time

from torch import Tensor

__all__ = ["LogWindow"]


class LogWindow:
    """Sums of the values of each step, kept on the device until they are read."""

    def __init__(self) -> None:
        self.steps = 0
        self.rate = 0.0
        self.waited = 0.0
        self._begun = time.monotonic()
        self._sums: dict[str, Tensor] = {}

    def add(self, values: dict[str, Tensor], rate: float) -> None:
        """Add a step."""
        self.steps += 1
        self.rate = rate
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach().float()

    def pause(self, seconds: float) -> None:
        """Exclude a time without training."""
        self._begun += seconds

    def means(self) -> dict[str, float]:
        """Return the mean of each value; waits for the device."""
        return {name: float(value) / self.steps for name, value in self._sums.items()}

    @property
    def seconds(self) -> float:
        """Time since the window was opened."""
        return max(1e-9, time.monotonic() - self._begun)
