"""Draw how the estimates follow a blur that varies: ``python examples/variant.py PHOTO variant.jpg``.

The photo is degraded by the published spatially variant types 1 to 4: each 40x40 block has another kernel.
For every block, the true kernel and the mean of the estimated kernels are drawn.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sheets import beside, labelled, stacked

from manet_cli import Model, open_model
from manet_cli.degradations.protocol import Degradation
from manet_cli.degradations.spatially_variant import BLOCK_SIZE

SCALE = 4
BLOCKS = 7
ENLARGED = 40


def mosaic(kernels: torch.Tensor) -> Image.Image:
    """Draw kernels (n, n, k, k), each scaled to full brightness."""
    bright = kernels / kernels.amax(dim=(2, 3), keepdim=True)
    tiles = np.round(bright.numpy() * 255).astype(np.uint8)
    sheet = Image.new("L", (tiles.shape[1] * ENLARGED, tiles.shape[0] * ENLARGED))
    for row, line in enumerate(tiles):
        for column, tile in enumerate(line):
            large = Image.fromarray(tile).resize((ENLARGED - 2, ENLARGED - 2), Image.Resampling.BICUBIC)
            sheet.paste(large, (column * ENLARGED + 1, row * ENLARGED + 1))
    return sheet.convert("RGB")


def row_of(photo: Image.Image, mode: int, model: Model) -> Image.Image:
    """Draw the true and the estimated kernels of a type."""
    hr = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float() / 255
    degraded = Degradation(SCALE, mode=mode).apply(hr)
    lr = (degraded.lr[0].permute(1, 2, 0) * 255).round().byte().numpy()
    found = torch.from_numpy(model.kernels(lr))
    side = BLOCK_SIZE // SCALE
    size = found.shape[-1]
    means = found.reshape(BLOCKS, side, BLOCKS, side, size, size).mean(dim=(1, 3))
    true = degraded.kernels.lr_rows(0, lr.shape[0])[::side, ::side]
    return labelled([(f"type {mode}", mosaic(true)), (f"type {mode}, estimated", mosaic(means))])


def main(source: Path, target: Path) -> None:
    """Make the figure from the middle of a photo."""
    with Image.open(source) as image:
        photo = image.convert("RGB")
    side = BLOCKS * BLOCK_SIZE
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    photo = photo.crop((left, top, left + side, top + side))
    model = open_model(scale=SCALE)
    rows = [row_of(photo, mode, model) for mode in (1, 2, 3, 4)]
    stacked([beside(*rows[:2]), beside(*rows[2:])]).save(target, quality=85)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
