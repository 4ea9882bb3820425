"""Free space on a disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from manet_cli.errors import OutputError
from manet_cli.evaluation.studies.files import StudyFiles
from manet_cli.images import Header, format_by_name
from manet_cli.jobs.outputs import Room, check_outputs, least_bytes
from tests.jobs.conftest import nobody


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000_000))


@pytest.mark.usefixtures("free")
def test_pictures_take_room_one_after_the_other(tmp_path: Path) -> None:
    room = Room()
    room.take(tmp_path / "new" / "a.png", 600_000_000)
    with pytest.raises(
        OutputError, match=r"b\.png will take at least 500 MB of disk, and .* has 400 MB left"
    ):
        room.take(tmp_path / "b.png", 500_000_000)
    room.take(tmp_path / "c.png", 400_000_000)


@pytest.mark.usefixtures("free")
def test_spare_room_is_given_back(tmp_path: Path) -> None:
    room = Room()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        room.take(tmp_path / name, 100_000_000, spare=700_000_000)
    with pytest.raises(OutputError, match=r"d\.jpg will take at least 800 MB"):
        room.take(tmp_path / "d.jpg", 100_000_000, spare=700_000_000)


def test_the_guess_is_below_what_a_picture_has() -> None:
    header = Header(400, 300, 3, True, 16)
    plain = 400 * 300 * 4 * 2
    for name in ("png", "tiff", "bmp", "jpeg", "webp", "avif"):
        assert 0 < least_bytes(format_by_name(name), header) <= plain


def test_little_is_simply_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=4000))
    room = Room()
    room.take(tmp_path / "a.png", 10_000_000)
    with pytest.raises(OutputError, match=r"b\.png will take at least 10 MB"):
        room.take(tmp_path / "b.png", 10_000_000)


@pytest.mark.parametrize("mode", [0o555, 0o000])
@pytest.mark.parametrize("below", ["", "new"])
def test_a_folder_that_cannot_be_written_to_is_said_first(here: Path, mode: int, below: str) -> None:
    """Before any work, and before the check for an existing file; root may write anywhere."""
    locked = here / "locked"
    locked.mkdir()
    (locked / "there.png").touch()
    (locked / "there.json").touch()
    here.parent.chmod(0o755)
    here.chmod(0o755)
    locked.chmod(mode)
    with nobody():
        with pytest.raises(OutputError, match="cannot be written to"):
            check_outputs(None, {"out": locked / below / "there.png"}, overwrite=False)
        with pytest.raises(OutputError, match="cannot be written to"):
            StudyFiles.plan(locked / below, "there", [], overwrite=False)
    locked.chmod(0o755)
