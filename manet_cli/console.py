"""The only module that prints. Results go to stdout, everything else to stderr.

File names, records and answers of servers may hold characters that steer a terminal or forge a line. Text for
people goes through `printable`. Result lines do so only on a terminal: scripts need the exact bytes.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from manet_cli.errors import ManetError, Message, Parameter
from manet_cli.jobs.durations import duration
from manet_cli.jobs.progress import BatchProgress
from manet_cli.stopping import end_if_stopped

if TYPE_CHECKING:
    from manet_cli.training import StepReport

__all__ = [
    "Reporter",
    "print_error",
    "print_json",
    "print_lines",
    "print_table",
    "printable",
    "to_text",
]

_OPTIONS = {"output": "-o", "recursive": "-r", "scale": "-s", "validation": "--val"}
"""Parameter -> its option, if the names differ or the short name is better known."""


# Control characters, format characters (such as text direction), lone surrogates, line separators.
_STEERING = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_JOINERS = "\u200c\u200d"  # used in Persian, Indian scripts and emoji


def _stderr() -> Console:
    return Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)


def printable(text: str) -> str:
    r"""Escape the characters that steer a terminal or break the line, such as ``\x1b``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in _JOINERS or unicodedata.category(character) not in _STEERING:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte outside the system's encoding (surrogateescape)
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def to_text(message: ManetError | Message | str) -> str:
    """Return a message for the command line: parameters become options."""
    return message if isinstance(message, str) else message.spelled(_option)


