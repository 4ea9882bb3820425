"""Choose the part that shows the blur of a photo best, for photos too large for a page."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from manet_cli.degradations.texture import TEXTURE_MARGIN, texture
from manet_cli.inference import LowResolution
from manet_cli.jobs.explore.data import Region

__all__ = ["largest_sides", "telling_part"]

_CELL = 8  # pixels between compared positions
_BAND = 512  # rows at a time
_ENOUGH = 4.0
"""Texture in levels of 255 above which estimates do not improve (docs/kernels.md)."""
_OFF_CENTRE = 0.1
_LONGEST_ASPECT = 3.0


def telling_part(lr: LowResolution, width: int, height: int) -> Region:
    """Return the part of ``width`` x ``height`` pixels that shows the photo and its blur best.

    The score is high for much texture and varied lightness: objects rather than sky or grass. It falls
    slightly with the distance from the middle.

    Args:
        lr: the photo, at least as large.
        width: of the part, pixels.
        height: likewise.
    """
    window = (max(1, height // _CELL), max(1, width // _CELL))
    shows, lightness, square = F.avg_pool2d(_cells(lr)[None], window, 1)[0]
    spread = (square - lightness.square()).clamp(min=0).sqrt()
    down, right = (torch.linspace(-1, 1, size) if size > 1 else torch.zeros(1) for size in shows.shape)
    scores = shows * (1 + spread) * (1 - _OFF_CENTRE * (down[:, None].square() + right.square()) / 2)
    row, column = divmod(int(scores.argmax()), scores.shape[1])
    return Region(min(column * _CELL, lr.width - width), min(row * _CELL, lr.height - height), width, height)


def _cells(lr: LowResolution) -> Tensor:
    """Return the texture score, lightness and squared lightness of each cell of 8x8 pixels.

    Shape (3, rows, columns); the first in [0, 1], the second in levels of 255. The photo is read in bands.
    """
    bands = []
    for start in range(0, lr.height, _BAND):
        stop = min(start + _BAND, lr.height)
        first, last = max(start - TEXTURE_MARGIN, 0), min(stop + TEXTURE_MARGIN, lr.height)
        pixels, own = lr.rows(first, last)[:1], slice(start - first, stop - first)
        shows = texture(pixels)[:, own].clamp(max=_ENOUGH) / _ENOUGH
        lightness = pixels[:, :, own].mean(dim=1) * 255
        maps = torch.stack((shows, lightness, lightness.square()), dim=1)
        rows, columns = (-(-side // _CELL) * _CELL for side in maps.shape[2:])
        padding = (0, columns - maps.shape[3], 0, rows - maps.shape[2])
        bands.append(F.avg_pool2d(F.pad(maps, padding, mode="replicate"), _CELL)[0])
    return torch.cat(bands, dim=1)


def largest_sides(width: int, height: int, most_pixels: int, longest: int) -> tuple[int, int]:
    """Return the sides of the largest part with about the photo's aspect ratio, at least 1 each.

    The aspect ratio is at most 3, unless the photo is too narrow for that.

    Args:
        width: of the photo, pixels.
        height: likewise.
        most_pixels: largest number of pixels of the part.
        longest: longest side of the part.
    """
    aspect = min(max(width / height, 1 / _LONGEST_ASPECT), _LONGEST_ASPECT)
    wide = max(1, min(width, int(math.sqrt(most_pixels * aspect)), longest))
    high = max(1, min(height, most_pixels // wide, longest))
    return max(1, min(width, most_pixels // high, longest)), high
