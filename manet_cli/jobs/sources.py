"""Expand inputs (files, folders, patterns, lists, stdin) to pictures."""

from __future__ import annotations

import codecs
import glob
import itertools
import logging
import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from manet_cli.atomic import is_temporary
from manet_cli.errors import InputError, ManetError, Parameter, UsageError
from manet_cli.file_identity import MOST_WORDS, FileLedger, is_folder, quoted, unquoted_file
from manet_cli.images import (
    format_for_suffix,
    has_raw_suffix,
    has_readable_suffix,
    listed,
    read_record,
)
from manet_cli.jobs.names import result_stem
from manet_cli.jobs.record import parse_record
from manet_cli.regular_file import read_regular, read_stream

__all__ = ["STDIN", "Source", "expand_sources", "joined_words", "names_several"]

logger = logging.getLogger(__name__)

STDIN = "-"
_LIST = "@"
_ANY_DEPTH = "**"
_LONGEST_LIST = 64 << 20  # bytes
_MOST_NAMES = 1_000_000
_THUMBNAILS = "@eaDir"  # folder of thumbnails that some NAS put into every folder
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Source:
    """One picture to work on.

    Attributes:
        name: the path in the user's form; ``-`` for standard input.
        path: the file; None for standard input.
        below: folders between the given folder and the file, kept in the output.
        error: why the input cannot be used; None if no error is known.
    """

    name: str
    path: Path | None
    below: Path = Path()
    error: ManetError | None = None


def expand_sources(inputs: list[str], *, recursive: bool = False) -> list[Source]:
    """Expand the inputs of a command line, each picture once, in the given order.

    A folder gives its pictures sorted by name: files with a known image suffix, without hidden files and
    without results of this tool, whose number is logged. Links to folders below it are not followed, and
    folders of thumbnails are skipped unless given by name. A pattern or list is expanded only if no file has
    this name. A missing name is also looked up in the other Unicode form (NFC, NFD).

    Args:
        inputs: files, folders, glob patterns (``**`` crosses folders), ``-``, or ``@FILE`` for a list of
            files and folders, one per line or separated by NUL; ``@-`` reads the list from standard input.
        recursive: include the subfolders of a folder.

    Raises:
        UsageError: standard input is given both as a picture and as a list.
    """
    if STDIN in inputs and _LIST + STDIN in inputs:
        raise UsageError("- and @- both read standard input; give one of them")
    sources: list[Source] = []
    # A link to a picture counts as another picture: its name differs, and so does the result's name.
    seen = FileLedger[Source](links=False, names=True)
    for name, error in dict.fromkeys(joined_words(inputs)):
        for source in _expand(name, recursive) if error is None else [Source(name, Path(name), error=error)]:
            if source.path is None or seen.find(source.path) is None:
                sources.append(source)
            if source.path is not None:
                seen.add(source.path, source)
    return sources


def joined_words(inputs: Sequence[str]) -> Iterator[tuple[str, InputError | None]]:
    """Yield the inputs; words that together name a file become one input with an error."""
    start = 0
    while start < len(inputs):
        split = unquoted_file(inputs[start : start + MOST_WORDS])
        if split is None:
            yield inputs[start], None
            start += 1
        else:
            name, count = split
            yield name, InputError(f"the name {name} has spaces: type it in quotes, {quoted(name)}")
            start += count


def names_several(name: str) -> bool:
    """Whether an input may be several pictures: a folder, a pattern or a list."""
    if is_folder(Path(name)):
        return True
    return (glob.has_magic(name) or name.startswith(_LIST)) and not os.path.lexists(name)


def _expand(name: str, recursive: bool) -> list[Source]:
    if name == STDIN:
        return [Source(name, None)]
    if not name:
        return [Source(name, Path(), error=InputError("an input has an empty name: check the command"))]
    if os.path.lexists(name):
        return _named(name, recursive)
    if name.startswith(_LIST):
        return _listed(name, recursive)
    if glob.has_magic(name):
        spellings = dict.fromkeys((name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))))
        found = next(filter(None, map(_matches, spellings)), [])
        if not found:
            return [Source(name, Path(name), error=InputError(f"{name} matches no file: check the pattern"))]
        return [source for match in found for source in _named(match, recursive)]
    return _named(name, recursive)


def _named(name: str, recursive: bool) -> list[Source]:
    """Expand a name without pattern: the pictures of a folder, or a file."""
    name = _spelled(name)
    path = Path(name)
    if is_folder(path):
        return _pictures_in(path, recursive)
    return [Source("./-" if name == STDIN else name, path)]


def _spelled(name: str) -> str:
    """Return a name in the Unicode form of the existing file; unchanged if there is none."""
    if os.path.lexists(name):
        return name
    found = ""
    for part in Path(name).parts:
        forms = (part, unicodedata.normalize("NFC", part), unicodedata.normalize("NFD", part))
        paths = [os.path.join(found, form) for form in forms]  # noqa: PTH118 - keeps ./ and the like
        found = next((path for path in paths if os.path.lexists(path)), paths[0])
    return found if os.path.lexists(found) else name


def _matches(pattern: str) -> list[str]:
    """Return the paths that match a pattern, sorted; ``**`` crosses folders, but not links to folders."""
    parts = Path(pattern).parts
    if _ANY_DEPTH not in parts:
        found = glob.glob(pattern)  # noqa: PTH207 - Path.glob takes no absolute pattern
    else:
        at = parts.index(_ANY_DEPTH)
        rest = parts[at + 1 :] or ("*",)
        found = []
        for base in _matches(str(Path(*parts[:at]))) if at else ["."]:
            for parent, folders, _ in os.walk(base):
                folders[:] = [name for name in folders if not name.startswith(".") and name != _THUMBNAILS]
                found += _matches(str(Path(glob.escape(parent), *rest)))
    asked = _THUMBNAILS in parts

    def wanted(match: str) -> bool:
        path = Path(match)
        return not is_temporary(path) and (asked or _THUMBNAILS not in path.parts)

    return sorted(filter(wanted, set(found)))


