"""Draw the details of docs/gallery.md: ``python examples/gallery.py PHOTOS docs/images``.

PHOTOS is the folder ``data`` of the Python package scikit-image. Some photos are first degraded as in the
published tests, so the sharp photo is known and shown; the others are enlarged as they are.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from sheets import labelled, stacked

from manet_cli import Model, open_model
from manet_cli.degradations.gaussian import GaussianParameters
from manet_cli.degradations.jpeg import Jpeg
from manet_cli.degradations.noise import Noise
from manet_cli.degradations.protocol import Degradation
from manet_cli.degradations.step import DegradationStep

SCALE = 4
ZOOM = 2


@dataclass(frozen=True)
class Scene:
    """A detail of a photo.

    Attributes:
        photo: file name; `TEXT` for drawn text.
        box: box of the detail in the small photo: left, top, right, bottom.
        label: description of the photo.
        degradation: makes the small photo; None to use the photo as it is.
    """

    photo: str
    box: tuple[int, int, int, int]
    label: str
    degradation: Degradation | None = None


TEXT = "text"


def drawn_text() -> Image.Image:
    """Return a sharp page, drawn with Pillow's own font."""
    page = Image.new("RGB", (240, 160), "#f4f1e8")
    words = "blind super-\nresolution\n0123456789"
    ImageDraw.Draw(page).multiline_text((20, 16), words, "#222222", font_size=32, spacing=8)
    return page


def gaussian(sig1: float, sig2: float, degrees: float, *steps: DegradationStep) -> Degradation:
    """Return a degradation of the published tests with one kernel; variances in HR pixels squared."""
    kernel = GaussianParameters.from_degrees(sig1, sig2, degrees)
    return Degradation(SCALE, kernel, steps=steps)


FIGURES: dict[str, list[Scene]] = {
    "gallery_round": [Scene("astronaut.png", (44, 4, 84, 34), "out of focus", gaussian(6, 6, 0))],
    "gallery_moved": [
        Scene("coffee.png", (58, 42, 98, 72), "blurred along one direction", gaussian(9, 1, 45))
    ],
    "gallery_real": [Scene("rocket.jpg", (10, 250, 90, 310), "a camera's JPEG as it is")],
    "gallery_text": [Scene(TEXT, (4, 4, 44, 34), "text out of focus", gaussian(5, 5, 0))],
    "failures": [
        Scene("astronaut.png", (44, 4, 84, 34), "noise of 15/255", gaussian(6, 6, 0, Noise(15))),
        Scene("astronaut.png", (44, 4, 84, 34), "JPEG of quality 30", gaussian(6, 6, 0, Jpeg(30))),
        Scene("clock_motion.png", (150, 110, 230, 170), "a camera moved far, as it is"),
    ],
}


def small_photo(photo: Image.Image, degradation: Degradation) -> tuple[Image.Image, Image.Image]:
    """Return the degraded photo and the part of the sharp photo that it shows."""
    hr = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float() / 255
    degraded = degradation.apply(hr)
    lr = (degraded.lr[0].permute(1, 2, 0) * 255).round().byte().numpy()
    return Image.fromarray(lr), photo.crop((0, 0, lr.shape[1] * SCALE, lr.shape[0] * SCALE))


def strip(scene: Scene, folder: Path, model: Model) -> Image.Image:
    """Draw a detail: bicubic, our result, and the sharp photo if it is known."""
    photo = drawn_text() if scene.photo == TEXT else Image.open(folder / scene.photo).convert("RGB")
    sharp = None
    if scene.degradation is not None:
        photo, sharp = small_photo(photo, scene.degradation)
    size = (photo.width * SCALE, photo.height * SCALE)
    pictures = {f"{scene.label}, bicubic": photo.resize(size, Image.Resampling.BICUBIC)}
    pictures["manet"] = model.upscale(photo)
    if sharp is not None:
        pictures["the sharp photo"] = sharp
    left, top, right, bottom = (SCALE * side for side in scene.box)
    zoom = ZOOM if scene.degradation is not None else 1
    detail = ((right - left) * zoom, (bottom - top) * zoom)
    return labelled(
        [
            (label, picture.crop((left, top, right, bottom)).resize(detail, Image.Resampling.NEAREST))
            for label, picture in pictures.items()
        ]
    )


def main(photos: Path, out: Path) -> None:
    """Draw all figures."""
    model = open_model(scale=SCALE)
    for name, scenes in FIGURES.items():
        stacked([strip(scene, photos, model) for scene in scenes]).save(out / f"{name}.jpg", quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
