"""Symbols for kernels in a picture of the blur, and the legend."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from manet_cli.evaluation.kernel_summary import KernelSummary, size_range
from manet_cli.images.colour_map import colour_map, oklab_to_srgb
from manet_cli.images.sheet import FAINT, INK, LABEL, MUTED, ORANGE, PALE, PAPER, SMALL, Point, Sheet, wrapped

__all__ = ["LEGEND_HEIGHT", "draw_ellipse", "draw_legend", "flat_lightness"]

LEGEND_HEIGHT = 500
"""Largest height of the legend in pixels."""

_BARS = 50
_SHADE = "#6C7A89"


def draw_ellipse(
    sheet: Sheet, centre: Point, shape: tuple[float, float, float], unit: float, colour: str | None = None
) -> None:
    """Draw a kernel's ellipse of one standard deviation.

    Args:
        sheet: to draw on.
        centre: of the ellipse.
        shape: sigma_x and sigma_y in HR pixels, theta in degrees.
        unit: pixels of the page per HR pixel.
        colour: by default white with a dark rim, visible on any background.
    """
    sigma_x, sigma_y, theta = shape
    cos, sin = math.cos(math.radians(theta)), math.sin(math.radians(theta))
    points = []
    for step in range(50):
        turn = math.tau * step / 48
        along, across = unit * sigma_x * math.cos(turn), unit * sigma_y * math.sin(turn)
        points.append((centre[0] + along * cos - across * sin, centre[1] + along * sin + across * cos))
    if colour is None:
        sheet.line(points, INK, 2.7)
    sheet.line(points, colour or PAPER, 1.7 if colour else 1.4)


def flat_lightness(height: int, width: int) -> npt.NDArray[np.float64]:
    """Return the lightness (height, width) of flat areas: hatched light grey."""
    y, x = np.mgrid[:height, :width]
    return np.where((x + y) % 9 < 2, 0.81, 0.86)


def draw_legend(
    sheet: Sheet, summary: KernelSummary, scale: int, place: Point, width: int, unit: float
) -> None:
    """Draw the legend.

    Args:
        sheet: to draw on.
        summary: of the photo's kernels.
        scale: HR pixels per LR pixel.
        place: its upper left corner.
        width: of the legend.
        unit: pixels of the page per HR pixel of an ellipse.
    """
    left, top = place
    _explain_colours(sheet, summary, scale, left, top, width)
    _explain_ellipses(sheet, scale, left, top + 196, width, unit)
    swatch = np.zeros((24, 34, 3))
    swatch[..., 0] = flat_lightness(24, 34)
    sheet.picture(Image.fromarray(oklab_to_srgb(swatch)), left, top + 330)
    text = f"flat: nothing shows the blur here ({100 * summary.flat:.0f} %)"
    sheet.text((left + 44, top + 334), text, size=SMALL, colour=MUTED)
    _show_directions(sheet, summary, left, top + 374, width)


def _explain_colours(
    sheet: Sheet, summary: KernelSummary, scale: int, left: float, top: float, width: int
) -> None:
    """Draw the colours from sharp to blurred, with a histogram of the pixels above them."""
    low, high = size_range(scale)
    sheet.text((left, top), "Blur size", size=LABEL, bold=True)
    text = f"standard deviation in pixels of the x{scale} result"
    sheet.text((left, top + 24), text, size=SMALL, colour=MUTED)
    edges = torch.linspace(low, high, _BARS + 1)
    edges[0], edges[-1] = 0, math.inf  # sizes beyond have the last colour too
    counts = summary.sizes(edges).double()
    bar = top + 118
    for number, share in enumerate((counts / counts.max().clamp(min=1)).tolist()):
        x0, x1 = (left + width * (number + side) / _BARS for side in (0, 1))
        y0, y1 = bar - 4 - 64 * share, bar - 4
        sheet.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], FAINT)
    ramp = np.repeat(oklab_to_srgb(colour_map(width))[None], 16, axis=0)
    sheet.picture(Image.fromarray(ramp), left, bar)
    for half in range(math.ceil(2 * low), math.floor(2 * high) + 1):
        x = left + width * (half / 2 - low) / (high - low)
        sheet.line([(x, bar + 16), (x, bar + 21)], INK, 1)
        sheet.text((x, bar + 23), f"{half / 2:g}", size=SMALL, anchor="ma")
    sheet.text((left, bar + 42), "sharp", size=SMALL, colour=MUTED)
    sheet.text((left + width, bar + 42), "blurred", size=SMALL, colour=MUTED, anchor="ra")


def _explain_ellipses(sheet: Sheet, scale: int, left: float, top: float, width: int, unit: float) -> None:
    """Draw round kernels of whole sizes."""
    sheet.text((left, top), "Kernels", size=LABEL, bold=True)
    _, high = size_range(scale)
    for number in range(math.floor(high)):
        x, sigma = left + 22 + 62 * number, number + 1
        draw_ellipse(sheet, (x, top + 44), (sigma, sigma, 0), unit, INK)
        sheet.text((x, top + 66), f"{sigma}", size=SMALL, anchor="ma")
    text = "An ellipse is the kernel of the pixel in its middle, one standard deviation to each side."
    for number, line in enumerate(wrapped(text, width, SMALL)):
        sheet.text((left, top + 88 + 17 * number), line, size=SMALL, colour=MUTED)


def _show_directions(sheet: Sheet, summary: KernelSummary, left: float, top: float, width: int) -> None:
    """Draw the directions of the long axes."""
    sheet.text((left, top), "Directions", size=LABEL, bold=True)
    radius = 52.0
    x, y = left + radius, top + 30 + radius
    sheet.disc((x, y), radius, PALE)

    def around(angle: float, length: float) -> Point:
        return x + radius * length * math.cos(angle), y + radius * length * math.sin(angle)

    # Weight as area, so that long wedges do not look too heavy.
    lengths = (summary.directions / summary.directions.max().clamp(min=1e-12)).sqrt().tolist()
    step = math.pi / len(lengths)
    for number, length in enumerate(lengths):
        for start in (number * step, number * step + math.pi):
            arc = [around(start + step * part / 3, length) for part in range(4)]
            sheet.polygon([(x, y), *arc], _SHADE)
    angle, agreement = summary.angle, summary.agreement
    if angle is not None and agreement is not None and agreement >= summary.AGREED:
        sheet.line([around(math.radians(angle) + side, 1) for side in (0, math.pi)], ORANGE, 2.5)
    right, room = left + 2 * radius + 20, width - 2 * radius - 20
    text = "of the long axes, in degrees clockwise from the right; round kernels hardly count."
    lines = wrapped(text, room, SMALL)
    if angle is not None:
        lines += ["", *wrapped(f"{summary.direction().capitalize()}.", room, SMALL)]
    for number, line in enumerate(lines):
        sheet.text((right, top + 30 + 17 * number), line, size=SMALL, colour=MUTED)
