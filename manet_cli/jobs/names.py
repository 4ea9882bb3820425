"""Names of results, and which names a file system cannot tell apart."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from pathlib import Path

__all__ = ["existing_folder", "folded", "ignores_case", "result_stem"]

_RESULT_STEM = re.compile(r"(?P<source>.+)_x[234]")


def result_stem(path: Path) -> str | None:
    """Give the stem of the picture that a result called ``path`` was made from; None for any other name."""
    match = _RESULT_STEM.fullmatch(path.stem)
    return match["source"] if match else None


def folded(path: str) -> str:
    """Give what is left of a path for a file system that ignores case and Unicode's spellings."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def existing_folder(path: Path) -> Path:
    """Give the nearest of ``path`` and the folders above it that exists (which may turn out to be a file)."""
    return next((parent for parent in (path, *path.parents) if parent.exists()), Path())


def ignores_case(folder: Path) -> bool:
    """Whether names that differ only in case are one file in ``folder``, which need not exist yet.

    Nothing is written: names that are there are looked up with their case swapped. Where there is none with
    letters on the same device, it is as the operating system has it usually.
    """
    there = Path(os.path.realpath(existing_folder(folder)))
    device = there.stat().st_dev
    try:
        names = [there / name for name in os.listdir(there)[:100]]
    except OSError:
        names = []
    for path in (*names, there, *there.parents):
        swapped = path.with_name(path.name.swapcase()) if path.name else path
        try:
            # A mount point's own name belongs to the file system above it.
            if swapped.name == path.name or path.parent.stat().st_dev != device:
                continue
            return swapped.exists() and swapped.samefile(path)
        except OSError:
            continue
    return sys.platform in ("darwin", "win32")
