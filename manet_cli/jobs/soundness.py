"""Results that cannot be right, whatever the blur: black or of one colour where the picture is not."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from manet_cli.errors import ManetError
from manet_cli.inference import LowResolution, RestoredTile

__all__ = ["sound_tiles"]

_LEVEL = 1 / 255
_ONE_COLOUR = 8 * _LEVEL  # a picture this near to one colour may become it
_ROWS = 256


def sound_tiles(tiles: Iterator[RestoredTile], lr: LowResolution, scale: int) -> Iterator[RestoredTile]:
    """Pass tiles on as they are, as long as they can be right.

    Not-a-number is refused (the engine says so first, of its own results). A tile of one colour is
    refused where the picture differs from that colour by more than 8 of 255 on average, and a whole result of
    one colour where it does so anywhere. Only the picture is looked at, not its transparency.

    Raises:
        ManetError: the result cannot be right.
    """
    low, high = torch.ones(3), torch.zeros(3)
    for tile in tiles:
        pixels = tile.pixels[0].clamp(0, 1)
        if pixels.numel():
            least, most = pixels.amin(dim=(1, 2)), pixels.amax(dim=(1, 2))
            if not bool(least.isfinite().all()):
                raise ManetError("the networks' result is not a number somewhere: try --precision fp32")
            if _is_flat(least, most) and _mean_distance(least, lr, tile, scale) > _ONE_COLOUR:
                raise _unsound(least)
            low, high = torch.minimum(low, least), torch.maximum(high, most)
        yield tile
    if _is_flat(low, high) and _largest_distance(low, lr) > _ONE_COLOUR:
        raise _unsound(low)


def _is_flat(low: Tensor, high: Tensor) -> bool:
    return bool((high - low < _LEVEL).all())


def _mean_distance(colour: Tensor, lr: LowResolution, tile: RestoredTile, scale: int) -> float:
    """Return how far the picture is from a colour within a tile, at most one channel's mean."""
    _, _, height, width = tile.pixels.shape
    rows = lr.rows(tile.row // scale, -(-(tile.row + height) // scale))[0]
    part = rows[..., tile.column // scale : -(-(tile.column + width) // scale)]
    return float((part - colour[:, None, None]).abs().mean(dim=(1, 2)).max())


def _largest_distance(colour: Tensor, lr: LowResolution) -> float:
    return max(
        float((lr.rows(start, min(start + _ROWS, lr.height))[0] - colour[:, None, None]).abs().max())
        for start in range(0, lr.height, _ROWS)
    )


def _unsound(colour: Tensor) -> ManetError:
    kind = "black" if float(colour.max()) < _LEVEL else "of one colour"
    return ManetError(
        f"the networks' result is {kind} where the picture is not: try --precision fp32 or --device cpu"
    )
