"""Sheets of labelled pictures."""

from __future__ import annotations

from PIL import Image, ImageDraw

__all__ = ["beside", "labelled", "stacked"]

_MARGIN, _LINE = 8, 20


def labelled(pictures: list[tuple[str, Image.Image]]) -> Image.Image:
    """Put pictures of one height side by side, each under its label."""
    width = sum(picture.width + _MARGIN for _, picture in pictures) + _MARGIN
    sheet = Image.new("RGB", (width, pictures[0][1].height + _LINE + 2 * _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    left = _MARGIN
    for label, picture in pictures:
        draw.text((left, _MARGIN), label, "black", font_size=14)
        sheet.paste(picture, (left, _LINE + _MARGIN))
        left += picture.width + _MARGIN
    return sheet


def stacked(rows: list[Image.Image]) -> Image.Image:
    """Stack sheets from the top down."""
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Put two sheets beside each other."""
    sheet = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "white")
    sheet.paste(left, (0, 0))
    sheet.paste(right, (left.width, 0))
    return sheet
