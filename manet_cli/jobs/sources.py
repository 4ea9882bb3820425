"""From what the user names (files, folders, patterns, standard input) to the pictures that are meant."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path

from manet_cli.errors import InputError, ManetError
from manet_cli.images import IMAGE_SUFFIXES, format_for_suffix, read_record

__all__ = ["STDIN", "Source", "expand_sources"]

STDIN = "-"
_OUTPUT_STEM = re.compile(r"(?P<source>.+)_x[234]")


@dataclass(frozen=True)
class Source:
    """One picture to work on.

    Attributes:
        name: the path as the user gave or would give it; ``-`` for standard input.
        path: the file; None for standard input.
        below: folders between the one that was given and the file, to be kept in the output.
        error: why it cannot be used at all; None if nothing speaks against it yet.
    """

    name: str
    path: Path | None
    below: Path = Path()
    error: ManetError | None = None


def expand_sources(inputs: list[str], *, recursive: bool = False) -> list[Source]:
    """Expand the inputs of a command line, each picture once, in the order given.

    Folders give their pictures by name: files with a known image suffix that are not hidden and were not
    written by this tool. A pattern is expanded where no file has that very name.

    Args:
        inputs: files, folders, glob patterns (``**`` crosses folders) or ``-``.
        recursive: take the folders below a folder too.
    """
    sources: dict[str, Source] = {}
    for name in inputs:
        for source in _expand(name, recursive):
            key = STDIN if source.path is None else os.path.realpath(source.path)
            sources.setdefault(key, source)
    return list(sources.values())


def _expand(name: str, recursive: bool) -> list[Source]:
    if name == STDIN:
        return [Source(name, None)]
    if not name:
        return [Source(name, Path(), error=InputError("an input has an empty name: check the command"))]
    path = Path(name)
    if not os.path.lexists(path) and glob.has_magic(name):
        found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not found:
            return [Source(name, path, error=InputError(f"{name} matches no file: check the pattern"))]
        return [source for match in found for source in _expand(match, recursive)]
    if path.is_dir():
        advice = "" if recursive or not _has_folders(path) else ": try -r"
        nothing = Source(name, path, error=InputError(f"{name} holds no pictures{advice}"))
        return _pictures_in(path, recursive) or [nothing]
    return [Source(name, path)]


def _pictures_in(folder: Path, recursive: bool) -> list[Source]:
    pictures = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        for name in sorted(names):
            path = Path(parent) / name
            if (
                not name.startswith(".")
                and path.suffix.lower() in IMAGE_SUFFIXES
                and not _is_output(path, names)
            ):
                pictures.append(Source(str(path), path, path.parent.relative_to(folder)))
    return pictures


def _has_folders(folder: Path) -> bool:
    return any(child.is_dir() for child in folder.iterdir())


def _is_output(path: Path, siblings: list[str]) -> bool:
    """Whether a picture is one of our results: named so, and with a record in it.

    Of a format that holds no record, a source beside it must do.
    """
    match = _OUTPUT_STEM.fullmatch(path.stem)
    if match is None:
        return False
    named = format_for_suffix(path)
    if named is None or named.record:
        return read_record(path) is not None
    names = map(Path, siblings)
    return any(name.stem == match["source"] and name.suffix.lower() in IMAGE_SUFFIXES for name in names)