def _json_text(value: object) -> str:
    """Encode a message as text for JSON."""
    if isinstance(value, ManetError | Message):
        return to_text(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def _option(parameter: Parameter) -> str:
    """Return the option for a parameter, with its value."""
    option = _OPTIONS.get(parameter.name, "--" + parameter.name.replace("_", "-"))
    value = parameter.value
    if value is None or value is True:
        return option
    return f"{option} {value:g}" if isinstance(value, float) else f"{option} {value}"


def print_error(error: ManetError | str) -> None:
    """Print one sentence on stderr."""
    console = _stderr()
    console.print("[bold red]manet:[/] ", end="")
    console.print(printable(to_text(error)), markup=False)


def print_lines(lines: Iterable[str]) -> None:
    """Print result lines on stdout: byte for byte, or on a terminal as `printable`."""
    if sys.stdout is not None:
        _write(map(printable, lines) if sys.stdout.isatty() else lines)


def print_json(value: object, *, indent: int | None = None, allow_nan: bool = True) -> None:
    """Print a value on stdout as JSON, in ASCII; messages become text.

    Args:
        value: JSON types and messages.
        indent: spaces; None for one line.
        allow_nan: print NaN and infinities as JavaScript does; JSON has none.

    Raises:
        ValueError: a number is not finite and ``allow_nan`` is False.
    """
    text = json.dumps(value, default=_json_text, indent=indent, allow_nan=allow_nan)
    _write([text.replace("\x7f", "\\u007f")])  # the only control character that JSON does not escape


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print a table on stdout, one line per row."""
    if sys.stdout is None:
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*map(printable, row))
    # Outside a terminal rows never wrap.
    width = None if sys.stdout.isatty() else 10_000
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as printed:
        console.print(table)
    _write([printed.get().removesuffix("\n")])


def _write(lines: Iterable[str]) -> None:
    """Write lines to stdout. Drop them once the reader is gone: the work goes on."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.buffer.write(b"".join(_encoded(line) + b"\n" for line in lines))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _encoded(line: str) -> bytes:
    try:
        return os.fsencode(line)
    except UnicodeEncodeError:  # not a file name
        return printable(line).encode(errors="backslashreplace")


class _LineHandler(logging.Handler):
    """Prints each log record as a line."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        try:
            self._console.print(printable(self.format(record)), markup=False)
        except Exception:  # noqa: BLE001 - as all handlers do
            end_if_stopped()
            self.handleError(record)


def _spell_log(record: logging.LogRecord) -> bool:
    """Convert messages and errors of a log record with `to_text`; keep every record."""
    if isinstance(record.msg, Message):
        record.msg = to_text(record.msg)
    if isinstance(record.args, tuple):
        record.args = tuple(
            to_text(value) if isinstance(value, ManetError | Message) else value for value in record.args
        )
    return True


_LINE_SECONDS = 60.0


class _TimeLeft(TimeRemainingColumn):
    """The time left; empty while a file is written, which takes an unknown time."""

    def render(self, task: Task) -> Text:
        """Return the time left of a task."""
        return Text() if task.fields.get("idle") else super().render(task)


class Reporter:
    """Prints progress, results and errors of a run.

    Args:
        as_json: print one JSON object per result on stdout instead of a path.
        quiet: print only errors on stderr.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._console = _stderr()
        self._bars: Progress | None = None
        level = logging.ERROR if quiet else logging.WARNING
        handler = _LineHandler(self._console)
        handler.addFilter(_spell_log)
        logging.basicConfig(level=level, handlers=[handler], format="%(message)s", force=True)

    def message(self, text: Message | str) -> None:
        """Print a message on stderr, unless quiet."""
        if not self._quiet:
            self._console.print(printable(to_text(text)), markup=False)

    def result(self, fields: Mapping[str, object], lines: Iterable[str] = ()) -> None:
        """Print the result of one input: ``fields`` as JSON, or else ``lines`` (the written paths)."""
        with self._bar_away():
            if self._as_json:
                print_json(dict(fields))
            else:
                print_lines(lines)

    def failure(self, error: ManetError, name: str) -> None:
        """Print the error of one input on stderr, with the input's name if the error does not say it."""
        said = to_text(error)
        named = name == "-" or name in said  # errors say "standard input"
        with self._bar_away():
            print_error(said if named else f"{name}: {said}")

    @contextmanager
    def training(
        self, iterations: int
    ) -> Iterator[tuple[Callable[[float], None], Callable[[StepReport], None]]]:
        """Show the progress of training: a bar on a terminal, else a line every minute.

        Yields two callbacks: decoding progress and step reports.
        """
        live = self._console.is_terminal and not self._quiet
        last = time.monotonic()
        first: tuple[float, float] | None = None
        with self._bar(disable=not live) as bars:
            task = bars.add_task("decoding photos", total=1.0)

            def report(now: StepReport) -> None:
                nonlocal last, first
                moment = time.monotonic()
                if first is None:
                    first = moment, now.share
                    bars.reset(task)  # the time left must not be estimated from the pace of decoding
                loss = "" if now.loss is None else f", loss {now.loss:.5g}"
                text = f"step {now.step}/{iterations}{loss}, {now.rate:.3g} it/s"
                bars.update(task, completed=now.share, description=text)
                if not live and moment - last > _LINE_SECONDS:
                    last = moment
                    left = ""
                    if now.share > first[1]:
                        seconds = (moment - first[0]) * (1 - now.share) / (now.share - first[1])
                        left = f", about {duration(seconds)} left"
                    self.message(f"{text}, {100 * now.share:.1f} % of the run{left}")

            def decoding(share: float) -> None:
                words = "decoding photos" if share < 1 else "preparing"
                bars.update(task, completed=share, description=words)

            yield decoding, report

    @contextmanager
    def progress(self, description: str) -> Iterator[Callable[[float], None]]:
        """Show a bar on a terminal while the block runs; yield a callback for the share done, in [0, 1]."""
        with self._shown([1.0], lambda batch: None) as batch, batch.picture(description, 1.0) as advance:
            yield advance

    @contextmanager
    def batch(self, works: Sequence[float]) -> Iterator[BatchProgress]:
        """Show the progress of a run while the block runs: a bar on a terminal, else a line every minute.

        Args:
            works: work of each picture, in any unit; 0 for a picture to skip.
        """
        told = 0.0

        def tell(batch: BatchProgress) -> None:
            nonlocal told
            if not self._console.is_terminal and batch.elapsed - told > _LINE_SECONDS:
                told = batch.elapsed
                self.message(batch.line())

        with self._shown(works, tell) as batch:
            yield batch

    @contextmanager
    def _shown(
        self, works: Sequence[float], tell: Callable[[BatchProgress], None]
    ) -> Iterator[BatchProgress]:
        if self._quiet:
            yield BatchProgress(works, lambda batch: None)
            return
        if not self._console.is_terminal:
            yield BatchProgress(works, tell)
            return
        with self._bar() as bars:
            task = bars.add_task("", total=1.0)

            def show(batch: BatchProgress) -> None:
                bars.update(
                    task,
                    completed=batch.share,
                    description=printable(batch.description) or None,  # between pictures keep the last one
                    idle=batch.finishing,
                )
                tell(batch)

            self._bars = bars
            try:
                yield BatchProgress(works, show)
            finally:
                self._bars = None

    def _bar(self, *, disable: bool = False) -> Progress:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            _TimeLeft(),
        )
        return Progress(*columns, console=self._console, transient=True, disable=disable)

    @contextmanager
    def _bar_away(self) -> Iterator[None]:
        """Hide a running bar while the block prints."""
        if self._bars is None:
            yield
            return
        self._bars.stop()
        yield
        self._bars.start()
