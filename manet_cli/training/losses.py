"""The output of a stage's forward."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

__all__ = ["Losses"]

Losses: TypeAlias = dict[str, Tensor]
"""Scalars. The network minimises `loss`, the discriminator `discriminator`; the others are only logged."""
