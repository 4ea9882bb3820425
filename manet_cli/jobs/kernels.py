"""Estimating the kernels of one picture into a ``.npy`` file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from manet_cli.atomic import remove_leftovers
from manet_cli.errors import OutputError, UsageError
from manet_cli.images import MAX_PIXELS, read_photo
from manet_cli.inference import Engine, memory_reported
from manet_cli.jobs.canvas import PhotoRows
from manet_cli.jobs.kernel_maps import check_kernel_map, kernel_map_shape, open_kernel_map
from manet_cli.jobs.sources import STDIN
from manet_cli.jobs.upscale import Progress, read_input

__all__ = ["KernelMapJob", "plan_kernel_map"]


@dataclass(frozen=True)
class KernelMapJob:
    """One picture's kernel map, ready to be made.

    Attributes:
        lr: the picture.
        output: the file to write.
        shape: of the map, (rows, columns, k, k).
        stride: every ``stride``-th pixel of every ``stride``-th row is taken.
        dtype: float16 or float32.
        size: bytes of the map.
    """

    lr: PhotoRows
    output: Path
    shape: tuple[int, int, int, int]
    stride: int
    dtype: str
    size: int

    def run(self, engine: Engine, progress: Progress) -> None:
        """Make the map; it appears whole or not at all.

        Raises:
            ManetError: whatever is wrong; nothing is left behind.
        """
        remove_leftovers(self.output.parent)
        done, total = 0, self.lr.height * self.lr.width
        progress(0.0)
        with open_kernel_map(self.output, self.shape, stride=self.stride, dtype=self.dtype) as kernel_map:
            for tile in engine.kernels(self.lr):
                kernel_map.write(tile)
                done += tile.kernels.shape[1] * tile.kernels.shape[2]
                progress(done / total)


def plan_kernel_map(
    name: str,
    output: str | None,
    *,
    scale: int,
    kernel_size: int,
    stride: int,
    dtype: str,
    large: bool,
    overwrite: bool,
    max_pixels: int = MAX_PIXELS,
) -> KernelMapJob:
    """Check where a picture's kernel map goes, read the picture, and say how large the map will be.

    Args:
        name: the picture's path, ``-`` for standard input.
        output: the ``.npy`` file to write; None for one named after the picture, beside it.
        scale: part of that name.
        kernel_size: side of the kernels.
        stride: take every ``stride``-th pixel of every ``stride``-th row.
        dtype: float16 or float32.
        large: allow more than 2 GiB.
        overwrite: replace an output that exists.
        max_pixels: larger pictures are refused.

    Raises:
        UsageError: the output's suffix is not .npy.
        OutputError: the output exists, or the map is too large.
        InputError: the picture cannot be read.
    """
    path = None if name == STDIN else Path(name)
    source = path or Path("stdin")
    target = Path(output) if output else source.with_name(f"{source.stem}_x{scale}_kernels.npy")
    if target.suffix.lower() != ".npy":
        raise UsageError(f"--out {target}: kernel maps are written as .npy")
    if target.is_dir():
        raise OutputError(f"{target} is a folder: choose another --out")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists: give --overwrite or choose another --out")
    with memory_reported(name):
        shown = "standard input" if path is None else name
        lr = PhotoRows(read_photo(read_input(path, name), shown, max_pixels))
    size = check_kernel_map(lr.height, lr.width, stride=stride, dtype=dtype, large=large)
    shape = kernel_map_shape(lr.height, lr.width, stride, kernel_size)
    return KernelMapJob(lr, target, shape, stride, dtype, size)
