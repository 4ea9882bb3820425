"""Weight files that claim more than they have are refused before loading."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from manet_cli.errors import WeightsError
from manet_cli.weights import read_weights
from tests.guard import guarded

NOT_TENSORS = "holds more than tensors"


@pytest.fixture(autouse=True)
def _guarded() -> Iterator[None]:
    with guarded():
        yield


def archive(tensors: dict[str, Tensor], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The archive that PyTorch writes, with its members compressed."""
    source, target = io.BytesIO(), io.BytesIO()
    torch.save(tensors, source)
    with zipfile.ZipFile(source) as stored, zipfile.ZipFile(target, "w", compression) as packed:
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    return target.getvalue()


def overlapping() -> bytes:
    """An archive with one member many times over."""
    data = archive({"a": torch.zeros(100_000)}, zipfile.ZIP_STORED)
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entries = data[start:end] * 50
    tail = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, data[start:end].count(b"PK\1\2") * 50, 0, 0, 0, 0)
    tail = tail[:8] + tail[10:12] * 2 + struct.pack("<LLH", len(entries), start, 0)
    return data[:start] + entries + tail


def called(name: str, argument: bytes) -> bytes:
    """A pickle that calls something."""
    module, _, function = name.rpartition(".")
    return b"\x80\x02c" + f"{module}\n{function}\n".encode() + argument + b"\x85R."


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as stored:
        stored.writestr("archive/data.pkl", content)
        stored.writestr("archive/version", "3\n")
    return file.getvalue()


LEGACY = pickle.dumps(torch.serialization.MAGIC_NUMBER, protocol=2)
HUGE = b"J" + struct.pack("<i", 2**31 - 1)
SAFETENSORS = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()

ATTACKS: list[tuple[str, Callable[[], bytes], str]] = [
    ("deflated.pth", lambda: archive({"a": torch.zeros(20_000_000)}), "its tensors are compressed"),
    ("overlap.pth", overlapping, "its tensors overlap"),
    ("bytearray.pth", lambda: LEGACY + called("builtins.bytearray", HUGE), NOT_TENSORS),
    ("bare.pth", lambda: called("builtins.bytearray", HUGE), "is not a PyTorch file"),
    ("bytearray-zip.pth", lambda: zipped(called("builtins.bytearray", HUGE)), NOT_TENSORS),
    ("tensor.pth", lambda: zipped(called("torch.Tensor", HUGE)), NOT_TENSORS),
    ("system.pth", lambda: LEGACY + called("os.system", b"X\x04\0\0\0true"), NOT_TENSORS),
    ("stacked.pth", lambda: LEGACY + pickle.dumps(Counter("a"), protocol=4), NOT_TENSORS),
    ("head.pth", lambda: zipped(b"\x80\x02" + b"N0" * (5 << 20) + b"N."), "names more tensors"),
    ("head.safetensors", lambda: struct.pack("<Q", 9 << 20) + b"{" + b" " * (9 << 20), "names more tensors"),
    ("sparse.safetensors", lambda: struct.pack("<Q", len(SAFETENSORS)) + SAFETENSORS, "more than 1024 MiB"),
]


@pytest.mark.parametrize(("name", "make", "reason"), ATTACKS, ids=[row[0] for row in ATTACKS])
def test_bombs(
    name: str, make: Callable[[], bytes], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_bytes(make())
    if "sparse" in name:
        os.truncate(path, 100 << 30)

    def loaded(*_: object, **__: object) -> None:
        pytest.fail("the file was loaded")

    monkeypatch.setattr(torch, "load", loaded)
    monkeypatch.setattr("safetensors.torch.load_file", loaded)
    with pytest.raises(WeightsError, match=f"{name}: th.*{reason}"):
        read_weights(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_no_file(suffix: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"fifo{suffix}")
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    for name in ("fifo", "zero"):
        with pytest.raises(WeightsError, match="not a regular file"):
            read_weights(tmp_path / f"{name}{suffix}")


@pytest.mark.parametrize("zip_archive", [True, False])
def test_both_forms_that_pytorch_writes(
    zip_archive: bool, published_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "x.pth"
    half = {name: torch.nn.Parameter(tensor.half()) for name, tensor in published_tensors.items()}
    torch.save(half, path, _use_new_zipfile_serialization=zip_archive)
    assert read_weights(path).published
