"""A disk that ignores case: exFAT by FUSE, which gives each spelling of a name another inode number."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["mounted_exfat"]

_NEEDED = ("mkfs.exfat", "mount.exfat-fuse", "losetup", "umount")
_BYTES = 32 << 20


@contextmanager
def mounted_exfat(folder: Path) -> Iterator[Path]:
    """Mount a new, empty disk below a folder while the block runs; skip the test if that is impossible."""
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs {', '.join(missing)}" if missing else "only root may mount")
    image, disk = folder / "exfat.img", folder / "Disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(_BYTES)
    _run("mkfs.exfat", image)
    device = _run("losetup", "--find", "--show", image)
    try:
        _run("mount.exfat-fuse", device, disk)
        try:
            yield disk
        finally:
            _run("umount", disk)
    finally:
        _run("losetup", "--detach", device)


def _run(*command: str | Path) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        pytest.skip(f"{command[0]} does not work here: {ended.stderr.strip()}")
    return ended.stdout.strip()
