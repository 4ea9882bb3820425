"""Kernel maps as ``.npy`` files, written tile by tile through a memory map."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from manet_cli.atomic import atomic_path, prepare_folder
from manet_cli.errors import OutputError
from manet_cli.inference import KernelTile

__all__ = ["KernelMapWriter", "check_kernel_map", "kernel_map_shape", "open_kernel_map"]

_BYTES = {"float16": 2, "float32": 4}
_KERNEL_SIZE = 21
_LARGE = 2 << 30


def kernel_map_shape(
    height: int, width: int, stride: int = 1, kernel_size: int = _KERNEL_SIZE
) -> tuple[int, int, int, int]:
    """Return the shape (rows, columns, k, k) of the map of an image, every ``stride``-th pixel of it."""
    return -(-height // stride), -(-width // stride), kernel_size, kernel_size


def check_kernel_map(
    height: int, width: int, *, stride: int = 1, dtype: str = "float16", large: bool = False
) -> int:
    """Return the bytes of a kernel map.

    Raises:
        OutputError: it has more than 2 GiB and ``large`` is not given.
    """
    size = math.prod(kernel_map_shape(height, width, stride)) * _BYTES[dtype]
    if size > _LARGE and not large:
        raise OutputError(
            f"the kernel map of {width}x{height} pixels takes {size / 1e9:.1f} GB as {dtype}, over 2 GiB: "
            f"use manet kernels with --stride {stride + 1} (or more) or --large"
        )
    return size


class KernelMapWriter:
    """A kernel map being filled.

    Args:
        array: (rows, columns, k, k), every ``stride``-th pixel's kernel.
        stride: of the map in LR pixels.
    """

    def __init__(self, array: npt.NDArray[np.floating], stride: int) -> None:
        self._array = array
        self._stride = stride

    def write(self, tile: KernelTile) -> None:
        """Put a tile's kernels in their place."""
        stride, size = self._stride, self._array.shape[2]
        top, left = -tile.row % stride, -tile.column % stride
        kernels = tile.kernels[:, top::stride, left::stride]
        rows, columns = kernels.shape[1:]
        row, column = (tile.row + top) // stride, (tile.column + left) // stride
        values = kernels.permute(1, 2, 0).reshape(rows, columns, size, size)
        self._array[row : row + rows, column : column + columns] = values.cpu().numpy()


@contextmanager
def open_kernel_map(
    path: Path, shape: tuple[int, int, int, int], *, stride: int = 1, dtype: str = "float16"
) -> Iterator[KernelMapWriter]:
    """Open a kernel map that appears as ``path`` when the block ends, whole, or not at all.

    The room it takes is reserved first, so that a full disk is an error here and not a crash later.

    Raises:
        OutputError: the file cannot be written.
    """
    prepare_folder(path.parent)
    with atomic_path(path) as temporary:
        try:
            array = np.lib.format.open_memmap(temporary, "w+", np.dtype(dtype), shape)
            if hasattr(os, "posix_fallocate"):
                # Writing to a memory map without room behind it would end the process.
                with temporary.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        except OSError as error:
            raise OutputError(f"{path} cannot be written ({error.strerror}): free some space") from error
        yield KernelMapWriter(array, stride)
        array.flush()
