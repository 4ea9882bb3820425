"""A page to draw on, and the style of all our pictures: light, few colours, sharp text.

`Sheet` draws pictures, shapes and text, with Pillow only. `evaluation.studies.style` is for plots with axes;
it needs matplotlib, an extra. It uses the colours and text sizes of this module, but another font.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from manet_cli.images.lossless import RECORD_KEYWORD
from manet_cli.images.photo import Photo

__all__ = [
    "BLUE",
    "FAINT",
    "GREEN",
    "INK",
    "LABEL",
    "MUTED",
    "ORANGE",
    "PALE",
    "PAPER",
    "SMALL",
    "TEXT",
    "TITLE",
    "Point",
    "Sheet",
    "as_png",
    "fitted",
    "on_paper",
    "plain",
    "shortened",
    "wrapped",
]

INK, MUTED, FAINT, PALE, PAPER = "#1D2733", "#55616D", "#D5DAE0", "#EEF1F4", "#FFFFFF"
# Colours that differ for every common colour deficiency: Okabe and Ito, "Color Universal Design", 2008.
# Orange also differs from the colours of `colour_map`.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"

TITLE, LABEL, TEXT, SMALL = 28, 18, 15, 13
"""Sizes of text in pixels, on pages 1200 to 1600 pixels wide."""

_SMOOTH = 3
"""Shapes are drawn larger by this factor and reduced, which smooths their edges."""

Point = tuple[float, float]


class Sheet:
    """A white page; places and lengths are in pixels of the finished picture.

    Text is always drawn on top of shapes, when the page is finished.
    """

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self._large = Image.new("RGB", (width * _SMOOTH, height * _SMOOTH), PAPER)
        self._draw = ImageDraw.Draw(self._large)
        self._texts: list[tuple[Point, str, float, str, str, bool]] = []

    def picture(self, picture: Image.Image, left: float, top: float, *, smooth: bool = True) -> None:
        """Draw a picture at its size in pixels; without ``smooth`` its pixels stay square."""
        size = (picture.width * _SMOOTH, picture.height * _SMOOTH)
        way = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
        self._large.paste(picture.resize(size, way), (round(left * _SMOOTH), round(top * _SMOOTH)))

    def line(self, points: Sequence[Point], colour: str, width: float) -> None:
        """Draw a line through points."""
        self._draw.line(_enlarged(points), colour, max(round(width * _SMOOTH), 1), joint="curve")

    def polygon(self, points: Sequence[Point], colour: str) -> None:
        """Fill a polygon."""
        self._draw.polygon(_enlarged(points), colour)

    def disc(self, centre: Point, radius: float, colour: str) -> None:
        """Fill a circle."""
        x, y = centre
        box = _enlarged([(x - radius, y - radius), (x + radius, y + radius)])
        self._draw.ellipse(box, colour)

    def box(self, left: float, top: float, width: float, height: float, colour: str) -> None:
        """Draw an outline, one pixel wide, around a rectangle."""
        corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
        self.line([*corners, corners[0], corners[1]], colour, 1)

    def text(
        self,
        place: Point,
        text: str,
        *,
        size: float = TEXT,
        colour: str = INK,
        anchor: str = "la",
        bold: bool = False,
    ) -> None:
        """Write a line of text; ``anchor`` as in Pillow."""
        self._texts.append((place, text, size, colour, anchor, bold))

    def finish(self) -> Image.Image:
        """Return the page."""
        page = self._large.resize(self.size, Image.Resampling.BOX)
        draw = ImageDraw.Draw(page)
        for place, text, size, colour, anchor, bold in self._texts:
            # The font has only one weight.
            stroke = 0.35 if bold else 0
            draw.text(place, text, colour, _font(size), anchor, stroke_width=stroke)
        return page


def as_png(page: Image.Image, record: str | None = None) -> bytes:
    """Return a finished page as a PNG file.

    Args:
        page: the page.
        record: ASCII text that `read_record` returns.
    """
    chunks = PngInfo()
    if record is not None:
        chunks.add_itxt(RECORD_KEYWORD, record)
    file = io.BytesIO()
    page.save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


def wrapped(text: str, width: float, size: float) -> list[str]:
    """Break a text into lines of at most ``width`` pixels, at its spaces."""
    lines: list[str] = []
    for word in text.split():
        if lines and _font(size).getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def shortened(text: str, width: float, size: float) -> str:
    """Cut a text so that it fits into ``width`` pixels."""
    if _font(size).getlength(text) <= width:
        return text
    while text and _font(size).getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def fitted(width: int, height: int, within_width: float, within_height: float) -> tuple[int, int]:
    """Return the largest size of a picture that fits, at least 1 a side."""
    factor = min(within_width / width, within_height / height)
    return max(round(width * factor), 1), max(round(height * factor), 1)


def on_paper(photo: Photo, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return a photo on white as 8-bit RGB, (height, width, 3), resized to ``size`` (width, height)."""
    pixels = _eight_bit(photo.pixels)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    picture = picture.resize(size, Image.Resampling.BICUBIC).convert("RGB")
    if photo.alpha is not None:
        alpha = Image.fromarray(_eight_bit(photo.alpha)).resize(size, Image.Resampling.BICUBIC)
        picture = Image.composite(picture, Image.new("RGB", size, "white"), alpha)
    return np.asarray(picture)


def _eight_bit(values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    return (values if values.dtype == np.uint8 else values >> 8).astype(np.uint8, copy=False)


def plain(text: str) -> str:
    """Remove accents from a text, and replace other characters that the font lacks by question marks."""
    letters = unicodedata.normalize("NFKD", text)
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in letters)


def _enlarged(points: Sequence[Point]) -> list[Point]:
    return [(x * _SMOOTH, y * _SMOOTH) for x, y in points]


@lru_cache
def _font(size: float) -> Any:  # noqa: ANN401 - Pillow has two classes; only FreeType's has all methods
    return ImageFont.load_default(size)
