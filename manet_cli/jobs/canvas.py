"""A photo as the networks see it, and the canvas on which their tiles become a photo again."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from manet_cli.images import Photo, premultiply, to_float, to_integer, unpremultiply
from manet_cli.inference import RestoredTile

__all__ = ["Canvas", "PhotoRows"]

_OPAQUE = 255
# Alpha may not leave the range of the input's alpha within this many pixels: flat areas stay exactly flat.
_ALPHA_NEIGHBOURHOOD = 5


class PhotoRows:
    """A photo as an engine's input (`inference.LowResolution`): RGB, and alpha as a second layer.

    Grey is repeated into three channels; colours are multiplied by alpha, so that what is invisible does not
    bleed into what is visible. An alpha that is opaque everywhere needs no layer.
    """

    def __init__(self, photo: Photo) -> None:
        self._photo = photo
        self.alpha = photo.alpha if photo.alpha is not None and int(photo.alpha.min()) < _OPAQUE else None
        self.height = photo.height
        self.width = photo.width
        self.layers = 1 if self.alpha is None else 2

    def rows(self, start: int, stop: int) -> Tensor:
        """Return rows [start, stop) as (layers, 3, stop - start, width), float32 in [0, 1]."""
        pixels = self._photo.pixels[start:stop]
        if self.alpha is None:
            layers = to_float(pixels)[None]
        else:
            alpha = self.alpha[start:stop]
            layers = np.stack(np.broadcast_arrays(premultiply(pixels, alpha), to_float(alpha)[..., None]))
        tensor = torch.from_numpy(np.ascontiguousarray(layers)).permute(0, 3, 1, 2)
        return tensor.expand(-1, 3, -1, -1)


class Canvas:
    """Where finished tiles are put together, at the depth and with the channels of the input.

    Args:
        photo: the input.
        lr: the same photo as the engine sees it.
        scale: output pixels per input pixel along a side.
    """

    def __init__(self, photo: Photo, lr: PhotoRows, scale: int) -> None:
        height, width = photo.height * scale, photo.width * scale
        self._photo = photo
        self._scale = scale
        self._pixels = np.empty((height, width, photo.pixels.shape[2]), photo.pixels.dtype)
        self._alpha: npt.NDArray[np.uint8] | None = None
        self._alpha_range: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None
        if photo.alpha is not None:
            self._alpha = np.full((height, width), _OPAQUE, np.uint8)
        if lr.alpha is not None:
            image = Image.fromarray(lr.alpha)
            self._alpha_range = (
                np.asarray(image.filter(ImageFilter.MinFilter(_ALPHA_NEIGHBOURHOOD))),
                np.asarray(image.filter(ImageFilter.MaxFilter(_ALPHA_NEIGHBOURHOOD))),
            )

    def paint(self, tile: RestoredTile) -> None:
        """Put a finished tile in its place."""
        layers = tile.pixels.permute(0, 2, 3, 1).numpy()
        colours = layers[0]
        height, width = colours.shape[:2]
        rows, columns = slice(tile.row, tile.row + height), slice(tile.column, tile.column + width)
        if self._pixels.shape[2] == 1:
            colours = colours.mean(axis=2, keepdims=True)
        if self._alpha is not None and self._alpha_range is not None:
            row_of = np.arange(rows.start, rows.stop)[:, None] // self._scale
            column_of = np.arange(columns.start, columns.stop)[None, :] // self._scale
            low, high = (limit[row_of, column_of] for limit in self._alpha_range)
            alpha = np.clip(to_integer(layers[1].mean(axis=2), np.uint8), low, high)
            self._alpha[rows, columns] = alpha
            colours = unpremultiply(colours, to_float(alpha))
        self._pixels[rows, columns] = to_integer(colours, self._pixels.dtype.type)

    def photo(self) -> Photo:
        """Return the result, with the metadata of the input."""
        return Photo(self._pixels, self._alpha, self._photo.metadata)
