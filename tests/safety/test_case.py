"""On a disk that ignores case two names may be one file: nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manet_cli.atomic import atomic_path, exclusive
from manet_cli.errors import OutputError
from manet_cli.file_identity import ignores_case, same_file, stored_path
from tests.commands.conftest import texture
from tests.disks import mounted_exfat
from tests.safety.conftest import Forks, contents

HOLDER = """
import sys
from pathlib import Path
from manet_cli.atomic import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"theirs")
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with mounted_exfat(tmp_path_factory.mktemp("disk")) as path:
        assert ignores_case(path), "while it is empty"
        yield path


def picture(path: Path, shift: int = 0) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.roll(texture(12, 16), shift, axis=0)).save(path)
    return path.read_bytes()


def test_the_disk_says_so(disk: Path) -> None:
    folder = disk / "says"
    picture(folder / "Straße.png")
    assert ignores_case(folder)
    assert ignores_case(folder / "Not" / "Yet")
    assert same_file(folder / "PHOTO.png", folder / "photo.PNG")
    assert same_file(disk / "SAYS" / "photo.png", folder / "photo.png")
    assert stored_path(disk / "SAYS" / "sTRASSE.png").parent == stored_path(folder)
    assert not same_file(disk.parent / "DISK" / "photo.png", disk / "photo.png"), "the mount point has a case"


def test_two_pictures_for_one_file(disk: Path, tmp_path: Path, weights: Path, forks: Forks) -> None:
    """Whether the disk is new, has the files already, or holds the inputs themselves."""
    first = picture(tmp_path / "in" / "IMG.png")
    second = picture(tmp_path / "in" / "img.png", 1)
    out = disk / "pictures"
    for more in ([], ["--overwrite"]):
        ended = forks("upscale", tmp_path / "in", "-o", out, "--model", weights, "--json", *more)
        assert [line["status"] for line in ended.json] == ["done", "failed"]
        assert "are one file on a disk that ignores case" in ended.json[1]["error"]
        assert [path.name for path in out.iterdir()] == ["IMG_x2.png"]
        (out / "IMG_x2.png").write_bytes(b"other")
    assert contents(tmp_path / "in") == {"IMG.png": first, "img.png": second}


def test_one_picture_by_two_names_is_made_once(disk: Path, weights: Path, forks: Forks) -> None:
    folder = disk / "twice"
    picture(folder / "Photo.png")
    names = [folder / "photo.png", folder / "PHOTO.PNG", disk / "TWICE" / "Photo.png"]
    ended = forks("upscale", *names, "--model", weights, "--json")
    assert [line["status"] for line in ended.json] == ["done"]
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    ("command", "name", "twin"),
    [
        ("upscale INPUT -o TWIN --model WEIGHTS --overwrite", "Photo.png", "photo.png"),
        ("kernels INPUT --picture TWIN --model WEIGHTS --overwrite", "Photo.png", "PHOTO.png"),
        ("degrade INPUT -o FOLDER -s 2 --kernel 9,1,0 --overwrite", "lr/photo.PNG", ""),
        ("study compare INPUT -o FOLDER --model WEIGHTS --overwrite", "Compare.png", ""),
        ("weights convert INPUT TWIN --overwrite", "Photo.safetensors", "photo.SAFETENSORS"),
    ],
)
def test_no_input_is_replaced(
    disk: Path, weights: Path, forks: Forks, command: str, name: str, twin: str
) -> None:
    folder = disk / f"{command.split()[0]} and {command.split()[1]}"
    source = folder / name
    before = picture(source.with_suffix(".png"), 1)
    if source.suffix == ".safetensors":
        before = weights.read_bytes()
        source.write_bytes(before)
    paths = {"INPUT": source, "TWIN": folder / twin, "FOLDER": folder, "WEIGHTS": weights}
    ended = forks(*(paths.get(word, word) for word in command.split()))
    assert ended.code == 1, ended.stderr
    assert "inputs are never overwritten" in ended.stderr
    assert source.read_bytes() == before


def test_results_are_found_again(disk: Path, weights: Path, forks: Forks) -> None:
    folder = disk / "again"
    picture(folder / "Photo.png")
    assert forks("upscale", folder / "Photo.png", "--model", weights).code == 0
    ended = forks("upscale", folder / "photo.png", "--model", weights, "--json")
    assert ended.json[0]["status"] == "skipped"
    ended = forks(
        "upscale", folder / "photo.png", "--model", weights, "--sigma", "2", "--json", "--overwrite"
    )
    assert ended.json[0]["status"] == "done"
    assert len(list(folder.iterdir())) == 2


def test_two_processes_for_one_file(disk: Path) -> None:
    """A lock on one spelling holds for all spellings of the file and its folder."""
    folder = disk / "Locked"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder / "Photo.png")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        for other in (folder / "pHOTO.png", disk / "lOCKED" / "photo.PNG", folder / "Photo.png"):
            with pytest.raises(OutputError, match="another process is writing"), atomic_path(other):
                pass
        process.communicate("\n", timeout=60)
    assert (folder / "photo.png").read_bytes() == b"theirs"
    with atomic_path(folder / "PHOTO.PNG") as temporary:
        temporary.write_bytes(b"mine")
    assert [path.name.lower() for path in folder.iterdir()] == ["photo.png"]
    assert (folder / "photo.png").read_bytes() == b"mine"
    twin = disk / "lOCKED" / ".RUN.manet-tmp"
    busy = pytest.raises(OutputError, match="another process is at work")
    with exclusive(folder / ".run.manet-tmp"), busy, exclusive(twin, wait=False):
        pytest.fail("two are at work")
