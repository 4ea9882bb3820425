"""The only module that prints. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from manet_cli.errors import ManetError

__all__ = ["Reporter", "print_error", "print_lines", "print_table"]


def _stderr() -> Console:
    return Console(stderr=True, soft_wrap=True, highlight=False)


def print_error(error: ManetError | str) -> None:
    """Print one sentence on stderr."""
    console = _stderr()
    console.print("[bold red]manet:[/] ", end="")
    console.print(str(error), markup=False)


def print_lines(lines: list[str]) -> None:
    """Print a result on stdout, a line each; file names come out byte for byte."""
    if sys.stdout is None:
        return
    sys.stdout.buffer.write(b"".join(os.fsencode(line) + b"\n" for line in lines))
    sys.stdout.buffer.flush()


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print a table on stdout."""
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    # Off a terminal a row is a line, however long.
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width, highlight=False, markup=False).print(table)


class Reporter:
    """Tells a user and a script how a run goes.

    Args:
        as_json: one JSON object per result on stdout instead of a path.
        quiet: nothing on stderr but errors.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._console = _stderr()
        level = logging.ERROR if quiet else logging.WARNING
        handler = RichHandler(console=self._console, show_time=False, show_path=False, show_level=False)
        logging.basicConfig(level=level, handlers=[handler], format="%(message)s", force=True)

    def message(self, text: str) -> None:
        """Tell something on stderr, unless quiet."""
        if not self._quiet:
            self._console.print(text, markup=False)

    def result(self, fields: Mapping[str, object], line: str | None) -> None:
        """Report one input: ``fields`` as JSON, or ``line`` (the written path) if there is one."""
        if self._as_json:
            print_lines([json.dumps(dict(fields))])
        elif line is not None:
            print_lines([line])

    def failure(self, error: ManetError) -> None:
        """Report what is wrong with one input on stderr."""
        print_error(error)

    @contextmanager
    def progress(self, description: str) -> Iterator[Callable[[float], None]]:
        """Show a bar while the block runs, on a terminal; the block is given a function of the share done."""
        if self._quiet or not self._console.is_terminal:
            yield lambda share: None
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as bars:
            task = bars.add_task(description, total=1.0)
            yield lambda share: bars.update(task, completed=share)
