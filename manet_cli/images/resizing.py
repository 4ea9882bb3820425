"""Resize pictures row by row with Lanczos windows of three lobes, wider for shrinking (antialiasing).

Colours are premultiplied by alpha during resizing. Each row is resampled horizontally on arrival and kept
only while vertical windows need it, so memory does not grow with the picture's height.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from manet_cli.images.alpha import premultiply, to_float, to_integer, unpremultiply
from manet_cli.images.photo import Header
from manet_cli.images.sinks import RowSink

__all__ = ["Resizer"]

_LOBES = 3
# Rows written together; fixed, so that the result does not depend on the input's bands.
_BLOCK = 64
_VALUES_AT_ONCE = 4 << 20


class Resizer:
    """A `RowSink` that resizes a picture and passes its rows on.

    Args:
        source: the input picture.
        target: the output picture; only width and height differ from the source.
        sink: sink for the rows of the output.
    """

    def __init__(self, source: Header, target: Header, sink: RowSink) -> None:
        self._source = source
        self._target = target
        self._sink = sink
        self._ratio = source.height / target.height
        layers = source.channels + source.has_alpha
        # Rows of the source at the target's width; the first one is row `_top`.
        self._held = np.empty((layers, 0, target.width), np.float32)
        self._top = 0
        self._written = 0

    def write(self, pixels: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> None:
        """Take the next rows."""
        step = max(_VALUES_AT_ONCE // self._source.width, 1)
        for start in range(0, len(pixels), step):
            part = slice(start, start + step)
            self._store_rows(pixels[part], None if alpha is None else alpha[part])
            self._emit(pixels.dtype.type)

    def _store_rows(self, pixels: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> None:
        if alpha is None:
            layers = [to_float(pixels[..., channel]) for channel in range(pixels.shape[2])]
        else:
            colours = premultiply(pixels, alpha)
            layers = [*np.moveaxis(colours, -1, 0), to_float(alpha)]
        size = self._target.width, len(pixels)
        rows = [_resized(layer, size, (0.0, float(len(pixels)))) for layer in layers]
        self._held = np.concatenate([self._held, np.stack(rows)], axis=1)

    def _emit(self, dtype: type[Any]) -> None:
        """Pass on all rows whose input is complete."""
        height, reach = self._source.height, _LOBES * max(self._ratio, 1.0) + 1
        known = self._top + self._held.shape[1]
        while self._written < self._target.height:
            stop = min(self._written + _BLOCK, self._target.height)
            above, below = self._written * self._ratio, stop * self._ratio
            first = max(math.floor(above - reach), 0)
            last = min(math.ceil(below + reach), height)
            if last > known:
                break
            window = self._held[:, first - self._top : last - self._top]
            size, span = (self._target.width, stop - self._written), (above - first, below - first)
            self._write_rows(np.stack([_resized(layer, size, span) for layer in window], axis=-1), dtype)
            self._written = stop
        first = max(math.floor(self._written * self._ratio - reach), self._top)
        self._held = self._held[:, first - self._top :].copy()
        self._top = first

    def _write_rows(self, rows: npt.NDArray[np.float32], dtype: type[Any]) -> None:
        if not self._source.has_alpha:
            self._sink.write(to_integer(rows, dtype), None)
            return
        # Colours and alpha overshoot in the same way, so both are clamped after the division.
        alpha = rows[..., -1]
        colours = unpremultiply(rows[..., :-1], alpha)
        self._sink.write(to_integer(colours, dtype), to_integer(alpha, dtype))


def _resized(
    layer: npt.NDArray[np.float32], size: tuple[int, int], span: tuple[float, float]
) -> npt.NDArray[np.float32]:
    """Resample the rows in `span` of a layer (H, W) to `size` (width, height); windows read rows outside."""
    width = layer.shape[1]
    box = (0.0, span[0], float(width), min(span[1], float(len(layer))))
    image = Image.fromarray(np.ascontiguousarray(layer))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS, box))
