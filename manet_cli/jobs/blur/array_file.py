"""Arrays of ``.npy`` and ``.npz`` files: memory-mapped, with their headers checked before unpacking."""

from __future__ import annotations

import io
import math
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from manet_cli.regular_file import open_regular

__all__ = ["UnreadableArrayError", "open_array", "open_arrays"]

Array = npt.NDArray[Any]

_ZIP = b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip file's member: lengths of its name and of its extra field
_LONGEST_HEAD = 10_000  # bytes, for the few numbers of a shape
_LARGEST_PACKED = 2 << 30  # bytes of a compressed array, which is unpacked to the disk
_BLOCK = 1 << 20
_MATLAB = b"MATLAB "
_LOADED = {b"5": "scipy.io.loadmat('K.mat')['NAME']", b"7": "h5py.File('K.mat')['NAME'][()].T"}
"""First digit of a MATLAB file's version -> Python expression that reads an array."""


class UnreadableArrayError(ValueError):
    """The file holds other content than plain numbers, or is damaged.

    Attributes:
        advice: end of a message, on how to convert the file; empty if unknown.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.advice = advice


def open_array(path: Path) -> Array:
    """Map the array of a ``.npy`` file.

    Raises:
        OSError: the file cannot be read or is not a regular file.
        UnreadableArrayError: the file holds other content.
    """
    with open_regular(path) as file, _explained():
        return _mapped(file, _Head.of(file), 0)


def open_arrays(
    path: Path, wanted: frozenset[str], check: Callable[[Mapping[str, Array]], object]
) -> Mapping[str, Array]:
    """Map arrays of a ``.npz`` file, or the array of a ``.npy`` file under the name kernels.

    Args:
        path: the file.
        wanted: names of arrays to map; others are ignored.
        check: called before unpacking, with stand-ins that have the shapes and types of the arrays.

    Raises:
        OSError, UnreadableArrayError: as in `open_array`.
        Exception: any error of `check`.
    """
    with open_regular(path) as file:
        if file.read(len(_ZIP)) != _ZIP:
            file.seek(0)
            with _explained():
                return {"kernels": _mapped(file, _Head.of(file), 0)}
        with _explained():
            archive = zipfile.ZipFile(file)
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            heads = {name: _member_head(archive, members[name]) for name in wanted & members.keys()}
            stand_ins = {name: head.stand_in() for name, head in heads.items()}
        check(stand_ins)
        with _explained():
            return {name: _member(file, archive, members[name], head) for name, head in heads.items()}


@dataclass(frozen=True)
class _Head:
    """Header of a ``.npy`` file; `length` is its size in bytes."""

    shape: tuple[int, ...]
    order: Any
    dtype: np.dtype[Any]
    length: int

    @classmethod
    def of(cls, file: IO[bytes]) -> _Head:
        """Read the header of a file; ValueError if it is invalid."""
        start = file.read(12)
        _check_foreign(start)
        first = np.lib.format.read_magic(io.BytesIO(start))
        (length,) = struct.unpack_from("<H" if first == (1, 0) else "<L", start, 8)
        length += 10 if first == (1, 0) else 12
        if length > _LONGEST_HEAD:  # NumPy would read all of it before a check
            raise ValueError("its head is too long")
        head = io.BytesIO(start + file.read(length - len(start)))
        head.seek(8)
        read = np.lib.format.read_array_header_1_0 if first == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(head)
        if any(type(side) is not int or side < 0 for side in shape) or dtype.hasobject or not dtype.itemsize:
            raise ValueError("it holds no plain numbers")
        return cls(shape, "F" if is_fortran else "C", dtype, length)

    @property
    def size(self) -> int:
        """Size of the values in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def stand_in(self) -> Array:
        """Return a zero array of this shape and type that takes no memory."""
        return np.broadcast_to(np.zeros((), self.dtype), self.shape)


def _check_foreign(start: bytes) -> None:
    """Raise UnreadableArrayError, with advice, if the first bytes are of another program's format."""
    if start.startswith(_MATLAB):
        loaded = _LOADED.get(start[len(_MATLAB) :][:1], _LOADED[b"5"])
        raise UnreadableArrayError(
            "it is a MATLAB file", f": convert a MATLAB file in Python with numpy.save('K.npy', {loaded})"
        )


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the errors of NumPy and its decoders on a damaged file into `UnreadableArrayError`."""
    try:
        yield
    except UnreadableArrayError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # from the disk, not from a decoder
            raise
        raise UnreadableArrayError(str(error)) from error


def _member_head(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Head:
    with archive.open(info) as member:
        return _Head.of(member)


def _member(file: BinaryIO, archive: zipfile.ZipFile, info: zipfile.ZipInfo, head: _Head) -> Array:
    """Map an uncompressed member in the file; unpack a compressed one."""
    if info.compress_type == zipfile.ZIP_STORED:
        file.seek(info.header_offset)
        name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        return _mapped(file, head, info.header_offset + _LOCAL_HEADER.size + name + extra)
    if head.size > _LARGEST_PACKED or head.length + head.size != info.file_size:
        raise ValueError("it is too large, or of another size than it says")
    with archive.open(info) as member, tempfile.TemporaryFile() as unpacked:
        while block := member.read(_BLOCK):
            unpacked.write(block)
            if unpacked.tell() > info.file_size:
                raise ValueError("it is larger than it says")
        unpacked.flush()
        return _mapped(unpacked, head, 0)


def _mapped(file: IO[bytes], head: _Head, start: int) -> Array:
    """Map the array whose header begins at `start`."""
    offset = start + head.length
    if offset + head.size > file.seek(0, io.SEEK_END):
        raise ValueError("it is cut off")
    if head.shape == () or head.size == 0:
        file.seek(offset)
        return np.frombuffer(file.read(head.size), head.dtype).reshape(head.shape)
    return np.memmap(file, head.dtype, "r", offset, head.shape, head.order)
