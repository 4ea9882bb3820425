"""Mix the results of two restorers."""

from __future__ import annotations

import torch
from torch import Tensor

from manet_cli.models.restorer import Restorer
from manet_cli.models.tiling_facts import Footprint

__all__ = ["BlendedRestorer"]


class BlendedRestorer(Restorer):
    """A weighted mean of the results of two restorers with the same configuration.

    It mixes results, not weights: weights of two trainings, when averaged, give worse results than either.

    Args:
        first: restorer for ``amount`` 0.
        second: restorer for ``amount`` 1.

    Attributes:
        amount: weight of the second result, 0 to 1. At 0 and 1 only one restorer runs.
    """

    def __init__(self, first: Restorer, second: Restorer) -> None:
        super().__init__()
        self.config = first.config
        self.first = first
        self.second = second
        self.amount = 0.0

    @property
    def footprint(self) -> Footprint:
        """Footprint of each restorer; both have the same."""
        return self.first.footprint

    def set_precision(self, precision: torch.dtype) -> None:
        """Set the precision of both restorers."""
        self.first.set_precision(precision)
        self.second.set_precision(precision)

    def forward(self, lr: Tensor, code: Tensor) -> Tensor:
        """Super-resolve, see `Restorer.forward`."""
        result: Tensor = (self.second if self.amount == 1 else self.first)(lr, code)
        if 0 < self.amount < 1:
            result = torch.lerp(result, self.second(lr, code), self.amount)
        return result
