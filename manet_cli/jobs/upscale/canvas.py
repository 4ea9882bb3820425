"""Convert a photo to the networks' input, and assemble their tiles into a photo."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from manet_cli.images import Photo, RowSink, to_float, to_integer, transfer_curves, unpremultiply
from manet_cli.inference import RestoredTile

__all__ = ["Canvas", "PhotoRows"]

# Alpha is clamped to the range of the input's alpha in a square of this side: flat areas stay exactly flat.
_ALPHA_NEIGHBOURHOOD = 5
_BYTES_AT_ONCE = 16 << 20


class PhotoRows:
    """A photo as an engine's input (`inference.LowResolution`): RGB, and alpha as a second layer.

    Grey is repeated into three channels. Colours are premultiplied by alpha, so that invisible colours do not
    bleed into visible ones. A fully opaque alpha needs no layer. If the colour profile has another transfer
    curve, values are converted to sRGB's curve: the networks were trained on sRGB.
    """

    def __init__(self, photo: Photo) -> None:
        self._photo = photo
        alpha = photo.alpha
        opaque = alpha is None or int(alpha.min()) == np.iinfo(alpha.dtype).max
        self.alpha = None if opaque else alpha
        self.height = photo.height
        self.width = photo.width
        self.layers = 1 if self.alpha is None else 2
        self.curves = transfer_curves(photo.metadata.icc_profile, photo.pixels.shape[2])
        self._latest: tuple[tuple[int, int], Tensor] | None = None

    def rows(self, start: int, stop: int) -> Tensor:
        """Return rows [start, stop) as (layers, 3, stop - start, width), float32 in [0, 1].

        Callers must not change the tensor: it is cached, because adjacent tiles need the same rows.
        """
        if self._latest is None or self._latest[0] != (start, stop):
            self._latest = None  # free the old rows first
            self._latest = (start, stop), self._floats(start, stop)
        return self._latest[1]

    def _floats(self, start: int, stop: int) -> Tensor:
        colours = to_float(self._photo.pixels[start:stop])
        if self.curves is not None:
            colours = self.curves.to_srgb(colours)
        if self.alpha is None:
            layers = colours[None]
        else:
            alpha = to_float(self.alpha[start:stop])[..., None]
            layers = np.stack(np.broadcast_arrays(colours * alpha, alpha))
        tensor = torch.from_numpy(np.ascontiguousarray(layers)).permute(0, 3, 1, 2)
        return tensor.expand(-1, 3, -1, -1)


class Canvas:
    """Assembles finished tiles, in the depth and with the channels of the input.

    Rows are passed on as soon as they and all rows above are complete, so that at most one row of tiles is in
    memory.

    Args:
        photo: the input.
        lr: the photo as the engine's input.
        scale: output pixels per input pixel along a side.
        sink: for the finished rows, from the top down.
    """

    def __init__(self, photo: Photo, lr: PhotoRows, scale: int, sink: RowSink) -> None:
        self._scale = scale
        self._sink = sink
        self._curves = lr.curves
        self._width = photo.width * scale
        self._has_alpha = photo.alpha is not None
        self._top = 0
        self._pixels = np.empty((0, self._width, photo.pixels.shape[2]), photo.pixels.dtype)
        self._alpha = np.empty((0, self._width), self._pixels.dtype)
        self._opaque = np.iinfo(self._pixels.dtype).max
        self._painted = np.empty(0, np.int64)  # pixels of each row held
        self._alpha_range: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None
        if lr.alpha is not None:
            self._alpha_range = (_extreme(lr.alpha, np.minimum), _extreme(lr.alpha, np.maximum))

    def paint(self, tile: RestoredTile) -> None:
        """Add a finished tile."""
        layers = tile.pixels.permute(0, 2, 3, 1).numpy()
        colours = layers[0]
        height, width = colours.shape[:2]
        self._hold(tile.row + height - self._top)
        rows = slice(tile.row - self._top, tile.row + height - self._top)
        columns = slice(tile.column, tile.column + width)
        if self._pixels.shape[2] == 1:
            colours = colours.mean(axis=2, keepdims=True)
        if self._alpha_range is not None:
            row_of = np.arange(tile.row, tile.row + height)[:, None] // self._scale
            column_of = np.arange(columns.start, columns.stop)[None, :] // self._scale
            low, high = (limit[row_of, column_of] for limit in self._alpha_range)
            alpha = np.clip(to_integer(layers[1].mean(axis=2), self._alpha.dtype.type), low, high)
            self._alpha[rows, columns] = alpha
            colours = unpremultiply(colours, to_float(alpha))
        if self._curves is not None:
            colours = self._curves.from_srgb(colours)
        self._pixels[rows, columns] = to_integer(colours, self._pixels.dtype.type)
        self._painted[rows] += width
        self._hand_out()

    def _hold(self, rows: int) -> None:
        """Allocate space for ``rows`` rows."""
        more = rows - len(self._pixels)
        if more > 0:
            self._pixels = _longer(self._pixels, more, 0)
            self._painted = _longer(self._painted, more, 0)
            if self._has_alpha:
                self._alpha = _longer(self._alpha, more, self._opaque)

    def _hand_out(self) -> None:
        """Pass the finished rows to the sink."""
        unfinished = np.flatnonzero(self._painted < self._width)
        rows = int(unfinished[0]) if len(unfinished) else len(self._painted)
        if rows == 0:
            return
        # In parts, because a sink may copy them.
        step = max(_BYTES_AT_ONCE // self._pixels[0].nbytes, 1)
        for start in range(0, rows, step):
            part = slice(start, min(start + step, rows))
            self._sink.write(self._pixels[part], self._alpha[part] if self._has_alpha else None)
        self._pixels, self._painted = self._pixels[rows:].copy(), self._painted[rows:].copy()
        self._alpha = self._alpha[rows:].copy()
        self._top += rows


def _longer(array: npt.NDArray[Any], rows: int, value: int) -> npt.NDArray[Any]:
    longer = np.empty((len(array) + rows, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    longer[len(array) :] = value
    return longer


def _extreme(alpha: npt.NDArray[Any], choose: np.ufunc) -> npt.NDArray[Any]:
    """Return the smallest or largest alpha around each pixel, (H, W)."""
    reach = _ALPHA_NEIGHBOURHOOD // 2
    for axis in (0, 1):
        padded = np.pad(alpha, [(reach, reach) if each == axis else (0, 0) for each in (0, 1)], "edge")
        alpha = choose.reduce(sliding_window_view(padded, _ALPHA_NEIGHBOURHOOD, axis), axis=-1)
    return alpha
