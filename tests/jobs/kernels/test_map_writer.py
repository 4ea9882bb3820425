"""Maps on disk: written in pieces, atomically."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from manet_cli.errors import OutputError
from manet_cli.jobs.kernels.map_writer import MapWriter, check_kernel_map, check_map_size, open_map

VALUES = torch.arange(13 * 9 * 3, dtype=torch.float32).reshape(13, 9, 3)


def write(path: Path, stride: int) -> None:
    shape = (-(-13 // stride), -(-9 // stride), 3)
    beside = {"scale": np.array(4), "model": np.array("weights"), "basis": np.arange(6.0).reshape(3, 2).T}
    with open_map(
        path, shape, MapWriter, stride=stride, dtype="float32", name="params", beside=lambda: beside
    ) as writer:
        for row in (0, 8):
            for column in (0, 5):
                writer.put(row, column, VALUES[row : row + 8, column : column + (5 if column == 0 else 4)])


@pytest.mark.parametrize("stride", [1, 2, 5, 20])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pieces_come_together(tmp_path: Path, suffix: str, stride: int) -> None:
    path = tmp_path / f"map{suffix}"
    write(path, stride)
    loaded = np.load(path, allow_pickle=False)
    assert np.array_equal(loaded if suffix == ".npy" else loaded["params"], VALUES[::stride, ::stride])
    if suffix == ".npz":
        assert loaded.files == ["scale", "model", "basis", "params"]
        assert (int(loaded["scale"]), str(loaded["model"])) == (4, "weights")
        assert np.array_equal(loaded["basis"], [[0, 2, 4], [1, 3, 5]])
        loaded.close()
    assert os.listdir(tmp_path) == [path.name]


def test_equal_maps_give_equal_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", 1)
    write(tmp_path / "b.npz", 1)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_failure_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    def fail() -> None:
        with open_map(tmp_path / f"map{suffix}", (2, 2, 3), MapWriter, stride=1, dtype="float32") as writer:
            writer.put(0, 0, VALUES[:2, :2])
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert os.listdir(tmp_path) == []


def test_sizes_are_known_before_anything_is_written() -> None:
    assert check_kernel_map(10, 20) == 10 * 20 * 441 * 2
    assert check_map_size(3000, 4000, (3,), stride=1, dtype="float32") == 144_000_000
    assert check_map_size(3000, 4000, (15,), stride=1, dtype="float16") == 360_000_000
    with pytest.raises(OutputError, match="stride=3"):
        check_kernel_map(3000, 4000)
    check_kernel_map(3000, 4000, stride=3)
    check_kernel_map(3000, 4000, large=True)
    with pytest.raises(OutputError, match="larger stride"):
        check_map_size(30000, 40000, (3,), stride=1, dtype="float32")
