"""Hostile kernel files: refused by their headers, before any value is read."""

from __future__ import annotations

import io
import os
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from manet_cli.errors import UsageError
from manet_cli.jobs.blur.map_file import read_kernel_map
from manet_cli.jobs.blur.source import read_kernel
from tests.guard import guarded

BASIS = torch.zeros(441, 15)
Read = Callable[[Path], object]
READERS: list[Read] = [
    lambda path: read_kernel_map(path, 4, 21, BASIS),
    lambda path: read_kernel(path, 21),
]


@pytest.fixture(autouse=True)
def _guarded() -> Iterator[None]:
    with guarded():
        yield


def npy(head: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    text = head.encode("latin-1") + b"\n"
    length = struct.pack("<H" if version == (1, 0) else "<L", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data


def head(shape: object, descr: object = "<f4") -> str:
    return repr({"descr": descr, "fortran_order": False, "shape": shape})


def npz(compression: int, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def flipped(data: bytes, start: int, stop: int) -> bytes:
    return data[:start] + bytes(byte ^ 0x55 for byte in data[start:stop]) + data[stop:]


def encrypted() -> bytes:
    data = bytearray(npz(zipfile.ZIP_DEFLATED, kernels=npy(head((1, 1, 21, 21)), bytes(1764))))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    return bytes(data)


HEADS = {
    "bool": head((True, 24, 21, 21)),
    "float": head((1.5, 24, 21, 21)),
    "negative": head((-1, 24, 21, 21)),
    "huge": head((2**40, 2**20, 21, 21)),
    "huger": head((2**70, 21, 21)),
    "objects": head((1, 1, 21, 21), "|O"),
    "no-bytes": head((24, 24, 21, 21), "|V0"),
    "no-text": head((24, 24, 21, 21), "|S0"),
    "fields": head((24, 24, 21, 21), [("a", "<f4")]),
    "open": "(" * 9000,
    "nested": "{'descr': " + "[" * 3000 + "]" * 3000 + "}",
    "nul": head((1, 2), "<f4\0"),
    "set": "{'descr', 'shape'}",
    "empty": "",
    "infinite": "{'descr': '<f4', 'fortran_order': False, 'shape': (1e999,)}",
}
FILES: dict[str, bytes] = {name: npy(text, bytes(4096)) for name, text in HEADS.items()}
FILES["version"] = b"\x93NUMPY\x09\0" + bytes(200)
FILES["long-head"] = npy(" " * (1 << 20) + HEADS["objects"], version=(2, 0))
ATTACKS = {
    **{f"{name}.npy": data for name, data in FILES.items()},
    **{f"{name}-stored.npz": npz(zipfile.ZIP_STORED, kernels=data) for name, data in FILES.items()},
    **{f"{name}-packed.npz": npz(zipfile.ZIP_DEFLATED, kernels=data) for name, data in FILES.items()},
    "encrypted.npz": encrypted(),
    "lzma.npz": flipped(npz(zipfile.ZIP_LZMA, kernels=npy(head((1, 1, 21, 21)), bytes(1764))), 60, 80),
    "bz2.npz": flipped(npz(zipfile.ZIP_BZIP2, kernels=npy(head((1, 1, 21, 21)), bytes(1764))), 60, 80),
    "deflate.npz": flipped(npz(zipfile.ZIP_DEFLATED, kernels=npy(head((1, 1, 21, 21)), bytes(1764))), 60, 80),
    "short.npz": npz(zipfile.ZIP_DEFLATED, kernels=npy(head((1, 1, 21, 21)), bytes(1000))),
    "nothing.npz": b"PK\x03\x04",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_hostile_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(ATTACKS[name])
    for read in READERS:
        with pytest.raises(UsageError, match=r"plain numbers|real numbers"):
            read(path)


@pytest.mark.parametrize(
    ("start", "loaded"),
    [
        (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "scipy.io.loadmat('K.mat')['NAME']"),
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64", "h5py.File('K.mat')['NAME'][()].T"),
        (b"MATLAB ", "scipy.io.loadmat('K.mat')['NAME']"),
    ],
)
def test_kernels_of_matlab_are_told_how_to_become_ours(start: bytes, loaded: str, tmp_path: Path) -> None:
    path = tmp_path / "kernel.mat"
    path.write_bytes(start.ljust(128) + bytes(1000))
    for read in READERS:
        with pytest.raises(UsageError) as caught:
            read(path)
        assert str(caught.value).endswith(
            f"plain numbers: convert a MATLAB file in Python with numpy.save('K.npy', {loaded})."
        )


def test_values_that_cancel_each_other(tmp_path: Path) -> None:
    """They sum to 1, but become infinities in the networks' numbers."""
    path = tmp_path / "k.npy"
    kernel = np.zeros((21, 21))
    kernel[0, 0], kernel[0, 1], kernel[5, 5] = 1e308, -1e308, 1
    for read, array in zip(READERS, (kernel[None, None], kernel), strict=True):
        np.save(path, array)
        with pytest.raises(UsageError, match=r"values from -10 to 10, these reach 1e\+308"):
            read(path)


MANY = np.zeros(50_000_000, np.uint8)
BOMBS = {
    "three maps": {"kernels": MANY, "codes": MANY, "params": MANY},
    "a flat map": {"kernels": MANY},
    "a large basis": {"codes": np.zeros((1, 1, 15), np.float32), "basis": MANY, "offset": MANY},
    "a large scale": {"params": np.ones((1, 1, 3), np.float32), "scale": MANY},
}


@pytest.mark.parametrize("name", BOMBS)
def test_nothing_is_unpacked_for_what_cannot_be_a_map(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, **BOMBS[name])  # type: ignore[arg-type, unused-ignore]

    def unpacked() -> None:
        pytest.fail("an array was unpacked")

    monkeypatch.setattr(tempfile, "TemporaryFile", unpacked)
    with pytest.raises(UsageError, match="expected"):
        READERS[0](path)


def test_a_compressed_map_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "map.npz"
    np.savez_compressed(path, kernels=np.full((2, 3, 21, 21), 1 / 441, np.float32), scale=4)
    assert read_kernel_map(path, 4, 21, BASIS).columns == 3
    monkeypatch.setattr("manet_cli.jobs.blur.array_file._LARGEST_PACKED", 1000)
    with pytest.raises(UsageError, match="plain numbers"):
        read_kernel_map(path, 4, 21, BASIS)


@pytest.mark.parametrize("shape", [(1, 10_000_000), (10_000_000, 1)])
def test_a_sparse_map_is_refused_by_its_first_kernels(shape: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "sparse.npy"
    start = npy(head((*shape, 21, 21)))
    path.write_bytes(start)
    os.truncate(path, len(start) + 4 * 441 * 10_000_000)
    with pytest.raises(UsageError, match=r"those at \[0, 0\] sum to 0"):
        READERS[0](path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.npy")
    for path in (tmp_path / "fifo.npy", Path("/dev/zero")):
        for read in READERS:
            with pytest.raises(UsageError, match="it is not a regular file"):
                read(path)
