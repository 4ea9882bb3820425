"""Kernel maps in bands of rows, because a whole map seldom fits in memory.

A map has one (k, k) kernel per LR pixel: 441 numbers for the 3 of a pixel. It is one of

- a tensor (H, W, k, k);
- a function of (start, stop) that returns the rows start..stop-1 as (stop - start, W, k, k);
- an iterable of consecutive row bands, each (any number of rows, W, k, k).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from torch import Tensor

from manet_cli.errors import UsageError

__all__ = ["KernelMap", "KernelRows", "iterate_kernel_bands", "rows_in_memory"]

KernelRows: TypeAlias = Callable[[int, int], Tensor]
KernelMap: TypeAlias = Tensor | KernelRows | Iterable[Tensor]


def rows_in_memory(bytes_per_row: int, max_bytes: int) -> int:
    """Return how many rows of a map fit in `max_bytes`, at least one."""
    return max(1, max_bytes // max(1, bytes_per_row))


def iterate_kernel_bands(
    kernel_map: KernelMap, height: int, width: int, *, kernel_size: int, max_rows: int
) -> Iterator[tuple[int, Tensor]]:
    """Yield (first row, band) of a map of height x width LR pixels, with at most `max_rows` rows per band.

    Raises `UsageError` at a band of another width or kernel size, or if the rows do not add up to `height`.
    """
    expected = (width, kernel_size, kernel_size)
    row = 0
    for block in _blocks(kernel_map, height, max_rows):
        if block.ndim != 4 or tuple(block.shape[1:]) != expected:
            raise UsageError(
                f"The kernel map has rows of shape {tuple(block.shape)}; expected {('rows', *expected)}: "
                f"one kernel for each pixel of the {width}x{height} LR image."
            )
        if row + len(block) > height:
            break
        for start in range(0, len(block), max_rows):
            yield row + start, block[start : start + max_rows]
        row += len(block)
    else:
        if row == height:
            return
    raise UsageError(f"The kernel map does not have the LR image's {height} rows; make it from that image.")


def _blocks(kernel_map: KernelMap, height: int, max_rows: int) -> Iterator[Tensor]:
    if isinstance(kernel_map, Tensor):
        yield kernel_map
    elif callable(kernel_map):
        for start in range(0, height, max_rows):
            yield kernel_map(start, min(start + max_rows, height))
    else:
        yield from kernel_map
