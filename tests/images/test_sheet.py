"""The page for drawing."""

from __future__ import annotations

import numpy as np
from PIL import Image

from manet_cli.images.sheet import Sheet, fitted, plain, shortened, wrapped


def test_shapes_lie_where_they_are_put() -> None:
    sheet = Sheet(60, 40)
    sheet.polygon([(10, 5), (20, 5), (20, 15), (10, 15)], "#000000")
    sheet.picture(Image.new("RGB", (8, 6), "#FF0000"), 30, 20, smooth=False)
    sheet.disc((50, 10), 5, "#0000FF")
    page = np.asarray(sheet.finish())
    assert page.shape == (40, 60, 3)
    assert (page[6:14, 11:19] == 0).all()
    assert (page[20:26, 30:38] == (255, 0, 0)).all()
    assert (page[19, 30:38] == 255).all()
    assert tuple(page[10, 50]) == (0, 0, 255)
    assert (page[30:] == 255).all()


def test_text_stays_on_top_and_within_its_place() -> None:
    sheet = Sheet(200, 40)
    sheet.text((10, 10), "Blur size 1.9", size=16, colour="#000000")
    sheet.polygon([(0, 0), (200, 0), (200, 40), (0, 40)], "#DDDDDD")
    page = np.asarray(sheet.finish())[..., 0]
    rows, columns = np.nonzero(page < 100)
    assert 10 <= rows.min() < rows.max() < 30
    assert 10 <= columns.min() < columns.max() < 120


def test_words_fit() -> None:
    text = "An ellipse is the kernel of the pixel in its middle"
    lines = wrapped(text, 120, 13)
    assert len(lines) > 2
    assert " ".join(lines) == text
    assert shortened("short", 100, 13) == "short"
    cut = shortened("a name that goes on and on and on.png", 100, 13)
    assert cut.endswith("...")
    assert cut[:6] == "a name"
    assert plain("Größe été 写真.png") == "Gro?e ete ??.png"


def test_pictures_fit() -> None:
    assert fitted(400, 300, 100, 100) == (100, 75)
    assert fitted(3, 4, 90, 80) == (60, 80)
    assert fitted(5000, 1, 100, 100) == (100, 1)
