"""Tile geometry. Pure arithmetic, no pixels.

The result of a tile is its core; its input is the outer part, which includes the core. Cores cover the image
without overlap; outer parts reach ``halo`` pixels further but never past the image.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Span", "Tile", "TileGrid"]


@dataclass(frozen=True)
class Span:
    """One side of a tile, in pixels of the image: half-open core and outer ranges.

    Attributes:
        start: first pixel of the core.
        stop: one past the last pixel of the core.
        outer_start: first pixel of the outer part.
        outer_stop: one past the last pixel of the outer part.
    """

    start: int
    stop: int
    outer_start: int
    outer_stop: int

    @property
    def size(self) -> int:
        """Pixels in the core."""
        return self.stop - self.start

    @property
    def outer_size(self) -> int:
        """Pixels in the outer part."""
        return self.outer_stop - self.outer_start

    @property
    def outer(self) -> slice:
        """The outer part in the image."""
        return slice(self.outer_start, self.outer_stop)

    def inner(self, scale: int = 1) -> slice:
        """The core in the result of the outer part, with ``scale`` output pixels per pixel."""
        return slice((self.start - self.outer_start) * scale, (self.stop - self.outer_start) * scale)


@dataclass(frozen=True)
class Tile:
    """A rectangle of an image with its context."""

    rows: Span
    columns: Span


@dataclass(frozen=True)
class TileGrid:
    """The rules for dividing an image into tiles.

    Attributes:
        height: pixels; a multiple of ``multiple``, like all other values here.
        width: pixels.
        halo: context to each side; rounded up to ``multiple``.
        multiple: every core and outer part starts and ends on multiples of this.
    """

    height: int
    width: int
    halo: int
    multiple: int = 1

    def tiles(self, size: int, start: int = 0, stop: int | None = None) -> list[Tile]:
        """Cut rows [start, stop), by default all, into cores of at most ``size`` pixels a side.

        Cores have about equal sizes; ``size`` 0 gives a single core. Tiles come row by row.
        """
        rows = self._spans(start, self.height if stop is None else stop, self.height, size)
        columns = self._spans(0, self.width, self.width, size)
        return [Tile(row, column) for row in rows for column in columns]

    def split(self, tile: Tile, size: int) -> list[Tile]:
        """Cut a tile again into cores of at most ``size`` pixels a side."""
        rows = self._spans(tile.rows.start, tile.rows.stop, self.height, size)
        columns = self._spans(tile.columns.start, tile.columns.stop, self.width, size)
        return [Tile(row, column) for row in rows for column in columns]

    def half(self, size: int) -> int:
        """Return the smallest size that divides a core of ``size`` pixels in two."""
        return -(-size // (2 * self.multiple)) * self.multiple

    def _spans(self, start: int, stop: int, side: int, size: int) -> list[Span]:
        multiple = self.multiple
        halo = -(-self.halo // multiple) * multiple
        length = stop - start
        count = -(-length // max(size // multiple * multiple, multiple)) if size else 1
        step = -(-length // (count * multiple)) * multiple
        spans = []
        for core_start in range(start, stop, step):
            core_stop = min(core_start + step, stop)
            spans.append(Span(core_start, core_stop, max(core_start - halo, 0), min(core_stop + halo, side)))
        return spans
