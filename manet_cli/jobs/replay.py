"""Make the command that repeats a result from the record inside it."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from manet_cli.errors import InputError, UsageError
from manet_cli.file_identity import is_file, is_folder
from manet_cli.images import format_for_suffix, has_readable_suffix, read_record
from manet_cli.jobs.blur.source import read_kernel
from manet_cli.jobs.explore.html import is_page, page_record
from manet_cli.jobs.record import SETTINGS, Record, parse_record
from manet_cli.weights import (
    DEFAULT_FAMILY,
    DEFAULT_SCALE,
    file_sha256,
    find_entry,
    list_weights,
    load_manifest,
    locate_weights,
    pair_digest,
)

__all__ = ["Replay", "plan_replay"]

_KERNEL_SIZE = 21
_SHOWN = 60  # characters of an invalid value in messages

_OUTPUT_OPTIONS = {"upscale": "-o", "deblur": "-o", "compare": "-o", "kernels": "--picture", "explore": "-o"}
"""For each command that writes records, its option for the output."""


@dataclass(frozen=True)
class Replay:
    """A command that repeats a result.

    Attributes:
        record: the record in the result.
        input: path of the input.
        command: the command, as words.
    """

    record: Record
    input: Path
    command: tuple[str, ...]

    def line(self) -> str:
        """Return the command for a POSIX shell, or on Windows for its shell."""
        return subprocess.list2cmdline(self.command) if os.name == "nt" else shlex.join(self.command)


def plan_replay(
    output: Path,
    *,
    sought: Path | None = None,
    model: str | None = None,
    kernel: Path | None = None,
    target: Path | None = None,
) -> Replay:
    """Find the input of a result, and the command that repeats it.

    Args:
        output: the result.
        sought: the input, or a folder to search with its subfolders; by default the folder of the result and
            the folder above are searched.
        model: the weights, if they are neither in the manifest nor pulled.
        kernel: file of the blur; needed if the result was made with one.
        target: the file to write; by default the result.

    Raises:
        InputError: the result does not exist or has no record, or an input is not found.
        WeightsError: there are no weights called ``model``.
        UsageError: ``model`` or ``kernel`` differs from the recorded one.
    """
    record = _record_in(output)
    source = _find_input(record, output, sought)
    target = target or output
    if record.command not in _OUTPUT_OPTIONS:
        raise InputError(
            f"{output} was made by {record.tool} with an unknown command, {record.command!r}: "
            "replay it with that version"
        )
    if record.command == "explore":
        if not is_page(target):
            raise InputError(
                f"{output} is a page of 'manet explore', and {target} is not named .html: give -o FILE.html"
            )
    elif format_for_suffix(target) is None:
        raise InputError(f"{target}: pictures with this suffix cannot be written; give -o FILE with another")
    words = ["manet", record.command, _path_word(source)]
    words += [_OUTPUT_OPTIONS[record.command], _path_word(target)]
    name = _model_word(record, output, model)
    _check_coarse(record, output, name)
    words += ["--model", name, *_setting_words(record, output, kernel, sought)]
    return Replay(record, source, tuple(words))


def _record_in(output: Path) -> Record:
    if not is_file(output):
        raise InputError(f"{output} is not a file: give a picture or page written by manet")
    record = parse_record(page_record(output) if is_page(output) else read_record(output))
    if record is not None:
        return record
    named = format_for_suffix(output)
    if named is not None and not named.record:
        raise InputError(f"{output} holds no record of how it was made: {named.name.upper()} cannot hold one")
    raise InputError(
        f"{output} holds no record of how it was made: manet did not write it, another program removed it, "
        "or the file is cut off"
    )


def _find_input(record: Record, output: Path, sought: Path | None) -> Path:
    """Return the first file with the recorded content; try the recorded name first."""
    for path in dict.fromkeys(_candidates(record.input_name, output, sought)):
        if _has_content(path, record.input_sha256):
            return path
    where = f"at {sought}" if sought else "beside it or in the folder above"
    raise InputError(
        f"{output} was made from {record.input_name} (sha256 {record.input_sha256[:16]}...), but no file "
        f"{where} has that content: give the picture, or a folder above it, with --input"
    )


def _has_content(path: Path, digest: str) -> bool:
    """Whether a file exists, is readable and has this digest."""
    try:
        return is_file(path) and file_sha256(path) == digest
    except OSError:
        return False


def _candidates(name: str, output: Path, sought: Path | None) -> Iterator[Path]:
    name = Path(name).name  # records are untrusted: stay in the folder
    if sought is None:
        folder = output.parent
        yield folder / name
        yield (folder.parent if folder.name not in ("", "..") else folder / "..") / name
        yield from (path for path in _pictures(folder) if path.name != output.name)
    elif not is_folder(sought):
        yield sought
    else:
        folders = [Path(parent) for parent, _, _ in os.walk(sought)]
        yield from (folder / name for folder in folders)
        for folder in folders:
            yield from _pictures(folder)


def _pictures(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if has_readable_suffix(path))
    except OSError:
        return []


def _path_word(path: Path) -> str:
    """Return a path as a word that cannot be read as an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def _model_word(record: Record, output: Path, model: str | None) -> str:
    """Return the value of ``--model`` for the recorded weights."""
    digest, scale = record.weights_sha256, record.settings.get("scale")
    if digest in map(pair_digest, (2, 3, 4)) and model in (None, DEFAULT_FAMILY):
        return DEFAULT_FAMILY
    if model is not None:
        if locate_weights(model, scale if isinstance(scale, int) else None).sha256 != digest:
            raise UsageError(f"--model {model}: {output} was made with other weights, of sha256 {digest}")
        return _path_word(Path(model)) if is_file(Path(model)) else model
    return _known_model(digest, output)


