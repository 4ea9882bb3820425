"""A picture of a photo's blur: size as colour over the photo, kernels as ellipses, some of them enlarged.

The page is 1200 pixels wide. The lightness of a colour shows the blur size, plus the photo's fine detail.
Flat areas, where no blur can be measured, are grey.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from torch.nn import functional

from manet_cli.degradations.gaussian import placed_side
from manet_cli.degradations.kernel_shape import KernelShapes
from manet_cli.evaluation.kernel_summary import size_range
from manet_cli.images import Photo, to_integer
from manet_cli.images.colour_map import colour_map, kernel_shades, oklab_to_srgb, srgb_to_oklab
from manet_cli.images.sheet import (
    FAINT,
    LABEL,
    MUTED,
    ORANGE,
    PAPER,
    SMALL,
    TEXT,
    TITLE,
    Point,
    Sheet,
    as_png,
    fitted,
    on_paper,
    plain,
    shortened,
    wrapped,
)
from manet_cli.jobs.kernels.glyphs import LEGEND_HEIGHT, draw_ellipse, draw_legend, flat_lightness
from manet_cli.jobs.kernels.survey import KernelSurvey

__all__ = ["draw_kernel_picture", "survey_for_picture"]

_PAGE, _MARGIN = 1200, 28
_PANEL = (824, 880)
_LEGEND_LEFT = _MARGIN + _PANEL[0] + 32
_LEGEND_WIDTH = _PAGE - _MARGIN - _LEGEND_LEFT
_CELL = 36  # pixels between ellipses
_SAMPLES, _SAMPLE_PIXEL, _SMALL_SAMPLE_PIXEL = 6, 9, 6
_LOW_PANEL = 340  # below this height, the samples fit beside the legend
_SMOOTHING = 4  # pixels to each side in the average of a colour
_DETAIL, _DETAIL_RADIUS, _DETAIL_LIMIT = 0.6, 22, 0.2

Floats = npt.NDArray[np.float64]


def survey_for_picture(height: int, width: int, scale: int, kernel_size: int) -> KernelSurvey:
    """Return an empty survey for a photo of height x width pixels; add all tiles, then draw it."""
    largest = max(fitted(width, height, *_PANEL))
    factor = -(-max(height, width) // largest)
    cell = _CELL * max(height, width) / factor / largest
    return KernelSurvey(height, width, scale, kernel_size=kernel_size, largest=largest, cell=cell)


def draw_kernel_picture(survey: KernelSurvey, photo: Photo, name: str, record: str | None = None) -> bytes:
    """Draw a photo's blur and return it as a PNG file.

    Args:
        survey: of the whole photo.
        photo: the photo.
        name: of the photo, for the title.
        record: record of the run, to store in the file.
    """
    lines = [line for sentence in survey.summary.words() for line in wrapped(sentence, _PANEL[0], TEXT)]
    top = 88 + 21 * max(len(lines), 3)
    width, height = fitted(survey.width, survey.height, *_PANEL)
    beside = height < _LOW_PANEL
    below = top + (height if beside else max(height, LEGEND_HEIGHT)) + 24
    pixel = _SMALL_SAMPLE_PIXEL if beside else _SAMPLE_PIXEL
    side = placed_side(survey.kernels.shape[-1], survey.scale)
    sheet = Sheet(_PAGE, max(below + side * pixel + 122, top + LEGEND_HEIGHT + _MARGIN))
    title = shortened(f"The blur of {plain(name)}", _PANEL[0], TITLE)
    sheet.text((_MARGIN, 24), title, size=TITLE, bold=True)
    for number, line in enumerate(lines):
        sheet.text((_MARGIN, 68 + 21 * number), line, colour=MUTED)
    small = fitted(survey.width, survey.height, _LEGEND_WIDTH, top - 46)
    sheet.picture(Image.fromarray(on_paper(photo, small)), _LEGEND_LEFT, 28)
    panel = _Panel(sheet, survey, _MARGIN, top, width, height)
    panel.draw(photo)
    draw_legend(sheet, survey.summary, survey.scale, (_LEGEND_LEFT, top), _LEGEND_WIDTH, panel.unit)
    _draw_samples(sheet, survey, panel, below, _PANEL[0] if beside else _PAGE - 2 * _MARGIN, pixel)
    return as_png(sheet.finish(), record)


class _Panel:
    """The photo with colours and ellipses.

    Args:
        sheet: to draw on.
        survey: to draw.
        left, top, width, height: rectangle of the panel.

    Attributes:
        unit: pixels of the page per HR pixel of an ellipse.
    """

    def __init__(
        self, sheet: Sheet, survey: KernelSurvey, left: float, top: float, width: int, height: int
    ) -> None:
        self._sheet, self._survey = sheet, survey
        self._left, self._top, self._size = left, top, (width, height)
        self._low, self._high = size_range(survey.scale)
        # The widest trained kernels just do not touch.
        self.unit = 0.46 * _CELL / self._high

    def place(self, row: int, column: int) -> Point:
        """Return the position of a grid pixel on the page."""
        rows, columns = self._survey.trusted.shape
        width, height = self._size
        # The middle of the cell, which is in the pixel or at its edge, so that the grid is regular.
        return self._left + (column + 0.5) / columns * width, self._top + (row + 0.5) / rows * height

    def draw(self, photo: Photo) -> None:
        """Draw the photo with colours and ellipses."""
        self._sheet.picture(Image.fromarray(self._coloured(photo)), self._left, self._top)
        for row, column in self._survey.trusted.nonzero().tolist():
            draw_ellipse(self._sheet, self.place(row, column), self._survey.shape(row, column), self.unit)

    def _coloured(self, photo: Photo) -> npt.NDArray[np.uint8]:
        lightness = srgb_to_oklab(on_paper(photo, self._size))[..., 0]
        blurred = Image.fromarray(to_integer(lightness, np.uint8))
        blurred = blurred.filter(ImageFilter.GaussianBlur(_DETAIL_RADIUS))
        detail = np.clip(_DETAIL * (lightness - np.asarray(blurred) / 255), -_DETAIL_LIMIT, _DETAIL_LIMIT)
        trust = self._smoothed(self._survey.trust)
        size = self._smoothed(self._survey.size * self._survey.trust) / np.maximum(trust, 1e-6)
        share = np.clip((size - self._low) / (self._high - self._low), 0, 1)
        colours = colour_map()[np.round(share * 255).astype(int)]
        flat = np.zeros_like(colours)
        flat[..., 0] = flat_lightness(*trust.shape)
        mixed = flat + np.clip(2 * trust - 0.5, 0, 1)[..., None] * (colours - flat)
        mixed[..., 0] = np.clip(mixed[..., 0] + detail, 0.1, 0.98)
        return oklab_to_srgb(mixed)

    def _smoothed(self, values: torch.Tensor) -> Floats:
        """Resize a map to the panel and smooth it."""
        image = Image.fromarray(values.float().numpy()).resize(self._size, Image.Resampling.BILINEAR)
        padded = np.pad(np.asarray(image), _SMOOTHING, mode="edge")
        window = 2 * _SMOOTHING + 1
        smooth = functional.avg_pool2d(torch.from_numpy(padded)[None], window, stride=1)
        return np.asarray(smooth[0], np.float64)


def _draw_samples(
    sheet: Sheet, survey: KernelSurvey, panel: _Panel, top: float, width: float, pixel: int
) -> None:
    """Draw some kernels, ``pixel`` pixels of the page per kernel pixel, and mark their places."""
    sheet.text((_MARGIN, top), "Some of the kernels, enlarged", size=LABEL, bold=True)
    side = placed_side(survey.kernels.shape[-1], survey.scale)
    shown = side * pixel
    step = (width - shown) / (_SAMPLES - 1)
    for number, (label, row, column) in enumerate(_chosen(survey)):
        left, badge = _MARGIN + step * number, str(number + 1)
        shades = kernel_shades(survey.kernels[row, column, :side, :side].double().numpy())
        image = Image.fromarray(shades).resize((shown, shown), Image.Resampling.NEAREST)
        sheet.picture(image, left, top + 32, smooth=False)
        sheet.box(left, top + 32, shown, shown, FAINT)
        sigma_x, sigma_y, theta = shape = survey.shape(row, column)
        draw_ellipse(sheet, (left + shown / 2, top + 32 + shown / 2), shape, pixel, ORANGE)
        _draw_badge(sheet, panel.place(row, column), badge)
        below = top + 32 + shown + 10
        _draw_badge(sheet, (left + 11, below + 10), badge)
        sheet.text((left + 30, below + 1), label)
        angle = f", {theta:.0f}\u00b0" if sigma_x > 1.1 * sigma_y else ""
        sheet.text((left, below + 27), f"{sigma_x:.2f} by {sigma_y:.2f}{angle}", size=SMALL, colour=MUTED)


def _draw_badge(sheet: Sheet, centre: Point, text: str) -> None:
    sheet.disc(centre, 11, PAPER)
    sheet.disc(centre, 10, ORANGE)
    sheet.text(centre, text, colour=PAPER, anchor="mm", bold=True)


def _chosen(survey: KernelSurvey) -> list[tuple[str, int, int]]:
    """Choose up to six typical and extreme pixels of the grid: label, row and column."""
    chosen: list[tuple[str, int, int]] = []

    def choose(label: str, places: torch.Tensor, scores: torch.Tensor) -> None:
        """Choose the place with the smallest score that is still free."""
        for number in scores.argsort().tolist():
            row, column = places[number].tolist()
            if all((row, column) != other[1:] for other in chosen):
                chosen.append((label, row, column))
                return

    places = survey.trusted.nonzero()
    if len(places):
        shapes = KernelShapes(*(values[survey.trusted] for values in survey.shapes))
        size, ratio = shapes.size.log(), shapes.anisotropy.log()
        # Quantiles instead of extremes, which are often estimation errors.
        usual, longest = ratio.quantile(0.5), ratio.quantile(0.97)
        for label, share in (("sharp", 0.03), ("typical", 0.5), ("blurred", 0.97)):
            choose(label, places, (size - size.quantile(share)).abs() + 0.2 * (ratio - usual).abs())
        choose("long", places, (ratio - longest).abs())
        # Weighted by anisotropy; perpendicular directions score lowest.
        turned = torch.deg2rad(2 * (shapes.theta - survey.shape(*chosen[-1][1:])[2]))
        choose("long, turned", places, torch.cos(turned) * ratio.clamp(max=longest))
    places = (~survey.trusted).nonzero()
    middle = torch.tensor(survey.trusted.shape) / 2
    choose("flat: a guess", places, (places - middle).square().sum(dim=1))
    return chosen
