"""Whether two paths are one file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from manet_cli import file_identity
from manet_cli.file_identity import (
    FileLedger,
    ignores_case,
    is_file,
    is_folder,
    ledger_of,
    same_file,
    stored_path,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "below").mkdir()
    (tmp_path / "photo.png").write_bytes(b"photo")
    (tmp_path / "other.png").write_bytes(b"photo")
    return tmp_path


def test_all_paths_of_a_file_are_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = folder / "photo.png"
    (folder / "below" / "link.png").symlink_to(photo)
    os.link(photo, folder / "hard.png")
    (folder / "way").symlink_to(folder)
    monkeypatch.chdir(folder / "below")
    for path in ("../photo.png", "link.png", "../hard.png", "../way/photo.png", "../way/below/../photo.png"):
        assert same_file(Path(path), photo), path
        assert same_file(photo, Path(path)), path
    for path in ("../other.png", "photo.png", "../PHOTO.png", "../none.png"):
        assert not same_file(Path(path), photo), path


def test_files_that_are_not_there_are_told_by_their_paths(folder: Path) -> None:
    (folder / "way").symlink_to(folder)
    assert same_file(folder / "new.png", folder / "way" / "below" / ".." / "new.png")
    assert not same_file(folder / "new.png", folder / "below" / "new.png")
    assert same_file(folder / ("x" * 300), folder / ("x" * 300))


def test_a_disk_that_ignores_case_has_one_file_for_two_names(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the two names have two inode numbers, as on a disk by FUSE."""
    monkeypatch.setattr(file_identity, "ignores_case", lambda there: there.name != "below")
    assert same_file(folder / "Photo.PNG", folder / "photo.png")
    assert same_file(folder / "a\u0308.png", folder / "\u00c4.png")
    assert not same_file(folder / "below" / "Photo.PNG", folder / "below" / "photo.png")


def test_each_folder_says_whether_the_name_in_it_has_a_case(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root of a disk that ignores case, mounted on a case-sensitive one; and the reverse."""
    ignoring = {folder / "Stick", folder / "stick"}
    monkeypatch.setattr(file_identity, "ignores_case", lambda there: there in ignoring)
    assert not same_file(folder / "Stick" / "a.png", folder / "stick" / "a.png")
    assert not same_file(folder / "Stick" / "A.png", folder / "stick" / "a.png")
    assert same_file(folder / "Stick" / "A.png", folder / "Stick" / "a.png")
    assert same_file(folder / "stick" / "Mount" / "a.png", folder / "stick" / "mount" / "a.png")
    assert not same_file(folder / "stick" / "Mount" / "A.png", folder / "stick" / "mount" / "a.png")
    # All paths that are equal when folded are compared, not only the first.
    ledger = ledger_of([folder / "Stick" / "a.png", folder / "stick" / "a.png"])
    assert ledger.find(folder / "stick" / "A.png") == folder / "stick" / "a.png"
    assert ledger.alike(folder / "stick" / "a.png") is None


def test_case_is_ignored_where_a_name_is_found_that_is_not_listed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not ignores_case(folder)
    real = os.path.lexists
    # As on exFAT by FUSE: every spelling exists, with a different inode number.
    monkeypatch.setattr(os.path, "lexists", lambda path: real(path) or real(str(path).swapcase()) or True)
    assert ignores_case(folder / "below")
    assert ignores_case(folder / "not" / "yet")
    (folder / "PHOTO.PNG").write_bytes(b"another")
    (folder / "OTHER.PNG").write_bytes(b"another")
    (folder / "BELOW").mkdir()
    assert not ignores_case(folder)


def test_the_first_owner_stays(folder: Path) -> None:
    ledger = FileLedger[str](links=False)
    ledger.add(folder / "photo.png", "first")
    ledger.add(folder / "photo.png", "second")
    os.link(folder / "photo.png", folder / "hard.png")
    assert ledger.find(folder / "photo.png") == "first"
    assert ledger.find(folder / "hard.png") is None
    assert ledger_of([folder / "photo.png"]).find(folder / "hard.png") == folder / "photo.png"


def test_case_is_not_told_by_letters_that_disks_treat_differently(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No disk finds ``Straße`` as ``STRASSE``, which would look as if case counted."""
    (folder / "below" / "Straße.png").write_bytes(b"photo")
    real, stored = os.path.lexists, {"sTRAßE.PNG", "Straße.png"}
    monkeypatch.setattr(os.path, "lexists", lambda path: Path(path).name in stored or real(path))
    assert ignores_case(folder / "below")


def test_an_empty_disk_is_known_by_its_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path.stat().st_dev
    monkeypatch.setattr(os.path, "lexists", lambda path: True)
    monkeypatch.setattr(os, "listdir", lambda path: [])
    monkeypatch.setattr(file_identity, "_swapped", lambda name: name)  # no name has letters
    for kind, expected in (
        ("exfat", True),
        ("cifs", True),
        ("fuseblk", True),
        ("ext4", False),
        (None, False),
    ):
        monkeypatch.setattr(file_identity, "_file_system", lambda given, kind=kind: given == device and kind)
        assert ignores_case(tmp_path) is expected or sys.platform != "linux", kind
    monkeypatch.undo()
    if sys.platform == "linux":
        assert file_identity._file_system(Path("/proc").stat().st_dev) == "proc"


def test_a_path_in_the_spelling_of_the_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "way").symlink_to(folder / "below")
    assert stored_path(folder / "way" / "New.png") == folder / "below" / "New.png"
    real = os.path.lexists
    monkeypatch.setattr(os.path, "lexists", lambda path: real(path) or real(str(path).lower()))
    assert stored_path(folder / "Photo.PNG") == folder / "photo.png"
    assert stored_path(folder / "None.PNG") == folder / "None.PNG"
    (folder / "PHOTO.png").write_bytes(b"another")
    assert stored_path(folder / "PHOTO.png") == folder / "PHOTO.png", "two files"


def test_names_that_are_too_long_to_ask_for(tmp_path: Path) -> None:
    for name in ("x" * 300, "a\0b"):
        assert not is_file(tmp_path / name)
        assert not is_folder(tmp_path / name)
        assert file_identity.existing_folder(tmp_path / name / "below") == tmp_path
    assert is_folder(tmp_path)


def test_a_ledger_of_names(folder: Path) -> None:
    (folder / "link.png").symlink_to("photo.png")
    ledger = FileLedger[str](links=False, names=True)
    ledger.add(folder / "photo.png", "photo")
    assert ledger.find(folder / "below" / ".." / "photo.png") == "photo"
    assert ledger.find(folder / "link.png") is None
