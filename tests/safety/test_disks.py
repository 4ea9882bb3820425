"""Full disks, read-only folders, and files that disappear."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands.conftest import texture
from tests.safety.conftest import Ended, Forks, contents

PAGE = 4096
ROOM = 5 * PAGE
NOBODY = 65534
NO_ROOM, TOO_LARGE = "No space left on device", "File too large"
# The refused call, the format, and whether only a soak test covers it.
FULL = [
    (reason, format, (reason, format) not in ((NO_ROOM, "png"), (TOO_LARGE, "webp")))
    for reason in (NO_ROOM, TOO_LARGE)
    for format in ("png", "tiff", "jpeg", "webp", "avif", "bmp")
]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Five pictures: results of the second and fourth need more than `ROOM`, of the others a page each."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i, side in enumerate((10, 170, 12, 180, 14)):
        Image.fromarray(np.roll(texture(side, side), i, axis=0)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of `ROOM` bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(("reason", "format", "long"), FULL)
def test_a_full_disk(
    reason: str,
    format: str,
    long: bool,
    pictures: Path,
    weights: Path,
    forks: Forks,
    soak: bool,
    request: pytest.FixtureRequest,
) -> None:
    """Results that fit are complete, no other files exist, and a run with space writes the same bytes."""
    if long and not soak:
        pytest.skip("in a soak only")
    common: list[str | Path] = ["upscale", pictures, "--model", weights, "--sigma", "2", "--json", "-q"]
    common += ["--format", format]
    roomy, whole = pictures.with_name("roomy"), pictures.with_name("whole")
    assert forks(*common, "-o", whole).code == 0
    if reason == TOO_LARGE:
        out = pictures.with_name("out")
        ended = forks(*common, "-o", out, file_limit=ROOM)
    else:
        out = request.getfixturevalue("small_disk") / "out"
        ended = forks(*common, "-o", out)
    assert ended.code == 1
    assert [line["status"] for line in ended.json] == ["done", "failed", "done", "failed", "done"]
    assert all(reason in line["error"] for line in ended.json if line["status"] == "failed")
    assert contents(out).items() < contents(whole).items()
    assert len(contents(out)) == 3

    shutil.copytree(out, roomy)
    assert forks(*common, "-o", roomy, *(["--overwrite"] if format == "bmp" else [])).code == 0
    assert contents(roomy) == contents(whole)


def test_kernel_maps_on_a_full_disk(pictures: Path, small_disk: Path, weights: Path, forks: Forks) -> None:
    """The space of a memory map is reserved first, and neither of the two files exists without the other."""
    out = pictures.with_name("out")
    ended = forks("upscale", pictures / "0.png", "-o", out, "--model", weights, "--save-kernels", small_disk)
    assert ended.code == 1
    assert NO_ROOM in ended.stderr
    assert not contents(out)
    assert not contents(small_disk)


@pytest.fixture
def shared_folder(weights: Path) -> Iterator[Path]:
    """A folder with pictures and weights, readable by every user."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy(weights, folder / "small.safetensors")
        (folder / "small.safetensors").chmod(0o644)
        (folder / "in").mkdir()
        for i in range(3):
            Image.fromarray(texture(10 + i, 10)).save(folder / "in" / f"{i}.png")
        yield folder


def test_files_and_folders_without_permission(shared_folder: Path, forks: Forks) -> None:
    user = {"user": NOBODY} if os.geteuid() == 0 else {}
    out, model = shared_folder / "out", shared_folder / "small.safetensors"
    common: list[str | Path] = ["upscale", shared_folder / "in", "-o", out, "--model", model, "--json", "-q"]
    out.mkdir(mode=0o555)
    (shared_folder / "in" / "1.png").chmod(0)
    before = contents(shared_folder) if os.geteuid() == 0 else {}
    ended = forks(*common, **user)
    assert ended.code == 1
    assert [line["status"] for line in ended.json] == ["failed"] * 3
    read, written = "1.png cannot be read (Permission denied)", f"{out} cannot be written to"
    assert [(read in line["error"], written in line["error"]) for line in ended.json] == [
        (False, True),
        (True, False),
        (False, True),
    ]
    if before:
        assert contents(shared_folder) == before
    out.chmod(0o777)
    ended = forks(*common, **user)
    assert [line["status"] for line in ended.json] == ["done", "failed", "done"]


def vanishing(path: Path, first: Path, run: Callable[[], Ended]) -> Ended:
    """Remove `path` as soon as `first` exists."""
    ended: list[Ended] = []
    thread = threading.Thread(target=lambda: ended.append(run()))
    thread.start()
    while not first.exists() and thread.is_alive():
        time.sleep(0.001)
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()
    thread.join()
    return ended[0]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(30):
        Image.fromarray(np.roll(texture(60, 60), i, axis=0)).save(folder / f"{i:02}.png")
    return folder


def test_an_input_that_vanishes_costs_no_other(many: Path, weights: Path, forks: Forks) -> None:
    out = many.with_name("out")
    last = many / "29.png"
    ended = vanishing(
        last, out / "00_x2.png", lambda: forks("upscale", many, "-o", out, "--model", weights, "--json", "-q")
    )
    assert ended.code == 1
    assert [line["status"] for line in ended.json] == ["done"] * 29 + ["failed"]
    assert ended.json[-1]["error"] == f"{last} does not exist: check the path."
    assert sorted(path.name for path in out.iterdir()) == [f"{i:02}_x2.png" for i in range(29)]


def test_an_output_folder_that_vanishes(many: Path, weights: Path, forks: Forks) -> None:
    out = many.with_name("out")

    def run() -> Ended:
        return forks("upscale", many, "-o", out, "--model", weights, "--json", "-q")

    ended = vanishing(out, out / "00_x2.png", run)
    assert ended.code in (0, 1)
    assert len(ended.json) == 30
    assert run().code == 0
    assert sorted(path.name for path in out.iterdir()) == [f"{i:02}_x2.png" for i in range(30)]
    for path in out.iterdir():
        with Image.open(path) as image:
            image.load()
