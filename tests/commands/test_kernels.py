"""`manet kernels`: the array on disk."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands.conftest import Manet, texture


def test_the_array(manet: Manet, photo: Path) -> None:
    outcome = manet("kernels", photo)
    output = photo.with_name("photo_x4_kernels.npy")
    assert (outcome.code, outcome.stdout) == (0, f"{output}\n")
    assert "30x41x21x21 float16, 1.1 MB" in outcome.stderr
    kernels = np.load(output, mmap_mode="r")
    assert (kernels.shape, kernels.dtype) == ((30, 41, 21, 21), np.float16)
    assert np.abs(kernels.astype(np.float64).sum(axis=(2, 3)) - 1).max() < 2e-3
    # The published placement leaves the last s - 1 rows and columns (nearly) empty and is row-major.
    assert kernels[..., :18, :18].sum(axis=(2, 3), dtype=np.float64).min() > 0.98


def test_stride_and_dtype(manet: Manet, photo: Path) -> None:
    whole, few = photo.with_name("whole.npy"), photo.with_name("few.npy")
    manet("kernels", photo, "--out", whole, "--dtype", "float32")
    (line,) = manet(
        "kernels", photo, "--out", few, "--dtype", "float32", "--stride", "3", "--tile", "16", "--json"
    ).json
    assert line.pop("seconds") > 0
    assert line == {
        "input": str(photo),
        "output": str(few),
        "status": "done",
        "scale": 4,
        "shape": [10, 14, 21, 21],
        "dtype": "float32",
        "bytes": 10 * 14 * 441 * 4,
        "error": None,
    }
    assert np.load(few).dtype == np.float32
    assert np.allclose(np.load(few), np.load(whole)[::3, ::3], atol=1e-5)
    assert np.abs(np.load(whole).sum(axis=(2, 3)) - 1).max() < 1e-5


def test_orientation_is_applied(manet: Manet, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(texture(20, 30)).save(tmp_path / "turned.png", exif=exif)
    manet("kernels", tmp_path / "turned.png", "--stride", "5", "--out", tmp_path / "k.npy")
    assert np.load(tmp_path / "k.npy").shape == (6, 4, 21, 21)


def test_size_is_refused_before_it_is_written(manet: Manet, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("L", (1800, 1400)).save(path)
    outcome = manet("kernels", path, "--json")
    assert outcome.code == 1
    assert "--stride" in outcome.stderr
    assert "--large" in outcome.stderr
    assert outcome.json[0]["status"] == "failed"
    assert os.listdir(tmp_path) == ["large.png"]


def test_what_exists_is_kept(manet: Manet, photo: Path) -> None:
    output = photo.with_name("k.npy")
    output.write_bytes(b"precious")
    assert manet("kernels", photo, "--out", output).code == 1
    assert output.read_bytes() == b"precious"
    assert manet("kernels", photo, "--out", output, "--overwrite").code == 0
    assert np.load(output).shape == (30, 41, 21, 21)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["missing.png"], 1),
        (["photo.png", "--out", "k.txt"], 2),
        (["photo.png", "--out", "below/there.npy/k.npy"], 1),
        (["photo.png", "--stride", "0"], 2),
        (["photo.png", "--dtype", "int8"], 2),
        (["photo.png", "-s", "3"], 3),
    ],
)
def test_errors(
    manet: Manet, photo: Path, arguments: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    Path("below").mkdir()
    Path("below/there.npy").touch()
    outcome = manet("kernels", *arguments)
    assert (outcome.code, outcome.stdout) == (code, "")
    assert "Traceback" not in outcome.stderr
    assert sorted(os.listdir()) == ["below", "photo.png"]
