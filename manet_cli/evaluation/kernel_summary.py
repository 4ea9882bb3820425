"""Summary of a picture's blur, accumulated from the shapes of its kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from manet_cli.degradations.gaussian import KernelRange
from manet_cli.degradations.kernel_shape import KernelShapes

__all__ = ["DIRECTIONS", "EDGE", "KernelSummary", "Spread", "size_range"]

EDGE = 0.05
"""An estimate is at the edge of the trained range if an axis is within 5 % of a limit or beyond."""

DIRECTIONS = 36
"""Bins of the angles in [0, 180) degrees."""

# Histograms of logarithms, so that every step is 0.5 %, from 1/20 to 20.
_STEP, _REACH = 0.005, math.log(20)
_BINS = 2 * math.ceil(_REACH / _STEP)


def size_range(scale: int) -> tuple[float, float]:
    """Return the narrowest and the widest standard deviation of the training kernels, HR pixels."""
    limits = KernelRange.for_scale(scale)
    return math.sqrt(limits.low), math.sqrt(limits.high)


@dataclass(frozen=True)
class Spread:
    """Spread of a figure: its median and the limits of the middle 80 % of the pixels."""

    median: float
    p10: float
    p90: float

    def fields(self) -> dict[str, float]:
        """Return the figures for a script."""
        return {name: round(getattr(self, name), 3) for name in ("median", "p10", "p90")}


class KernelSummary:
    """Figures of a picture's kernels. Memory does not grow with the picture; tiles do not change the result.

    Blur size, anisotropy, angle and the shares at the edge count only reliable pixels: in flat areas the
    estimate is a default.

    Args:
        scale: HR pixels per LR pixel.

    Attributes:
        pixels: number of pixels added.
        trusted: number of reliable pixels among them (with texture).
        directions: (36,), weight of the long axes in each bin of 5 degrees.
    """

    #: Smallest agreement of a dominant angle.
    AGREED = 0.3
    #: Smallest median anisotropy of kernels with a direction.
    ROUND = 1.1

    def __init__(self, scale: int) -> None:
        self._low, self._high = size_range(scale)
        self._sizes = torch.zeros(_BINS, dtype=torch.int64)
        self._ratios = torch.zeros(_BINS, dtype=torch.int64)
        self._direction = torch.zeros(3, dtype=torch.float64)
        self._edge = torch.zeros(2, dtype=torch.int64)
        self.directions = torch.zeros(DIRECTIONS, dtype=torch.float64)
        self.pixels = 0
        self.trusted = 0

    def add(self, shapes: KernelShapes, trusted: Tensor) -> None:
        """Add pixels: the shapes of their kernels, and a mask of the reliable ones (of the same shape)."""
        self.pixels += trusted.numel()
        shapes = KernelShapes(*(values[trusted].double().cpu() for values in shapes))
        self.trusted += shapes.theta.numel()
        self._sizes += _histogram(shapes.size)
        self._ratios += _histogram(shapes.anisotropy)
        # Doubled angles make an axis and its opposite equal. Round kernels have weight 0.
        first, second = shapes.sigma_x**2, shapes.sigma_y**2
        weight = (first - second) / (first + second)
        doubled = torch.deg2rad(2 * shapes.theta)
        places = (shapes.theta * (DIRECTIONS / 180)).long().clamp(0, DIRECTIONS - 1)
        self.directions += torch.bincount(places, weight, DIRECTIONS)
        parts = (weight * torch.cos(doubled), weight * torch.sin(doubled), weight)
        self._direction += torch.stack([part.sum() for part in parts])
        at_edge = (shapes.sigma_y <= self._low * (1 + EDGE), shapes.sigma_x >= self._high * (1 - EDGE))
        self._edge += torch.stack([pixels.sum() for pixels in at_edge])

    @property
    def size(self) -> Spread | None:
        """Blur size, `KernelShapes.size`; None without reliable pixels."""
        return _spread(self._sizes)

    @property
    def anisotropy(self) -> Spread | None:
        """Ratio of the long axis to the short axis; None without reliable pixels."""
        return _spread(self._ratios)

    @property
    def angle(self) -> float | None:
        """Dominant angle of the long axes in degrees, [0, 180): half the weighted mean of the doubled angles.

        The weight is (sigma_x^2 - sigma_y^2) / (sigma_x^2 + sigma_y^2). None without reliable pixels.
        """
        cosine, sine, _ = self._direction.tolist()
        degrees = round(math.degrees(math.atan2(sine, cosine)) / 2 % 180, 6)
        return (0.0 if degrees >= 180 else degrees) if self.trusted else None

    @property
    def agreement(self) -> float | None:
        """Agreement of the axes on the angle: 1 if all are equal, 0 if none is preferred."""
        cosine, sine, weight = self._direction.tolist()
        return min(math.hypot(cosine, sine) / max(weight, 1e-12), 1.0) if self.trusted else None

    def sizes(self, edges: Tensor) -> Tensor:
        """Return the number of reliable pixels by blur size, in the bins (n - 1,) between edges (n,)."""
        centres = ((torch.arange(_BINS) + 0.5) * _STEP - _REACH).exp()
        below = torch.cat((torch.zeros(1, dtype=torch.int64), self._sizes.cumsum(0)))
        return below[torch.searchsorted(centres, edges.float())].diff()

    @property
    def flat(self) -> float:
        """Share of the picture without reliable estimates."""
        return 1 - self.trusted / max(self.pixels, 1)

    @property
    def narrow(self) -> float:
        """Share of the reliable pixels whose short axis is at the lower edge of the trained range."""
        return float(self._edge[0]) / max(self.trusted, 1)

    @property
    def wide(self) -> float:
        """Share of the reliable pixels whose long axis is at the upper edge of the trained range."""
        return float(self._edge[1]) / max(self.trusted, 1)

    def fields(self) -> dict[str, object]:
        """Return the summary for a script: lengths in HR pixels, angles in degrees, shares in [0, 1]."""
        size, anisotropy, angle, agreement = self.size, self.anisotropy, self.angle, self.agreement
        return {
            "pixels": self.pixels,
            "blur_size": size and size.fields(),
            "anisotropy": anisotropy and anisotropy.fields(),
            "angle": None if angle is None else round(angle, 1),
            "angle_agreement": None if agreement is None else round(agreement, 3),
            "flat_share": round(self.flat, 4),
            "narrow_edge_share": round(self.narrow, 4),
            "wide_edge_share": round(self.wide, 4),
            "trained_range": [round(self._low, 3), round(self._high, 3)],
        }

    def words(self) -> list[str]:
        """Return the summary as sentences."""
        size, anisotropy = self.size, self.anisotropy
        if size is None or anisotropy is None:
            return ["The picture is flat everywhere: its blur cannot be measured, so no kernel is reliable."]
        lines = [
            f"Blur size {size.median:.2f} result pixels (80 % within {size.p10:.2f} to {size.p90:.2f}), "
            f"{anisotropy.median:.2f} times as long as wide, {self.direction()}."
        ]
        if self.flat >= 0.001:
            lines.append(f"Flat, with unreliable kernels: {_percent(self.flat)} of the picture.")
        low, high = (f"{limit:.2f}" for limit in (self._low, self._high))
        if self.narrow >= 0.001:
            lines.append(f"As sharp as the trained limit ({low}) or sharper: {_percent(self.narrow)}.")
        if self.wide >= 0.001:
            lines.append(f"As blurred as the trained limit ({high}) or more: {_percent(self.wide)}.")
        return lines

    def direction(self) -> str:
        """Return the dominant angle as text; "in no main direction" if kernels are round or disagree."""
        angle, agreement, anisotropy = self.angle, self.agreement, self.anisotropy
        if angle is None or agreement is None or agreement < self.AGREED:
            return "in no main direction"
        if anisotropy is None or anisotropy.median < self.ROUND:
            return "in no main direction"
        return f"{'mostly' if agreement < 0.7 else 'nearly all'} along {angle:.0f} degrees"


def _histogram(values: Tensor) -> Tensor:
    places = ((values.log() + _REACH) / _STEP).floor().clamp(0, _BINS - 1)
    return torch.bincount(places.long(), minlength=_BINS)


def _spread(histogram: Tensor) -> Spread | None:
    count = int(histogram.sum())
    if count == 0:
        return None
    below = histogram.cumsum(0)

    def quantile(share: float) -> float:
        place = int(torch.searchsorted(below, math.ceil(share * count)))
        return math.exp((place + 0.5) * _STEP - _REACH)

    return Spread(quantile(0.5), quantile(0.1), quantile(0.9))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
