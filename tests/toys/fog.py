"""A toy degradation: fog. A new step after the blur needs only this file and its entry."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from manet_cli.degradations.step import DegradationKind, DegradationStep, StepRecipe, check_range
from manet_cli.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Fog(DegradationStep):
    density: float

    name = "fog"
    order = 0.2

    def __post_init__(self) -> None:
        check_range("density", self.density, 0, 1)

    @property
    def text(self) -> str:
        return f"{self.density:g}"

    def apply(self, image: Tensor, generator: torch.Generator) -> Tensor:
        return image * (1 - self.density) + self.density


@dataclass(frozen=True)
class FogRecipe(StepRecipe):
    highest: float = 0.5

    def _sample(self, source: random.Random) -> Fog:
        return Fog(source.uniform(0, self.highest))


def parse_fog(text: str) -> Fog:
    try:
        return Fog(float(text))
    except ValueError as error:
        raise UsageError(f"{text!r} is no fog: expected a density from 0 to 1") from error


FOG = DegradationKind(
    step=Fog,
    metavar="DENSITY",
    help="Fog: density from 0 to 1.",
    parse=parse_fog,
    recipe=FogRecipe,
    camera=FogRecipe(share=0.5),
)
