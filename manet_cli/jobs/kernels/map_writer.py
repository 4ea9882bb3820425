"""Maps of the blur, with one or more values per pixel, written tile by tile through a memory map.

``.npy`` holds only the map; ``.npz`` also holds other arrays, in a zip file as NumPy writes it.
"""

from __future__ import annotations

import io
import math
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from manet_cli.atomic import atomic_path, disk_reported, prepare_folder
from manet_cli.errors import OutputError, Parameter
from manet_cli.inference import KernelTile

__all__ = [
    "KernelMapWriter",
    "MapWriter",
    "check_kernel_map",
    "check_map_size",
    "kernel_map_shape",
    "open_kernel_map",
    "open_map",
]

_KERNEL_SIZE = 21
_LARGE = 2 << 30
_COPIED = 16 << 20  # bytes written into a .npz at a time

Shape = tuple[int, ...]


def kernel_map_shape(
    height: int, width: int, stride: int = 1, kernel_size: int = _KERNEL_SIZE
) -> tuple[int, int, int, int]:
    """Return the shape (rows, columns, k, k) of an image's map of every ``stride``-th pixel."""
    return -(-height // stride), -(-width // stride), kernel_size, kernel_size


def check_kernel_map(
    height: int, width: int, *, stride: int = 1, dtype: str = "float16", large: bool = False
) -> int:
    """Return the size of an image's kernel map in bytes.

    Raises:
        OutputError: the map has more than 2 GiB and ``large`` is False.
    """
    size = check_map_size(height, width, (_KERNEL_SIZE, _KERNEL_SIZE), stride=stride, dtype=dtype, large=True)
    if size > _LARGE and not large:
        enough = math.ceil(stride * math.sqrt(size / _LARGE))
        raise OutputError(
            f"the kernel map of {width}x{height} pixels takes {size / 1e9:.1f} GB as {dtype}, over 2 GiB: "
            "use manet kernels with ",
            *(Parameter("stride", enough), ", ", Parameter("codes"), ", ", Parameter("params"), " or "),
            Parameter("large"),
        )
    return size


def check_map_size(
    height: int, width: int, values: Shape, *, stride: int, dtype: str, large: bool = False
) -> int:
    """Return the size in bytes of a map with ``values`` for every ``stride``-th pixel of an image.

    Raises:
        OutputError: the map has more than 2 GiB and ``large`` is False.
    """
    rows, columns = kernel_map_shape(height, width, stride)[:2]
    size = rows * columns * math.prod(values) * np.dtype(dtype).itemsize
    if size > _LARGE and not large:
        raise OutputError(
            f"{columns}x{rows} pixels of the map take {size / 1e9:.1f} GB as {dtype}, over 2 GiB: "
            "give a larger ",
            *(Parameter("stride"), ", or ", Parameter("large")),
        )
    return size


class MapWriter:
    """Writes values into a map.

    Args:
        array: (rows, columns, ...), every ``stride``-th pixel's values.
        stride: of the map in LR pixels.
    """

    def __init__(self, array: npt.NDArray[np.floating], stride: int) -> None:
        self._array = array
        self._stride = stride

    def put(self, row: int, column: int, values: Tensor) -> None:
        """Write the values (h, w, n) of LR pixels, the first at ``row`` and ``column``."""
        stride = self._stride
        top, left = -row % stride, -column % stride
        values = values[top::stride, left::stride]
        rows, columns = values.shape[:2]
        row, column = (row + top) // stride, (column + left) // stride
        shaped = values.reshape(rows, columns, *self._array.shape[2:])
        self._array[row : row + rows, column : column + columns] = shaped.cpu().numpy()


class KernelMapWriter(MapWriter):
    """Writes kernels into a map (rows, columns, k, k)."""

    def write(self, tile: KernelTile) -> None:
        """Write a tile's kernels."""
        self.put(tile.row, tile.column, tile.kernels.permute(1, 2, 0))


Writer = TypeVar("Writer", bound=MapWriter)


@contextmanager
def open_kernel_map(
    path: Path, shape: tuple[int, int, int, int], *, stride: int = 1, dtype: str = "float16"
) -> Iterator[KernelMapWriter]:
    """Open a kernel map, written atomically to ``path`` (.npy) when the block ends.

    The disk space is reserved first, so that a full disk is an error here and not a crash later.

    Raises:
        OutputError: the file cannot be written.
    """
    with open_map(path, shape, KernelMapWriter, stride=stride, dtype=dtype) as writer:
        yield writer


@contextmanager
def open_map(
    path: Path,
    shape: Shape,
    writer: type[Writer],
    *,
    stride: int,
    dtype: str,
    name: str = "kernels",
    beside: Callable[[], Mapping[str, npt.NDArray[np.generic]]] = dict,
) -> Iterator[Writer]:
    """Open a map as in `open_kernel_map`, as ``.npy`` or ``.npz`` by the path's suffix.

    Args:
        path: the file.
        shape: of the map.
        writer: class of the writer to yield.
        stride: of the map in LR pixels.
        dtype: of the map.
        name: of the map in a .npz.
        beside: called when the map is full; returns the other arrays of a .npz, which come first.

    Raises:
        OutputError: the file cannot be written.
    """
    prepare_folder(path.parent)
    packed = path.suffix.lower() == ".npz"
    with atomic_path(path) as temporary:
        with disk_reported(path.name):
            # A zip file stores checksums, so the array is filled in another file first.
            opened = tempfile.TemporaryFile(dir=path.parent) if packed else temporary.open("r+b")  # noqa: SIM115
        with opened as file:
            with disk_reported(path.name):
                array = _mapped(file, shape, dtype)
            yield writer(array, stride)
            with disk_reported(path.name):
                if packed:
                    _pack(temporary, {**beside(), name: array})
                else:
                    array.flush()


def _mapped(file: IO[bytes], shape: Shape, dtype: str) -> np.memmap[Any, np.dtype[Any]]:
    """Write a .npy header to an empty file, reserve space for the array, and return the array."""
    np.lib.format.write_array_header_1_0(
        file, {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    )
    file.flush()
    start = file.tell()
    size = start + math.prod(shape) * np.dtype(dtype).itemsize
    if hasattr(os, "posix_fallocate"):
        # Writing to a memory map on a full disk would kill the process.
        os.posix_fallocate(file.fileno(), 0, size)
    return np.memmap(file, np.dtype(dtype), "r+", start, shape)


def _pack(path: Path, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write arrays as a .npz file; equal arrays give equal bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, given in arrays.items():
            array = np.asarray(given, order="C")
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                member.write(header.getvalue())
                rows = max(_COPIED // max(array[:1].nbytes, 1), 1) if array.ndim else 1
                for start in range(0, len(array) if array.ndim else 1, rows):
                    part = array[start : start + rows] if array.ndim else array
                    member.write(part.tobytes())
