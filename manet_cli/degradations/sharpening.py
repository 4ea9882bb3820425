"""Sharpening as in cameras: an unsharp mask, with its white and black halos."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from manet_cli.degradations.step import DegradationStep, StepRecipe, check_range, parse_fields
from manet_cli.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Sharpening", "SharpeningRecipe", "apply_sharpening", "parse_sharpening"]

LARGEST_RADIUS = 5.0
LARGEST_AMOUNT = 5.0


@dataclass(frozen=True)
class Sharpening(DegradationStep):
    """An unsharp mask.

    Attributes:
        radius: standard deviation of its Gaussian in LR pixels.
        amount: factor on the difference between the image and its smoothed copy; the product is added.
        before_noise: whether to sharpen before the noise, so that the noise is not sharpened.
    """

    radius: float
    amount: float
    before_noise: bool = False

    name = "sharpen"

    def __post_init__(self) -> None:
        check_range("radius", self.radius, 0.1, LARGEST_RADIUS)
        check_range("amount", self.amount, 0, LARGEST_AMOUNT)

    @property
    def order(self) -> float:  # type: ignore[override]
        """After the noise, as in most cameras, or before."""
        return 0.5 if self.before_noise else 2.0

    @property
    def text(self) -> str:
        """The settings in the syntax of the option, such as ``0.8,0.5,before-noise``."""
        return f"{self.radius:g},{self.amount:g}" + (",before-noise" if self.before_noise else "")

    def apply(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Sharpen; not random. See `DegradationStep.apply`."""
        return apply_sharpening(image, self.radius, self.amount)


@dataclass(frozen=True)
class SharpeningRecipe(StepRecipe):
    """Sharpening in training; radius and amount are uniform in their ranges.

    Attributes:
        share: share of the patches, 0 to 1.
        radius_lowest: smallest radius, LR pixels.
        radius_highest: largest radius, LR pixels.
        amount_highest: largest amount; the smallest is 0.
        before_noise_share: share of the sharpening that comes before the noise.
    """

    radius_lowest: float = 0.5
    radius_highest: float = 1.5
    amount_highest: float = 1.0
    before_noise_share: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("radius_highest", self.radius_highest, 0.1, LARGEST_RADIUS)
        check_range("radius_lowest", self.radius_lowest, 0.1, self.radius_highest)
        check_range("amount_highest", self.amount_highest, 0, LARGEST_AMOUNT)
        check_range("before_noise_share", self.before_noise_share, 0, 1)

    def _sample(self, source: random.Random) -> Sharpening:
        radius = source.uniform(self.radius_lowest, self.radius_highest)
        amount = source.uniform(0, self.amount_highest)
        before = source.random() < self.before_noise_share
        return Sharpening(round(radius, 2), round(amount, 2), before)


def parse_sharpening(text: str) -> Sharpening:
    """Parse ``RADIUS,AMOUNT[,before-noise]``.

    Raises:
        UsageError: the text has another form, or a number is out of its range.
    """
    plain, named = parse_fields(text)
    try:
        radius, amount = (float(field) for field in plain[:2])
    except ValueError:
        radius = amount = math.nan
    if named or set(plain[2:]) - {"before-noise"} or math.isnan(radius + amount):
        raise UsageError(
            f"{text!r} is not a sharpening setting: expected a radius in LR pixels and an amount, such as "
            "0.8,0.5, and then before-noise if the noise comes later"
        )
    return Sharpening(radius, amount, "before-noise" in plain)


def apply_sharpening(image: Tensor, radius: float, amount: float) -> Tensor:
    """Add ``amount`` times the difference between images and their smoothed copies; clamp to [0, 1].

    Args:
        image: (B, C, h, w) in [0, 1]; its edge values are repeated outside.
        radius: standard deviation of the smoothing in pixels.
        amount: 0 changes nothing, 1 doubles the difference.
    """
    import torch.nn.functional as F

    from manet_cli.degradations.smoothing import smooth, smoothing_radius

    padded = F.pad(image, (smoothing_radius(radius),) * 4, mode="replicate")
    return (image + amount * (image - smooth(padded, radius))).clamp(0, 1)