def _listed(name: str, recursive: bool) -> list[Source]:
    """Expand a list of files and folders, relative to the current folder, without patterns."""
    file = name.removeprefix(_LIST)

    def failed(reason: str) -> list[Source]:
        return [Source(name, Path(name), error=InputError(f"{name}: {reason}"))]

    if has_readable_suffix(Path(file)):
        return failed(f"there is no such file, and a list of names is a text file, not a picture like {file}")
    try:
        if file != STDIN:
            data = read_regular(Path(file), _LONGEST_LIST)
        elif sys.stdin is None:
            return failed("standard input is closed: give a file")
        else:
            data = read_stream(sys.stdin.buffer, _LONGEST_LIST)
        lines = list(itertools.islice(_lines(data), _MOST_NAMES + 1))
    except OSError as error:
        return failed(f"the list cannot be read ({error.strerror}): give a text file, or a pipe as {_LIST}-")
    except UnicodeError:
        return failed("the list is cut off within a character: write it again")
    if not lines:
        return failed("the list is empty")
    if len(lines) > _MOST_NAMES:
        return failed(f"the list has more than {_MOST_NAMES} names: split it")
    return [source for line in lines for source in _named(line, recursive)]


def _lines(data: bytes) -> Iterator[str]:
    """Yield the non-empty names in a list, separated by NUL if it has any, else by newlines."""
    if data.startswith(_UTF16):  # from redirects in Windows PowerShell
        data = data.decode("utf-16").encode()
    data = data.removeprefix(codecs.BOM_UTF8)
    separator = b"\0" if b"\0" in data else b"\n"
    for line in data.split(separator):
        name = line if separator == b"\0" else line.removesuffix(b"\r")
        if name:
            yield os.fsdecode(name)


def _pictures_in(folder: Path, recursive: bool) -> list[Source]:
    """Return the pictures in a folder, and a source with an error for each unreadable folder."""
    errors: list[Source] = []
    pictures: list[Path] = []
    others: Counter[str] = Counter()
    deeper, thumbnails = False, 0

    def unreadable(error: OSError) -> None:
        name = str(error.filename)
        reason = f"the folder {name} cannot be read ({error.strerror}): check its permissions"
        errors.append(Source(name, Path(name), error=InputError(reason)))

    for parent, folders, names in os.walk(folder, onerror=unreadable):
        below = sorted(name for name in folders if not name.startswith(".") and name != _THUMBNAILS)
        thumbnails += _THUMBNAILS in folders
        deeper = deeper or bool(below)
        folders[:] = below if recursive else []
        for name in folders:
            _warn_of_link(Path(parent, name), folder)
        for path in (Path(parent, name) for name in sorted(names) if not name.startswith(".")):
            if has_readable_suffix(path):
                pictures.append(path)
            else:
                others[path.suffix.lower()] += 1
    pictures = _without_raw_twins(pictures, folder)
    stems = {path.stem for path in pictures}
    kept = [path for path in pictures if not _is_result(path, stems)]
    if others and pictures:
        logger.warning("%s: skipped %s", folder, _counted(others))
    if thumbnails and recursive:
        logger.warning(
            "%s: skipped %s named %s, where a NAS puts thumbnails",
            *(folder, _number_of(thumbnails, "folder"), _THUMBNAILS),
        )
    if len(kept) < len(pictures) and kept:
        logger.warning(
            "%s: skipped %s that this tool made",
            *(folder, _number_of(len(pictures) - len(kept), "picture")),
        )
    if kept or errors:
        return [Source(str(path), path, path.parent.relative_to(folder)) for path in kept] + errors
    but = f" but {len(pictures)} that this tool made" if pictures else ""
    if others:
        but += f", only {_counted(others)}"
    advice = (": try ", Parameter("recursive", True)) if deeper and not recursive else ()
    return [Source(str(folder), folder, error=InputError(f"{folder} holds no pictures{but}", *advice))]


def _counted(suffixes: Counter[str]) -> str:
    """Return the numbers of files by suffix, most frequent first: ``3 .cr2 and 1 .mov files``."""
    parts = [f"{count} {suffix or 'without a suffix'}" for suffix, count in suffixes.most_common()]
    return f"{listed(parts, 'and')} {'file' if suffixes.total() == 1 else 'files'}"


def _without_raw_twins(pictures: list[Path], folder: Path) -> list[Path]:
    """Drop raw files with another picture of the same name beside them, and log their number."""
    developed = {(path.parent, path.stem.lower()) for path in pictures if not has_raw_suffix(path)}
    kept = [
        path
        for path in pictures
        if not (has_raw_suffix(path) and (path.parent, path.stem.lower()) in developed)
    ]
    if left_out := len(pictures) - len(kept):
        logger.warning(
            "%s: skipped raw files with a picture of the same name beside them: %d", folder, left_out
        )
    return kept


def _number_of(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"


def _warn_of_link(path: Path, root: Path) -> None:
    if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
        logger.warning("%s is a link to a folder: skipped; name it as an input to include it", path)


def _is_result(path: Path, stems: set[str]) -> bool:
    """Whether a picture was written by this tool: it has a record.

    In a format without records: it is named after another picture. ``stems`` are the stems of all pictures.
    """
    named = format_for_suffix(path)
    if named is None or named.record:
        return parse_record(read_record(path)) is not None
    return result_stem(path) in stems
