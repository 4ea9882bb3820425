"""Decide whether two paths, existing or not, are the same file.

Symbolic links, hard links and disks that ignore case all count. Inode numbers are not enough: a disk that
ignores case (exFAT by FUSE, network shares) may give one file two of them.
"""

from __future__ import annotations

import os
import shlex
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

__all__ = [
    "MOST_WORDS",
    "FileLedger",
    "existing_folder",
    "ignores_case",
    "is_file",
    "is_folder",
    "ledger_of",
    "quoted",
    "same_file",
    "stored_name",
    "stored_path",
    "unquoted_file",
]

Owner = TypeVar("Owner")

_IGNORING = frozenset(
    (
        *("vfat", "msdos", "exfat", "fuseblk", "fuse.exfat", "ntfs", "ntfs3", "cifs", "smb3", "smbfs"),
        *("hfs", "hfsplus", "apfs", "vboxsf", "drvfs", "fuse.ciopfs"),
    )
)
"""Linux names of file systems that usually ignore case; `fuseblk` is NTFS or exFAT by FUSE."""


MOST_WORDS = 30
"""Most words of a file's name that `unquoted_file` joins."""

_SPECIAL = frozenset('"$`\\')


def unquoted_file(words: Sequence[str]) -> tuple[str, int] | None:
    """Return the file that the first two or more words name together, and their number; None for none.

    A shell splits a name with spaces that is typed without quotes.
    """
    if os.path.lexists(words[0]):
        return None
    for count in range(min(len(words), MOST_WORDS), 1, -1):
        name = " ".join(words[:count])
        if os.path.lexists(name):
            return name, count
    return None


def quoted(name: str) -> str:
    """Return a name in quotes, to type in a shell."""
    return shlex.quote(name) if os.name != "nt" and _SPECIAL & set(name) else f'"{name}"'


class FileLedger(Generic[Owner]):
    """Files, each with an owner, found by any of their paths.

    Args:
        links: whether hard links to a file count as that file.
        names: whether a symbolic link and its target count as two files.
    """

    def __init__(self, *, links: bool = True, names: bool = False) -> None:
        self._links = links
        self._key = _entry if names else _real
        self._by_path: dict[str, tuple[Path, Owner]] = {}
        self._by_folded: dict[str, list[str]] = {}
        self._by_inode: dict[tuple[int, int], Owner] = {}

    def add(self, path: Path, owner: Owner) -> None:
        """Add a file; its first owner stays."""
        key = self._key(path)
        if key not in self._by_path:
            self._by_path[key] = path, owner
            self._by_folded.setdefault(_folded(key), []).append(key)
        inode = _inode(path) if self._links else None
        if inode is not None:
            self._by_inode.setdefault(inode, owner)

    def find(self, path: Path) -> Owner | None:
        """Return the owner of a file; None if it was not added."""
        key = self._key(path)
        if key in self._by_path:
            return self._by_path[key][1]
        inode = _inode(path) if self._links else None
        if inode is not None and inode in self._by_inode:
            return self._by_inode[inode]
        alike = self.alike(path)
        return None if alike is None else alike[1]

    def alike(self, path: Path) -> tuple[Path, Owner] | None:
        """Return the file, with its owner, whose path differs only in case on a disk that ignores case."""
        key = self._key(path)
        for other in self._by_folded.get(_folded(key), ()):
            if other != key and _only_case_differs(key, other):
                return self._by_path[other]
        return None


def ledger_of(paths: Iterable[Path]) -> FileLedger[Path]:
    """Return a ledger of files, each its own owner."""
    ledger = FileLedger[Path]()
    for path in paths:
        ledger.add(path, path)
    return ledger


def same_file(path: Path, other: Path) -> bool:
    """Whether two paths are the same file."""
    return ledger_of([other]).find(path) is not None


def is_file(path: Path) -> bool:
    """Whether a regular file exists; False also if its name is too long for the system."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises an error for such a name


def is_folder(path: Path) -> bool:
    """Whether a folder exists; False also if its name is too long for the system."""
    return os.path.isdir(path)  # noqa: PTH112 - likewise


def existing_folder(path: Path) -> Path:
    """Return ``path`` if it exists, else the nearest existing path above it; it may be a file."""
    exists = os.path.exists  # Path.exists raises an error for a name that is too long
    return next((parent for parent in (path, *path.parents) if exists(parent)), Path())


def stored_path(path: Path) -> Path:
    """Return the real path of a file, spelled as the disk stores it.

    Only disks that ignore case may store another spelling. A name that does not exist yet stays unchanged.
    """
    first, *names = Path(os.path.realpath(path)).parts
    found = Path(first)
    for name in names:
        found /= stored_name(found, name)
    return found


def stored_name(folder: Path, name: str) -> str:
    """Return a name as the folder stores it; a name that is not in the folder stays unchanged."""
    swapped = _swapped(name)
    if swapped == name or not os.path.lexists(folder / swapped):
        return name
    try:
        names = os.listdir(folder)
    except OSError:
        return name
    if name in names:
        return name
    return next((other for other in names if _folded(other) == _folded(name)), name)


def ignores_case(folder: Path) -> bool:
    """Whether ``folder``, existing or not, ignores case in file names.

    Writes nothing: looks up existing names with their case swapped. If no name on the device has letters,
    assumes the usual rule of its file system.
    """
    there = Path(os.path.realpath(existing_folder(folder)))
    device = there.stat().st_dev
    try:
        names = os.listdir(there)
    except OSError:
        names = []
    for path in (*(there / name for name in names[:100]), there, *there.parents):
        swapped = path.with_name(_swapped(path.name)) if path.name else path
        try:
            # A mount point's own name belongs to the file system above it.
            if swapped.name == path.name or path.parent.stat().st_dev != device:
                continue
            # Two entries of a folder are two files on every disk.
            return os.path.lexists(swapped) and swapped.name not in os.listdir(path.parent)
        except OSError:
            continue
    return sys.platform in ("darwin", "win32") or _file_system(device) in _IGNORING


def _file_system(device: int) -> str | None:
    """Return the Linux name of a device's file system; None if unknown."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for mount in mounts:
        before, _, after = mount.partition(" - ")
        if before.split()[2:3] == [number]:
            return after.split()[0]
    return None


def _swapped(name: str) -> str:
    """Swap the case of ASCII letters; disks differ in their rules for other letters."""
    return "".join(letter.swapcase() if letter.isascii() else letter for letter in name)


def _real(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))


def _entry(path: Path) -> str:
    """Return the real path of the folder, with the name unresolved."""
    return os.path.normcase(os.path.join(os.path.realpath(path.parent), path.name))  # noqa: PTH118


def _folded(path: str) -> str:
    """Normalise a path for a file system that ignores case and Unicode's spellings."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _only_case_differs(path: str, other: str) -> bool:
    """Whether two real paths, equal when `_folded`, differ only in names whose folders ignore case.

    Each folder is tested: one path may cross several disks.
    """
    folder = Path()
    for name, other_name in zip(Path(path).parts, Path(other).parts, strict=True):
        if name != other_name and not ignores_case(folder):
            return False
        folder /= name
    return True


def _inode(path: Path) -> tuple[int, int] | None:
    """Return the device and inode numbers of a file; None if there are none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - Path.stat raises an error for a name that is too long
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if status.st_ino else None
