"""Sheets for a blind comparison by eye: one part of each photo, enlarged in several ways.

    python benchmarks/blind_sheets.py PHOTOS OUT [--ways bicubic clean default] [--side 160] [--seed 0]

A way is `bicubic`, a family or file of weights, or `default@0.4`: the pair of weights with denoising 0.4.
Each sheet OUT/NAME.png shows the ways in a random order, as A, B, C ...; OUT/key.json lists the orders. The
part is the one with most texture of 24 random parts.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np
from harness import SUFFIXES
from PIL import Image, ImageDraw

from manet_cli import Model, open_model
from manet_cli.images import Photo, read_photo
from manet_cli.inference.dial import AUTO, Denoise, position
from manet_cli.weights import DEFAULT_FAMILY

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
    models = {way: opened(way) for way in options.ways if way != "bicubic"}
    options.out.mkdir(parents=True, exist_ok=True)
    key = {}
    for path in sorted(path for path in options.photos.iterdir() if path.suffix.lower() in SUFFIXES):
        drawn = random.Random(f"{options.seed} {path.name}")
        photo = read_photo(path, path.name)
        left, top, right, bottom = textured_part(photo, options.side, drawn)
        part = Image.fromarray(photo.pixels[top:bottom, left:right].squeeze())
        order = list(options.ways)
        drawn.shuffle(order)
        panels = []
        for way in order:
            size = (SCALE * part.width, SCALE * part.height)
            if way == "bicubic":
                panels.append(part.resize(size, Image.Resampling.BICUBIC))
            else:
                model, dial = models[way]
                stands = position(AUTO, photo) if dial == AUTO else dial
                panels.append(model.upscale(part, denoise=stands))
        sheet(panels).save(options.out / f"{path.stem}.png")
        key[path.stem] = order
    (options.out / "key.json").write_text(json.dumps(key, indent=1), encoding="utf-8")


def opened(way: str) -> tuple[Model, Denoise | None]:
    """Return the model of a way, and its amount of denoising."""
    name, _, dial = way.partition("@")
    if name != DEFAULT_FAMILY:
        return open_model(name, scale=SCALE), None
    return open_model(name, scale=SCALE), float(dial) if dial else AUTO


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
