"""Draw the effect of --strength in and out of focus: ``python examples/focus.py coffee.png focus.jpg``.

The photo first gets a shallow depth of field: sharp in an ellipse, more and more out of focus around it. So
the large picture through the lens is known, and each result is compared with it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from manet_cli import open_model

Array = npt.NDArray[np.float64]

SCALE = 4
CENTRE, RADII = (0.52, 0.42), (0.34, 0.42)  # the ellipse in focus, as shares of width and height
SIGMA = 2.4  # largest blur of the lens, in pixels of the large photo
STRENGTHS = (1.0, 0.5, 0.25)
SHARP, SOFT = (250, 120), (40, 285)  # corners of the details shown
DETAIL, ZOOM = (110, 80), 2


def distance(width: int, height: int) -> Array:
    """Return how far every pixel is out of focus: 0 in the ellipse, 1 for the largest blur."""
    y, x = np.mgrid[:height, :width]
    across = (x / width - CENTRE[0]) / RADII[0]
    down = (y / height - CENTRE[1]) / RADII[1]
    depth: Array = np.clip((np.hypot(across, down) - 1) / 0.25, 0, 1)
    return depth


def through_lens(photo: Image.Image, depth: Array) -> Image.Image:
    """Blur a photo by its depth: interpolate between nine versions with more and more blur."""
    levels = [SIGMA * step / 8 for step in range(9)]
    versions = [np.asarray(photo.filter(ImageFilter.GaussianBlur(sigma)), np.float64) for sigma in levels]
    position = depth * (len(levels) - 1)
    scene = np.zeros_like(versions[0])
    for index, version in enumerate(versions):
        scene += np.clip(1 - np.abs(position - index), 0, 1)[..., None] * version
    return Image.fromarray(np.round(scene).astype(np.uint8))


def psnr(result: Image.Image, scene: Image.Image, where: npt.NDArray[np.bool_]) -> float:
    """Return the PSNR of a part of a result in dB."""
    errors = (np.asarray(result, np.float64) - np.asarray(scene, np.float64))[where]
    return float(10 * np.log10(255**2 / np.mean(errors**2)))


def sheet(columns: list[tuple[str, Image.Image]]) -> Image.Image:
    """Put the two details of every picture below its label."""
    margin, line = 8, 40
    width, height = DETAIL[0] * ZOOM, DETAIL[1] * ZOOM
    size = (margin + len(columns) * (width + margin), line + 2 * (height + margin) + margin)
    drawn = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(drawn)
    for index, (label, picture) in enumerate(columns):
        left = margin + index * (width + margin)
        draw.multiline_text((left, margin // 2), label, "black", font_size=13)
        for row, (x, y) in enumerate((SHARP, SOFT)):
            detail = picture.crop((x, y, x + DETAIL[0], y + DETAIL[1]))
            large = detail.resize((width, height), Image.Resampling.NEAREST)
            drawn.paste(large, (left, line + row * (height + margin)))
    return drawn


def main(source: Path, target: Path) -> None:
    """Make the figure and print its numbers."""
    with Image.open(source) as image:
        photo = image.convert("RGB")
    photo = photo.crop((0, 0, photo.width // SCALE * SCALE, photo.height // SCALE * SCALE))
    depth = distance(*photo.size)
    scene = through_lens(photo, depth)
    small = scene.resize((photo.width // SCALE, photo.height // SCALE), Image.Resampling.BOX)
    model = open_model(scale=SCALE)
    columns = [
        ("what the lens showed", scene),
        ("bicubic", small.resize(photo.size, Image.Resampling.BICUBIC)),
        *((f"--strength {strength:g}", model.upscale(small, strength=strength)) for strength in STRENGTHS),
    ]
    labelled = []
    for label, picture in columns:
        if picture is not scene:
            sharp, soft = (psnr(picture, scene, where) for where in (depth == 0, depth == 1))
            print(f"{label:16} in focus {sharp:.2f} dB, out of focus {soft:.2f} dB")
            label += f"\nin {sharp:.1f}, out {soft:.1f} dB"
        labelled.append((label, picture))
    sheet(labelled).save(target, quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
