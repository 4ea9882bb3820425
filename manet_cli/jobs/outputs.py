"""Check the outputs of a run: each belongs to one input, and the disk has space for all."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from manet_cli.atomic import check_folder, check_name
from manet_cli.errors import InputError, ManetError, OutputError, Parameter, UsageError
from manet_cli.file_identity import FileLedger, existing_folder, is_file, is_folder, ledger_of
from manet_cli.images import (
    DEFAULT_FORMAT,
    Header,
    ImageFormat,
    format_for_suffix,
    read_finished,
)
from manet_cli.jobs.record import parse_record
from manet_cli.jobs.sources import STDIN, Source

__all__ = [
    "Claims",
    "Room",
    "check_no_original",
    "check_outputs",
    "collision",
    "files_among",
    "least_bytes",
    "path_beside",
    "say_if_named_like_file",
]

_log = logging.getLogger(__name__)

_LIKE_SUFFIX = re.compile(r"\.[A-Za-z]{2,11}\d{0,4}")
_OUTPUT, _OVERWRITE = Parameter("output"), Parameter("overwrite", True)


class Claims:
    """The inputs of a run and the files claimed so far; nothing is written.

    Args:
        sources: all inputs.
        overwrite: files that exist may be replaced, but never an input.
        besides: other files that the run reads, such as weights.
    """

    def __init__(self, sources: list[Source], *, overwrite: bool, besides: Iterable[Path] = ()) -> None:
        self._overwrite = overwrite
        paths = (source.path for source in sources if source.path is not None)
        self._inputs = ledger_of((*paths, *besides))
        self._claimed = FileLedger[Source](links=False)
        self._folders: dict[Path, ManetError | None] = {}

    def keep(self, path: Path, source: Source) -> None:
        """Claim an existing file that is not written again; the first claim counts."""
        self._claimed.add(path, source)

    def claim(
        self, path: Path, source: Source, *, replaces: bool = False, differs: Callable[[], str] | None = None
    ) -> None:
        """Claim a file to write.

        Args:
            path: the file.
            source: the input that it is made from.
            replaces: it may be replaced, even without ``overwrite``.
            differs: returns why an existing file is not the result; None for files without records.

        Raises:
            OutputError: it is an input or the output of another input, exists and may not be replaced, or its
                folder cannot be written to.
        """
        check_name(path)
        if self._inputs.find(path) is not None:
            raise OutputError(
                f"{path} is an input, and inputs are never overwritten: choose another ", _OUTPUT
            )
        owner, alike = self._claimed.find(path), self._claimed.alike(path)
        if alike is not None:
            what = f"{path} and {alike[0]}, which are one file on a disk that ignores case"
            raise collision(what, source, alike[1])
        if owner is not None:
            raise collision(str(path), source, owner)
        self._check_folder(path.parent)  # first: another name or --overwrite would not help
        if is_folder(path):
            raise OutputError(f"{path} is a folder: choose another ", _OUTPUT)
        if not replaces:
            check_no_original(path, _OUTPUT)
        if os.path.lexists(path) and not (self._overwrite or replaces):
            raise OutputError(*_why_kept(path, differs))
        self.keep(path, source)

    def _check_folder(self, folder: Path) -> None:
        if folder not in self._folders:
            self._folders[folder] = _folder_error(folder)
        found = self._folders[folder]
        if found is not None:
            raise found


def collision(outputs: str, source: Source, other: Source) -> OutputError:
    """Return the error for two inputs with the same output; it says how to get two outputs.

    Args:
        outputs: the output, or several names of it.
        source: the input that gets the error.
        other: the input that claimed the file first.
    """
    said = f"{other.name} and {source.name} would both become {outputs}: "
    folders = [os.path.abspath(found.path.parent) for found in (other, source) if found.path]  # noqa: PTH100
    apart = len(set(folders)) > 1 and len({os.path.splitdrive(folder)[0] for folder in folders}) == 1
    if apart:
        above = os.path.relpath(os.path.commonpath(folders))
        return OutputError(
            f"{said}give ",
            *(Parameter("recursive", True), f" and the folder above both, {above}, to keep the tree"),
            *(", or another ", _OUTPUT, " for one of them"),
        )
    return OutputError(f"{said}make one of them in a second run with another ", _OUTPUT, ", or rename it")


def _folder_error(folder: Path) -> ManetError | None:
    """Return why files cannot be created in a folder, which may not exist yet; None if they can."""
    try:
        check_folder(existing_folder(folder))
    except OutputError as error:
        return error
    return None


def _why_kept(path: Path, differs: Callable[[], str] | None) -> tuple[object, ...]:
    named = format_for_suffix(path)
    if named is not None and not named.record:
        return (
            f"{path} exists, and {named.name.upper()} has no place for the record of its input: give ",
            *(_OVERWRITE, " to make it again, or ", Parameter("format", DEFAULT_FORMAT.name)),
        )
    why = f" and {differs()}" if differs else ""
    return (f"{path} exists{why}: give ", _OVERWRITE, " to replace it, or choose another ", _OUTPUT)


def check_no_original(path: Path, parameter: Parameter) -> None:
    """Check that an output is no photo as a camera wrote it: one with a camera's EXIF and without a record.

    Raises:
        OutputError: it is one.
    """
    found = read_finished(path) if is_file(path) else None
    if found is not None and found.camera is not None and parse_record(found.record) is None:
        raise OutputError(
            f"{path} names a camera in its EXIF ({found.camera[:60]}) and has no record of this tool, so it "
            "may be an original and is not replaced, even with ",
            *(_OVERWRITE, ": choose another ", parameter, " or move it away first"),
        )


def path_beside(name: str, ending: str) -> Path:
    """Return the path of a result beside its input, ``-`` for standard input: the stem and an ending.

    Raises:
        InputError: the input's name has no file name, such as "." or "".
    """
    source = Path("stdin" if name == STDIN else name)
    if name and is_folder(source):
        raise InputError(f"{name} is a folder: give one picture in it")
    if not source.name:
        raise InputError(f"{name!r} is not a file: give a picture")
    return source.with_name(f"{source.stem}{ending}")


def say_if_named_like_file(output: str | Path) -> None:
    """Warn if an output folder that does not exist yet is named like a file, such as ``result.png``."""
    path = Path(output)
    if (
        _LIKE_SUFFIX.fullmatch(path.suffix)
        and not str(output).endswith(("/", os.sep))
        and not os.path.lexists(path)
    ):
        _log.warning("%s is taken as the name of a folder here", output)


def files_among(*names: object) -> list[Path]:
    """Return the existing files among the values of options."""
    return [Path(name) for name in names if isinstance(name, str | Path) and is_file(Path(name))]


def check_outputs(
    source: Path | None,
    outputs: dict[str, Path | None],
    *,
    overwrite: bool,
    replaced: Iterable[Path] = (),
    besides: Iterable[Path] = (),
    differs: Mapping[str, Callable[[], str]] = MappingProxyType({}),
) -> None:
    """Check the outputs of one picture; nothing is written.

    Args:
        source: the picture; None for standard input.
        outputs: name of the parameter -> path; None for an output that is not wanted.
        overwrite: files that exist may be replaced, but never the input.
        replaced: outputs that may be replaced in any case.
        besides: other files that are read, such as weights.
        differs: name of the parameter -> returns why an existing file is not the result of this run.

    Raises:
        OutputError: an output exists, or is the input, or its folder cannot be written to.
        UsageError: two outputs are the same file.
    """
    inputs = ledger_of((*besides, *([] if source is None else [source])))
    claimed = FileLedger[str](links=False)
    for name, path in outputs.items():
        if path is None:
            continue
        parameter = Parameter(name)
        check_name(path)
        check_folder(existing_folder(path.parent))
        if (read := inputs.find(path)) is not None:
            the = "the" if read == source else "an"
            raise OutputError(
                f"{path} is {the} input, and inputs are never overwritten: choose another ", parameter
            )
        other = claimed.find(path)
        claimed.add(path, name)
        if other is not None:
            raise UsageError(Parameter(other), " and ", parameter, f" both name {path}: choose two names")
        if is_folder(path):
            raise OutputError(f"{path} is a folder: choose another ", parameter)
        if path in replaced:
            continue
        check_no_original(path, parameter)
        if os.path.lexists(path) and not overwrite:
            why = f" and {differs[name]()}" if name in differs else ""
            raise OutputError(f"{path} exists{why}: give ", _OVERWRITE, " or choose another ", parameter)


# Bytes of a run below which the space is not checked: a failed attempt costs less than a wrong estimate.
_UNCHECKED = 16 << 20


def least_bytes(fmt: ImageFormat, header: Header) -> int:
    """Estimate the smallest likely file of a photo, in bytes."""
    plain = header.width * header.height * (header.channels + header.has_alpha) * header.bits // 8
    return int(plain * fmt.least_share)


class Room:
    """Free space of the disks that a run writes to, counted down picture by picture."""

    def __init__(self) -> None:
        self._left: dict[int, int] = {}
        self._taken: dict[int, int] = {}

    def take(self, path: Path, size: int, spare: int = 0) -> None:
        """Count `size` bytes of `path`'s disk as used, and check that `spare` more bytes are free.

        Raises:
            OutputError: the disk has too little free space.
        """
        folder = existing_folder(path.parent)
        try:
            device = folder.stat().st_dev
            left = self._left.setdefault(device, shutil.disk_usage(folder).free)
        except OSError:
            return  # writing will report the error
        taken = self._taken.get(device, 0) + size
        if size + spare > left and taken + spare > _UNCHECKED:
            raise OutputError(
                f"{path.name} will take at least {_shown(size + spare)} of disk, and {folder} has "
                f"{_shown(max(left, 0))} left: free some space or choose another folder"
            )
        self._left[device] = left - size
        self._taken[device] = taken


def _shown(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"
