"""Training photos, decoded once into a memory-mapped file shared by all processes.

The file has the pixels of all photos, RGB uint8, one photo after another. An index (JSON) lists the start
and the source of each photo, so that a later run can reuse the file. Each photo also has a table of texture
sums; four of its numbers give the texture of any crop.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from manet_cli.atomic import atomic_path, prepare_folder
from manet_cli.errors import InputError, ManetError, Parameter
from manet_cli.images import read_content, read_photo
from manet_cli.regular_file import read_regular
from manet_cli.stopping import end_if_stopped

__all__ = ["CELL", "PhotoCache", "open_cache"]

_log = logging.getLogger(__name__)

CELL = 16
"""Side of the squares whose texture is summed, in HR pixels."""

_PIXELS, _TEXTURE, _INDEX = "photos.rgb", "photos.texture", "photos.json"
_FORMAT = 1
_LONGEST_INDEX = 1 << 30  # bytes

_Entry = tuple[str, str, int, int]
"""A photo's name, the sha256 of its file, height and width."""


@dataclass(frozen=True)
class PhotoCache:
    """Decoded photos.

    Attributes:
        pixels: (N, 3) uint8, all photos' rows one after another.
        texture: (M,) float32, all photos' tables one after another: entry (i, j) of a photo's
            (height // CELL + 1, width // CELL + 1) table is the sum over the cells above and left of (i, j).
        heights, widths: (P,) int64, in pixels.
        starts, texture_starts: (P,) int64, of each photo in `pixels` and `texture`.
        digest: hash of names and content, in the order of the names; equal for equal data.
    """

    pixels: Tensor
    texture: Tensor
    heights: Tensor
    widths: Tensor
    starts: Tensor
    texture_starts: Tensor
    digest: str

    def __len__(self) -> int:
        return len(self.heights)

    def to(self, device: torch.device) -> PhotoCache:
        """Return the cache with its pixels on another device; the small tables stay on the CPU."""
        return PhotoCache(
            self.pixels.to(device),
            self.texture,
            self.heights,
            self.widths,
            self.starts,
            self.texture_starts,
            self.digest,
        )


@dataclass(frozen=True)
class _Decoded:
    pixels: npt.NDArray[np.uint8]
    texture: npt.NDArray[np.float32]
    sha256: str


def open_cache(
    paths: Sequence[Path],
    root: Path,
    folder: Path,
    *,
    smallest: int,
    progress: Callable[[float], None] = lambda share: None,
) -> PhotoCache:
    """Decode photos into `folder`, or reuse its cache if it was made from the same files.

    An unusable photo (damaged, too small) is reported and left out.

    Args:
        paths: the photos.
        root: their names are relative to this folder.
        folder: folder of the cache; created if missing.
        smallest: smallest allowed side of a photo in pixels.
        progress: callback for the share done.

    Raises:
        InputError: no photo can be used.
        OutputError: the cache cannot be written.
    """
    prepare_folder(folder)
    sources = [[_name(path, root), *_stamp(path)] for path in paths]
    wanted = {"format": _FORMAT, "smallest": smallest, "sources": sources}
    photos = _read_index(folder, wanted)
    if photos is None:
        photos = _write(paths, root, folder, smallest, progress)
        with _written_whole(folder / _INDEX) as temporary:
            temporary.write_text(json.dumps({**wanted, "photos": photos}), encoding="utf-8")
    return _open(folder, photos)


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_size, status.st_mtime_ns)


def _read_index(folder: Path, wanted: dict[str, object]) -> list[_Entry] | None:
    """Return the photos of a cache made from the wanted files; None if there is no such cache."""
    try:
        index = json.loads(read_regular(folder / _INDEX, _LONGEST_INDEX))
        photos = [(str(name), str(sha256), int(h), int(w)) for name, sha256, h, w in index.pop("photos")]
        if index != wanted:
            return None
        if any(min(h, w) < CELL for _, _, h, w in photos):
            return None
        sizes = [((folder / name).stat().st_size) for name in (_PIXELS, _TEXTURE)]
        areas = sum(h * w for _, _, h, w in photos), sum(_table_size(h, w) for _, _, h, w in photos)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return photos if sizes == [3 * areas[0], 4 * areas[1]] else None


