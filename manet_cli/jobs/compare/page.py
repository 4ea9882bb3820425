"""The page of ``manet compare``: enlargements of one part of a photo side by side, with a detail of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from manet_cli.images import Photo
from manet_cli.images.sheet import (
    FAINT,
    LABEL,
    MUTED,
    ORANGE,
    PAPER,
    TITLE,
    Sheet,
    as_png,
    fitted,
    on_paper,
    plain,
    shortened,
)
from manet_cli.jobs.explore.data import Region

__all__ = ["HIGHEST", "Way", "draw_comparison", "panel_width"]

_PAGE, _MARGIN, _GAP = 1200, 28, 16
_OVERVIEW = (220, 120)
_TOP = 176
HIGHEST = 480
"""Largest height of a panel in pixels."""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Way:
    """One enlargement of the part.

    Attributes:
        label: text above the panel.
        pixels: (height, width, 3), the same size for all.
    """

    label: str
    pixels: Pixels


def panel_width(ways: int) -> int:
    """Return the width of each of several panels, in pixels."""
    return max((_PAGE - 2 * _MARGIN - (ways - 1) * _GAP) // ways, 120)


def draw_comparison(
    ways: Sequence[Way], photo: Photo, shown: Region, zoom: Region, *, name: str, scale: int, record: str
) -> bytes:
    """Draw the page and return it as a PNG file.

    Args:
        ways: the enlargements, from left to right.
        photo: the whole photo, for the overview.
        shown: the part, in pixels of the photo.
        zoom: the detail inside the part, in pixels of the photo.
        name: of the photo, for the title.
        scale: of the enlargements, pixels per pixel of the photo.
        record: record of the run, to store in the file.
    """
    panel = panel_width(len(ways))
    size = _panel_size(shown, panel, scale)
    detail = _panel_size(zoom, panel, scale)
    width = max(_PAGE, 2 * _MARGIN + len(ways) * panel + (len(ways) - 1) * _GAP)
    sheet = Sheet(width, _TOP + 28 + size[1] + _GAP + detail[1] + _MARGIN)
    room = width - 3 * _MARGIN - _OVERVIEW[0]
    sheet.text(
        (_MARGIN, 28), shortened(f"{plain(name)}, enlarged x{scale}", room, TITLE), size=TITLE, bold=True
    )
    lines = (
        f"{shown.width}x{shown.height} pixels from ({shown.left}, {shown.top}) of "
        f"{photo.width}x{photo.height}; the framed detail is enlarged below",
        f"crop {shown.left},{shown.top},{shown.width},{shown.height}",
    )
    for number, line in enumerate(lines):
        sheet.text((_MARGIN, 74 + 22 * number), line, colour=MUTED)
    _draw_overview(sheet, photo, shown, width)
    inside = zoom.within(shown)
    for number, way in enumerate(ways):
        left = _MARGIN + number * (panel + _GAP)
        sheet.text((left, _TOP), shortened(plain(way.label), panel, LABEL), size=LABEL, bold=True)
        _draw_panel(sheet, way.pixels, left, _TOP + 28, size)
        factors = (size[0] / shown.width, size[1] / shown.height)
        box = (left + inside.left * factors[0], _TOP + 28 + inside.top * factors[1])
        _frame(sheet, *box, inside.width * factors[0], inside.height * factors[1])
        part = inside.times(scale)
        below = _TOP + 28 + size[1] + _GAP
        _draw_panel(sheet, way.pixels[part.rows, part.columns], left, below, detail)
        sheet.box(left, below, *detail, ORANGE)
    return as_png(sheet.finish(), record)


def _panel_size(part: Region, panel: int, scale: int) -> tuple[int, int]:
    """Return the size of a part in a panel: a whole multiple of its result, if that fits."""
    width, height = part.width * scale, part.height * scale
    times = min(panel // width, HIGHEST // height)
    return (width * times, height * times) if times else fitted(width, height, panel, HIGHEST)


def _draw_panel(sheet: Sheet, pixels: Pixels, left: float, top: float, size: tuple[int, int]) -> None:
    larger = size[0] >= pixels.shape[1]
    way = Image.Resampling.NEAREST if larger else Image.Resampling.BICUBIC
    sheet.picture(Image.fromarray(pixels).resize(size, way), left, top, smooth=False)


def _draw_overview(sheet: Sheet, photo: Photo, shown: Region, width: int) -> None:
    size = fitted(photo.width, photo.height, *_OVERVIEW)
    left = width - _MARGIN - size[0]
    sheet.picture(Image.fromarray(on_paper(photo, size)), left, 28)
    sheet.box(left, 28, *size, FAINT)
    across, down = size[0] / photo.width, size[1] / photo.height
    place = (left + shown.left * across, 28 + shown.top * down)
    _frame(sheet, *place, shown.width * across, shown.height * down)


def _frame(sheet: Sheet, left: float, top: float, width: float, height: float) -> None:
    sheet.box(left - 1, top - 1, width + 2, height + 2, PAPER)
    sheet.box(left, top, width, height, ORANGE)