def _known_model(digest: str, output: Path) -> str:
    for entry in load_manifest():
        if entry.sha256 == digest:
            return entry.family if find_entry(entry.family, entry.scale) == entry else entry.name
    for row in list_weights():
        if row["sha256"] == digest:
            return str(row["name"])
    raise InputError(
        f"{output} was made with weights of sha256 {digest}, which are not known here: give them with --model"
    )


def _check_coarse(record: Record, output: Path, model: str) -> None:
    """Raise UsageError if the recorded weights for a wide blur differ from the present ones."""
    digest = record.settings.get("coarse-weights")
    if digest is not None and locate_weights(model, DEFAULT_SCALE).sha256 != digest:
        raise UsageError(
            f"for a wide blur, {output} was made with weights of sha256 {digest}; {model} now has others: "
            f"replay it with {record.tool}"
        )


def _setting_words(record: Record, output: Path, kernel: Path | None, sought: Path | None) -> list[str]:
    """Return the options for the recorded settings."""
    words = []
    # manet deblur has no --scale: the weights set it.
    no_options = {"coarse-weights", "scale"} if record.command == "deblur" else {"coarse-weights"}
    for name, value in record.settings.items():
        # Records are untrusted: allow only known settings.
        if name not in SETTINGS or not SETTINGS[name](value):
            raise InputError(
                f"{output} was made by {record.tool} with an unknown setting, "
                f"{_shortened(name)} = {_shortened(repr(value))}: replay it with that version"
            )
        if name in no_options:
            continue
        if name in ("model", "with"):
            for digest in str(value).split(","):
                words += [f"--{name}", _further(name, digest, output, sought)]
        elif name == "blur":
            words += _blur_words(str(value), output, kernel)
        elif name == "denoise":
            words.append(f"--denoise={str(value).rpartition(' ')[2]}")  # the number of "auto 0.35"
        elif value is True:
            words.append(f"--{name}")
        elif value is not False:
            words.append(f"--{name}={value}")
    if record.settings.get("precision") == "int8":
        words.append("--device=openvino")  # the only device that can run int8
    return words


def _further(name: str, digest: str, output: Path, sought: Path | None) -> str:
    """Find further weights or another input file by digest."""
    if name == "model":
        return _known_model(digest, output)
    for path in dict.fromkeys(_candidates("", output, sought)):
        if _has_content(path, digest):
            return _path_word(path)
    raise InputError(
        f"{output} was also made with a file of sha256 {digest[:16]}..., which is not beside it: put it there"
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _blur_words(blur: str, output: Path, kernel: Path | None) -> list[str]:
    kind, _, value = blur.partition(" ")
    if kind == "sigma":
        return [f"--sigma={value}"]
    if blur == "estimated":
        return []
    if kernel is None:
        raise InputError(f"{output} was made with a blur from a file: give the file with --kernel")
    if kind == "kernel-map":
        if not is_file(kernel) or file_sha256(kernel) != value:
            raise UsageError(f"--kernel {kernel}: {output} was made with another kernel map")
        return ["--kernel-map", _path_word(kernel)]
    if read_kernel(kernel, _KERNEL_SIZE).description != blur:
        raise UsageError(f"--kernel {kernel}: {output} was made with another kernel")
    return ["--kernel", _path_word(kernel)]
