"""The mean of two restorers' results, between two sets of weights."""

from __future__ import annotations

import torch
from torch import Tensor

from manet_cli.models.restorer import Restorer
from manet_cli.models.tiling_facts import Footprint

__all__ = ["BlendedRestorer"]


class BlendedRestorer(Restorer):
    """Runs one or both of two restorers of the same shape.

    It averages results, not weights: averaged weights of two different trainings are worse than both.

    Args:
        first: the only restorer at ``amount`` 0.
        second: the only restorer at ``amount`` 1.

    Attributes:
        amount: share of the second result, 0 to 1.
    """

    def __init__(self, first: Restorer, second: Restorer) -> None:
        super().__init__()
        self.config = first.config
        self.first = first
        self.second = second
        self.amount = 0.0

    @property
    def footprint(self) -> Footprint:
        """Footprint, the same for both."""
        return self.first.footprint

    def set_precision(self, precision: torch.dtype) -> None:
        """Set the precision of both."""
        self.first.set_precision(precision)
        self.second.set_precision(precision)

    def forward(self, lr: Tensor, code: Tensor) -> Tensor:
        """Super-resolve, see `Restorer.forward`."""
        result: Tensor = (self.second if self.amount == 1 else self.first)(lr, code)
        if 0 < self.amount < 1:
            result = torch.lerp(result, self.second(lr, code), self.amount)
        return result