def _write(
    paths: Sequence[Path], root: Path, folder: Path, smallest: int, progress: Callable[[float], None]
) -> list[_Entry]:
    photos: list[_Entry] = []
    (folder / _INDEX).unlink(missing_ok=True)
    with _written_whole(folder / _PIXELS) as pixels, _written_whole(folder / _TEXTURE) as texture:
        with pixels.open("wb") as pixel_file, texture.open("wb") as texture_file:
            for number, decoded in enumerate(_decode_all(paths, root, smallest), 1):
                progress(number / len(paths))
                if decoded is None:
                    continue
                pixel_file.write(decoded.pixels.tobytes())
                texture_file.write(decoded.texture.tobytes())
                height, width = decoded.pixels.shape[:2]
                photos.append((_name(paths[number - 1], root), decoded.sha256, height, width))
        if not photos:
            raise InputError(
                f"none of the {len(paths)} pictures in {root} can be used: give a folder of photos "
                f"of at least {smallest}x{smallest} pixels"
            )
    return photos


def _written_whole(path: Path) -> AbstractContextManager[Path]:
    """Return `atomic_path` for a file of the cache, with errors about the cache."""
    advice = ("free some space, or choose another folder with ", Parameter("cache"))
    return atomic_path(path, name=f"the cache of decoded photos, {path.parent},", advice=advice)


def _decode_all(paths: Sequence[Path], root: Path, smallest: int) -> Iterator[_Decoded | None]:
    """Decode in threads, in order, a few ahead; report unusable photos and yield None for them."""
    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        futures = []
        for path in paths:
            futures.append(pool.submit(_decode, path, _name(path, root), smallest))
            if len(futures) > 2 * workers:
                yield _outcome(futures.pop(0).result)
        for future in futures:
            yield _outcome(future.result)


def _outcome(result: Callable[[], _Decoded]) -> _Decoded | None:
    try:
        return result()
    except ManetError as error:
        end_if_stopped()
        _log.warning("left out: %s", error)
        return None


def _decode(path: Path, name: str, smallest: int) -> _Decoded:
    data = read_content(path, name)
    photo = read_photo(data, name)
    if min(photo.height, photo.width) < smallest:
        raise InputError(
            f"{name} is {photo.width}x{photo.height}, but a training patch with its margin needs "
            f"{smallest}x{smallest} pixels"
        )
    if photo.alpha is not None and int(photo.alpha.min()) < 255:
        raise InputError(f"{name} has transparent pixels: flatten it onto a background first")
    pixels = photo.pixels
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    pixels = np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
    return _Decoded(
        pixels.astype(np.uint8, copy=False), _texture_table(pixels), hashlib.sha256(data).hexdigest()
    )


def _texture_table(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Return sums over the cells' texture, the mean |Laplacian| of green, (H // CELL + 1, W // CELL + 1)."""
    green = pixels[..., 1].astype(np.int16)
    laplacian = np.zeros(green.shape, np.int16)
    laplacian[1:-1, 1:-1] = (
        4 * green[1:-1, 1:-1] - green[:-2, 1:-1] - green[2:, 1:-1] - green[1:-1, :-2] - green[1:-1, 2:]
    )
    rows, columns = green.shape[0] // CELL, green.shape[1] // CELL
    cells = np.abs(laplacian[: rows * CELL, : columns * CELL]).reshape(rows, CELL, columns, CELL)
    table = np.zeros((rows + 1, columns + 1))
    table[1:, 1:] = cells.mean(axis=(1, 3)).cumsum(axis=0).cumsum(axis=1)
    return table.astype(np.float32)


def _table_size(height: int, width: int) -> int:
    return (height // CELL + 1) * (width // CELL + 1)


def _open(folder: Path, photos: Sequence[_Entry]) -> PhotoCache:
    sizes = np.array([[height, width] for _, _, height, width in photos], dtype=np.int64)
    areas = sizes.prod(axis=1)
    tables = (sizes // CELL + 1).prod(axis=1)
    # Mode c: never writes to the file, but PyTorch needs writable memory.
    pixels = np.memmap(folder / _PIXELS, np.uint8, mode="c", shape=(int(areas.sum()), 3))
    texture = np.fromfile(folder / _TEXTURE, np.float32)
    content = json.dumps([[name, sha256] for name, sha256, _, _ in photos])
    return PhotoCache(
        torch.from_numpy(pixels),
        torch.from_numpy(texture),
        torch.from_numpy(sizes[:, 0].copy()),
        torch.from_numpy(sizes[:, 1].copy()),
        torch.from_numpy(np.concatenate(([0], areas.cumsum()[:-1]))),
        torch.from_numpy(np.concatenate(([0], tables.cumsum()[:-1]))),
        hashlib.sha256(content.encode()).hexdigest(),
    )
