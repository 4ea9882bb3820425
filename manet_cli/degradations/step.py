"""Base classes of the steps after the blur.

This module and the step modules import torch only when they compute, so that the help can list the steps
without it.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from manet_cli.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["DegradationKind", "DegradationStep", "StepRecipe", "apply_steps", "check_range", "parse_fields"]


class DegradationStep(ABC):
    """A step with its settings; subclasses are frozen dataclasses."""

    name: ClassVar[str]
    """Key in recipes, results and kernel files, and name of the option."""

    order: float
    """Steps are applied in rising order: 1 is the sensor, 2 the camera's program, 3 the file."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The settings in the syntax of the step's option."""

    @abstractmethod
    def apply(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Apply the step to LR images.

        Args:
            image: (B, 3, h, w) in [0, 1].
            generator: on the CPU; the only source of randomness.

        Returns:
            (B, 3, h, w) in [0, 1], on the device and in the dtype of the image.
        """


@dataclass(frozen=True)
class StepRecipe(ABC):
    """How often training applies a step, and with which settings.

    Attributes:
        share: share of the patches, 0 to 1.
    """

    share: float = 0.0

    def __post_init__(self) -> None:
        check_range("share", self.share, 0, 1)

    def sample(self, source: random.Random) -> DegradationStep | None:
        """Draw the step of one patch; None for no step."""
        return self._sample(source) if source.random() < self.share else None

    @abstractmethod
    def _sample(self, source: random.Random) -> DegradationStep:
        """Draw the settings."""


@dataclass(frozen=True)
class DegradationKind:
    """An entry of the list `DEGRADATIONS`.

    Attributes:
        step: class of the step; its ``name`` is the name of the entry.
        metavar: syntax of the option's value.
        help: help of the option, one sentence.
        parse: makes a step from the option's value; raises `UsageError`.
        recipe: class of the training settings.
        camera: training settings of the mixture `camera`.
    """

    step: type[DegradationStep]
    metavar: str
    help: str
    parse: Callable[[str], DegradationStep]
    recipe: type[StepRecipe]
    camera: StepRecipe

    @property
    def name(self) -> str:
        """Key in recipes, results and kernel files, and name of the option."""
        return self.step.name


def apply_steps(image: Tensor, steps: Sequence[DegradationStep], generator: torch.Generator) -> Tensor:
    """Apply steps by rising `DegradationStep.order`; shapes as in `DegradationStep.apply`."""
    for step in sorted(steps, key=lambda step: step.order):
        image = step.apply(image, generator)
    return image


def parse_fields(text: str) -> tuple[list[str], dict[str, str]]:
    """Split ``A,B,NAME=VALUE`` into plain fields and named ones."""
    fields = [field.strip() for field in text.split(",")]
    named = dict(field.split("=", 1) for field in fields if "=" in field)
    return [field for field in fields if "=" not in field], named


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Check that a number is in a range.

    Raises:
        UsageError: not low <= value <= high, or NaN.
    """
    if not low <= value <= high:
        raise UsageError(f"{name} = {value}, expected a number from {low:g} to {high:g}")
