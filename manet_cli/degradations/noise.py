"""Sensor noise: white, or correlated as after demosaicking; in all channels, or mostly in colour."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from manet_cli.degradations.step import DegradationStep, StepRecipe, check_range, parse_fields
from manet_cli.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Noise", "NoiseRecipe", "apply_noise", "parse_noise", "sample_noise"]

LARGEST_CORRELATION = 3.0
_GREY_SHARE = 0.3  # amplitude of the grey part in noise that is mostly in colour


@dataclass(frozen=True)
class Noise(DegradationStep):
    """Gaussian noise.

    Attributes:
        level: standard deviation of each channel, of 255.
        correlation: standard deviation in LR pixels of the Gaussian that smooths the noise; 0 for white
            noise.
        colour: whether the noise is mostly in colour: the part shared by all channels is reduced.
        signal: whether the noise grows with the square root of the brightness; ``level`` is the noise at
            half brightness.
    """

    level: float
    correlation: float = 0.0
    colour: bool = False
    signal: bool = False

    name = "noise"
    order = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.level <= 255:
            raise UsageError(f"The noise level is {self.level}; expected 0 to 255 (of 255).")
        check_range("correlation", self.correlation, 0, LARGEST_CORRELATION)

    @property
    def text(self) -> str:
        """The settings in the syntax of the option, such as ``10,correlation=0.7,colour,signal``."""
        parts = [f"{self.level:g}"]
        parts += [f"correlation={self.correlation:g}"] if self.correlation else []
        parts += ["colour"] if self.colour else []
        parts += ["signal"] if self.signal else []
        return ",".join(parts)

    def apply(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Add the noise and clamp; see `DegradationStep.apply`."""
        noise = self._draw(image, generator)
        if self.colour:
            grey = noise.mean(dim=1, keepdim=True)
            # One third of a channel's variance is grey, two thirds are colour; the sum stays the same.
            noise = _GREY_SHARE * grey + math.sqrt((3 - _GREY_SHARE**2) / 2) * (noise - grey)
        if self.signal:
            noise = noise * (2 * image.clamp(0, 1)).sqrt()
        return apply_noise(image, noise)

    def _draw(self, image: Tensor, generator: torch.Generator) -> Tensor:
        height, width = image.shape[-2:]
        if not self.correlation:
            return sample_noise(image.shape, self.level, generator, device=image.device, dtype=image.dtype)
        from manet_cli.degradations.smoothing import gaussian_weights, smooth, smoothing_radius

        margin = 2 * smoothing_radius(self.correlation)
        shape = (*image.shape[:2], height + margin, width + margin)
        white = sample_noise(shape, self.level, generator, device=image.device, dtype=image.dtype)
        # Share of the standard deviation left after smoothing along both axes.
        remaining = float((gaussian_weights(self.correlation) ** 2).sum())
        return smooth(white, self.correlation) / remaining


@dataclass(frozen=True)
class NoiseRecipe(StepRecipe):
    """Noise in training: the level is highest * u ** exponent, with u uniform in [0, 1).

    Attributes:
        share: share of the patches, 0 to 1.
        highest: largest level, of 255.
        exponent: a larger one makes low levels more frequent.
        correlated_share: share of the noise that is correlated.
        correlation_lowest: smallest correlation, LR pixels.
        correlation_highest: largest correlation, LR pixels.
        colour_share: share of the noise that is mostly in colour.
        signal_share: share of the noise that grows with the signal.
    """

    highest: float = 15.0
    exponent: float = 2.0
    correlated_share: float = 0.5
    correlation_lowest: float = 0.4
    correlation_highest: float = 1.0
    colour_share: float = 0.25
    signal_share: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("highest", self.highest, 0, 255)
        check_range("exponent", self.exponent, 0, 10)
        for name in ("correlated_share", "colour_share", "signal_share"):
            check_range(name, getattr(self, name), 0, 1)
        check_range("correlation_highest", self.correlation_highest, 0, LARGEST_CORRELATION)
        check_range("correlation_lowest", self.correlation_lowest, 0, self.correlation_highest)

    def _sample(self, source: random.Random) -> Noise:
        level = round(self.highest * source.random() ** self.exponent, 2)
        correlated = source.random() < self.correlated_share
        correlation = source.uniform(self.correlation_lowest, self.correlation_highest)
        colour, signal = source.random() < self.colour_share, source.random() < self.signal_share
        return Noise(level, round(correlation, 2) if correlated else 0.0, colour, signal)


def parse_noise(text: str) -> Noise:
    """Parse ``LEVEL[,correlation=PIXELS][,colour][,signal]``.

    Raises:
        UsageError: the text has another form, or a number is out of its range.
    """
    plain, named = parse_fields(text)
    try:
        level, correlation = float(plain[0]), float(named.pop("correlation", 0))
    except ValueError:
        level = correlation = math.nan
    if named or set(plain[1:]) - {"colour", "signal"} or math.isnan(level + correlation):
        raise UsageError(
            f"{text!r} is not a noise setting: expected a standard deviation of 255, such as 10, and then "
            "any of correlation=PIXELS, colour and signal, such as 10,correlation=0.7,colour"
        )
    return Noise(level, correlation, "colour" in plain, "signal" in plain)


def sample_noise(
    shape: Sequence[int],
    level: float | Tensor,
    generator: torch.Generator,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Draw white noise for images of shape (B, C, H, W).

    level: the standard deviation in units of 1/255, from 0 to 255; a number, or one for each image (B,).
    device: device of the noise, by default the generator's. A CPU generator draws the same noise for every
    device. Returns a tensor of that shape with standard deviation level / 255, float32 by default.
    """
    import torch

    if len(shape) != 4:
        raise UsageError(f"The shape of the noise is {tuple(shape)}; expected (B, C, H, W).")
    levels = torch.as_tensor(level, dtype=torch.float64).cpu()
    if levels.ndim > 1 or (levels.ndim == 1 and len(levels) != shape[0]):
        raise UsageError(
            f"The noise levels have shape {tuple(levels.shape)} for {shape[0]} image(s); "
            "expected one number, or one for each image."
        )
    if not bool(((levels >= 0) & (levels <= 255)).all()):
        raise UsageError(
            "A noise level is outside 0 to 255; expected a standard deviation in units of 1/255."
        )
    target = generator.device if device is None else device
    kind = torch.float32 if dtype is None else dtype
    noise = torch.randn(tuple(shape), generator=generator, dtype=kind, device=generator.device).to(target)
    return noise * (levels / 255).reshape(-1, 1, 1, 1).to(noise)


def apply_noise(image: Tensor, noise: Tensor) -> Tensor:
    """Add noise of the same shape to images in [0, 1] and clamp the sum to [0, 1]."""
    if image.shape != noise.shape:
        raise UsageError(
            f"The noise has shape {tuple(noise.shape)}, the image {tuple(image.shape)}; expected the same."
        )
    return (image + noise).clamp(0, 1)
