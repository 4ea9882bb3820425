"""What a stage's forward gives."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

__all__ = ["Losses"]

Losses: TypeAlias = dict[str, Tensor]
"""Scalars: the network minimises `loss`, the discriminator `discriminator`; the others are reported."""
