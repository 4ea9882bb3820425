"""Plan the output files of a run, and check them before any work."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from manet_cli.errors import InputError, ManetError, OutputError, Parameter, UsageError
from manet_cli.file_identity import is_file, is_folder
from manet_cli.images import (
    DEFAULT_FORMAT,
    FORMATS,
    Finished,
    Header,
    ImageFormat,
    check_writable_as,
    format_by_name,
    format_for_suffix,
    has_picture_suffix,
    has_readable_suffix,
    listed,
    read_header,
    read_record,
    room_beside,
)
from manet_cli.jobs.kernels.map_writer import check_kernel_map
from manet_cli.jobs.names import result_stem
from manet_cli.jobs.outputs import Claims, Room, least_bytes, say_if_named_like_file
from manet_cli.jobs.record import COMMAND, dial_of, difference, is_kept, made_from, parse_record
from manet_cli.jobs.sources import STDIN, Source, joined_words, names_several
from manet_cli.stopping import end_if_stopped

__all__ = [
    "Destination",
    "Item",
    "MadeMeanwhileError",
    "Planner",
    "check_kernels_path",
    "check_still_free",
    "plan_destination",
]


_SUFFIXES = listed(entry.suffixes[0] for entry in FORMATS)


@dataclass(frozen=True)
class Destination:
    """Where outputs go.

    Attributes:
        folder: folder of all outputs, with the tree of an input folder; None for each beside its input.
        file: path of the only output; None for a name made from the input's name.
        stdout: write the only output to standard output.
        format: format of the outputs.
    """

    folder: Path | None
    file: Path | None
    stdout: bool
    format: ImageFormat


@dataclass(frozen=True)
class Item:
    """One picture of a run.

    Attributes:
        source: the input.
        output: the file to write; None for standard output, or after an error.
        kernels: the kernel map to write, if any.
        header: size and kind of the input; None if unknown (standard input, or unreadable).
        error: why the picture cannot be made; None if no error is known.
        done: the output exists, made from the same input, weights and settings.
        denoise: position of the dial in the record of an existing output; None for none.
        replaces: the run may replace these files if they exist.
    """

    source: Source
    output: Path | None = None
    kernels: Path | None = None
    header: Header | None = None
    error: ManetError | None = None
    done: bool = False
    denoise: float | None = None
    replaces: bool = False


class MadeMeanwhileError(ManetError):
    """Another process made the same output since the plan: the picture is skipped."""


def plan_destination(inputs: list[str], output: str | None, format_name: str | None) -> Destination:
    """Decide whether ``-o`` names a folder, a file or standard output.

    It names a folder if that folder exists, if it ends in a separator or has no image suffix, or if the
    inputs are a folder or several pictures. Otherwise it names a file. ``-`` means standard output, and so
    does standard input without ``-o``.

    Raises:
        UsageError: ``-o`` is empty, has a suffix that cannot be written or contradicts ``--format``, or
            several pictures would go to standard output.
    """
    if output == "":
        raise UsageError(Parameter("output"), " is empty: give a file or a folder")
    format = format_by_name(format_name) if format_name is not None else DEFAULT_FORMAT
    several = len(inputs) > 1 or any(map(names_several, inputs))
    if output == STDIN or (output is None and inputs == [STDIN]):
        if several:
            raise UsageError(
                Parameter("output", STDIN),
                ": standard output takes one picture, but several inputs were given",
            )
        return Destination(None, None, True, format)
    if output is None:
        return Destination(None, None, False, format)
    path = Path(output)
    if is_file(path) and (several or not has_picture_suffix(path)):
        raise UsageError(
            Parameter("output", output),
            *(" is a file, and several inputs need a folder",)
            if several
            else (f" is a file, and {path.suffix or 'no suffix'} cannot be written; use {_SUFFIXES}",),
        )
    if several or is_folder(path) or output.endswith(("/", os.sep)) or not has_picture_suffix(path):
        if all(error is None for _, error in joined_words(inputs)):
            say_if_named_like_file(output)
        return Destination(path, None, False, format)
    named = format_for_suffix(path)
    if named is None:
        raise UsageError(Parameter("output", output), f": {path.suffix} cannot be written; use {_SUFFIXES}")
    if format_name and named != format:
        raise UsageError(
            Parameter("output", output),
            *(" and ", Parameter("format", format_name), " name different formats; give one of them"),
        )
    return Destination(None, path, False, named)


def check_kernels_path(path: str) -> None:
    """Check that ``--save-kernels`` names a folder or a .npy file.

    Raises:
        UsageError: it names neither.
    """
    if path in ("", STDIN) or (has_picture_suffix(Path(path)) and not is_folder(Path(path))):
        raise UsageError(Parameter("save_kernels", path), ": expected a folder or a .npy file")


def check_still_free(item: Item, record: str) -> None:
    """Check that no file appeared at an item's paths since the plan. The caller has locked these paths.

    Raises:
        MadeMeanwhileError: the output appeared, with the same record.
        OutputError: another file appeared.
    """
    for path in () if item.replaces else (item.output, item.kernels):
        if path is None or not os.path.lexists(path):
            continue
        if path == item.output and item.kernels is None and read_record(path) == record:
            raise MadeMeanwhileError(f"{path} was made by another process")
        raise OutputError(
            f"{path} appeared after the run was planned: run the command again, give ",
            *(Parameter("overwrite", True), " or choose another ", Parameter("output")),
        )


class Planner:
    """Plans pictures one after the other. An error goes into the picture's item and does not stop the others.

    Args:
        sources: all inputs.
        destination: where outputs go.
        scale: output pixels per input pixel along a side.
        kernels: value of ``--save-kernels``: a folder, or for a single input also a .npy file; None for no
            kernel maps.
        overwrite: replace existing outputs that were made from other inputs, weights or settings.
        max_pixels: larger inputs get an error.
        result_of: returns the header of an input's result.
        ending_of: returns the end of the result's name before the suffix, for the input's header or None.
        besides: other files that the run reads; they are never overwritten.
        weights_sha256: digest of the weights, compared with the record of an existing output.
        settings: settings that change pixels, compared in the same way.
        command: command of the run, compared in the same way.

    Attributes:
        results: inputs that this tool made from other inputs. They are left out, so that a second run over
            ``*.png`` does not enlarge the results of the first.
    """

    def __init__(
        self,
        sources: list[Source],
        destination: Destination,
        *,
        scale: int,
        kernels: str | None,
        overwrite: bool,
        max_pixels: int,
        result_of: Callable[[Header], Header],
        ending_of: Callable[[Header | None], str],
        weights_sha256: str,
        settings: Mapping[str, object],
        command: str = COMMAND,
        besides: Sequence[Path] = (),
    ) -> None:
        self._destination = destination
        self._scale = scale
        self._kernels = kernels
        self._overwrite = overwrite
        self._max_pixels = max_pixels
        self._result_of = result_of
        self._ending_of = ending_of
        self._weights_sha256 = weights_sha256
        self._settings = settings
        self._command = command
        self._single = len(sources) == 1
        stems = {source.path.stem for source in sources if source.path}
        self.results = [source for source in sources if source.path and _is_result(source.path, stems)]
        results = set(self.results)
        self._sources = [source for source in sources if source not in results]
        self._room = Room()
        self._claims = Claims(self._sources, overwrite=overwrite, besides=besides)

    def plan(self) -> list[Item]:
        """Plan all pictures."""
        return [self._item(source) for source in self._sources]

    def _item(self, source: Source) -> Item:
        if source.error:
            return Item(source, error=source.error)
        item = Item(source, None, self._kernels_path(source), replaces=self._overwrite)
        try:
            if source.path is not None:
                item = replace(item, header=self._checked_header(source.path, source.name, item.kernels))
            item = replace(item, output=self._output_path(source, item.header))
            made = self._made(item, source.path) if source.path is not None and item.output else None
            if made is not None:
                return self._made_item(item, made)
            if (output := item.output) is not None:
                self._claims.claim(output, source, differs=lambda: self._difference(output, source))
            if item.kernels is not None:
                self._claims.claim(item.kernels, source)
            self._take_room(item)
            return item
        except ManetError as error:
            end_if_stopped()
            return replace(item, error=error)

    def _output_path(self, source: Source, header: Header | None) -> Path | None:
        to = self._destination
        if to.stdout or to.file:
            return to.file
        name = f"{_stem(source)}{self._ending_of(header)}{to.format.suffixes[0]}"
        if to.folder:
            return to.folder / source.below / name
        return source.path.with_name(name) if source.path and source.path.name else Path(name)

    def _kernels_path(self, source: Source) -> Path | None:
        if self._kernels is None:
            return None
        path = Path(self._kernels)
        if path.suffix.lower() == ".npy" and self._single and not is_folder(path):
            return path
        return path / source.below / f"{_stem(source)}_x{self._scale}_kernels.npy"

    def _checked_header(self, path: Path, name: str, kernels: Path | None) -> Header:
        header = read_header(path, name, self._max_pixels)
        result = self._result_of(header)
        check_writable_as(
            self._destination.format, result.width, result.height, alpha=result.has_alpha, bits=result.bits
        )
        if kernels:
            check_kernel_map(header.height, header.width, large=False)
        return header

    def _take_room(self, item: Item) -> None:
        if item.header is None:
            return
        if item.output:
            fmt, result = self._destination.format, self._result_of(item.header)
            self._room.take(item.output, least_bytes(fmt, result), room_beside(fmt, result))
        if item.kernels:
            size = check_kernel_map(item.header.height, item.header.width, large=False)
            self._room.take(item.kernels, size)

    def _made(self, item: Item, path: Path) -> Finished | None:
        """Return the existing output if it was made from the same input, weights and settings; else None.

        Raises:
            OutputError: its size was changed later. With ``overwrite``, return None instead.
        """
        output, header = item.output, item.header
        assert output is not None
        assert header is not None
        try:
            made = made_from(output, path, self._weights_sha256, self._settings, self._command)
        except OSError as error:
            raise InputError(f"{item.source.name} cannot be read ({error.strerror})") from error
        planned = self._result_of(header)
        if made is None or made.size in (None, (planned.width, planned.height)):
            return made
        width, height = made.size
        if self._overwrite:
            return None
        raise OutputError(
            f"{output} was made from this input, then changed "
            f"from {planned.width}x{planned.height} to {width}x{height} pixels: give ",
            *(Parameter("overwrite", True), " or choose another ", Parameter("output")),
        )

    def _difference(self, output: Path, source: Source) -> str:
        """Return why an existing output is not the result of this run."""
        return difference(
            read_record(output), source.path, self._weights_sha256, self._settings, self._command
        )

    def _made_item(self, item: Item, made: Finished) -> Item:
        """Plan a picture whose output exists: skip it, or make it again if something is missing."""
        assert item.output is not None
        kernels = item.kernels if item.kernels and not is_file(item.kernels) else None
        if is_kept(item.output, made) and kernels is None:
            self._claims.keep(item.output, item.source)
            return replace(item, done=True, denoise=dial_of(made))
        # Making it again, even if only the kernel map is missing, replaces it with the same bytes.
        self._claims.claim(item.output, item.source, replaces=True)
        if kernels is not None:
            self._claims.claim(kernels, item.source)
        item = replace(item, kernels=kernels, replaces=True)
        self._take_room(item)
        return item


def _is_result(path: Path, stems: set[str]) -> bool:
    """Whether, by its name and record, this tool made a picture from another one with one of these stems."""
    return (
        has_readable_suffix(path)
        and result_stem(path) in stems
        and parse_record(read_record(path)) is not None
    )


def _stem(source: Source) -> str:
    return source.path.stem if source.path else "stdin"
