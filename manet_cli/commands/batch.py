"""Progress and result messages of commands over many pictures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from manet_cli.errors import NotStartedError, UsageError
from manet_cli.stopping import stopped_by

if TYPE_CHECKING:
    from manet_cli.console import Reporter
    from manet_cli.jobs.sources import Source
    from manet_cli.jobs.upscale.pipeline import Watch
    from manet_cli.jobs.upscale.plan import Destination, Item
    from manet_cli.jobs.upscale.result import Result, Tally
    from manet_cli.jobs.upscale.run import Run

__all__ = ["carry_out", "check_stdout", "report_left_out", "report_preview", "report_results"]

_LONG = 10.0  # seconds; a single picture that takes longer is reported with its time


def check_stdout(destination: Destination, *, as_json: bool, preview: bool = False) -> None:
    """Check that a picture may go to standard output.

    Raises:
        UsageError: JSON goes there too, or it is a terminal or closed.
    """
    if destination.stdout and as_json:
        raise UsageError("--json and a picture cannot both go to standard output; give -o FILE")
    if destination.stdout and not preview and (sys.stdout is None or sys.stdout.isatty()):
        raise UsageError("a picture would go to the terminal; give -o FILE or send standard output elsewhere")


def report_left_out(sources: Sequence[Source], reporter: Reporter) -> None:
    """Print which inputs are left out because this tool made them."""
    if sources:
        named = sources[0].name if len(sources) == 1 else f"{len(sources)} inputs"
        reporter.message(f"{named} left out: this tool made them from other inputs")


def carry_out(
    items: Sequence[Item],
    results: Callable[[Watch], Generator[Result]],
    reporter: Reporter,
    started: float,
) -> bool:
    """Make the pictures of a plan and report each; return whether any failed.

    Args:
        items: the plan.
        results: makes the pictures and yields a result for each.
        reporter: prints them.
        started: start of the command, seconds of `time.time`.
    """
    from manet_cli.jobs.durations import duration
    from manet_cli.jobs.upscale.result import Tally, work_of

    tally = Tally(len(items))
    try:
        with (
            reporter.batch([work_of(item) for item in items]) as batch,
            closing(results(lambda item: batch.picture(item.source.name, work_of(item)))) as made,
        ):
            report_results(made, tally, reporter)
    finally:  # after Ctrl-C too
        if stopped_by() is not None:
            reporter.message(tally.interrupted())
        else:
            seconds = max(time.time() - started, 0.0)
            if len(items) > 1 or seconds > _LONG:
                reporter.message(f"{tally.line()}, in {duration(seconds)}")
    return tally.failed


def report_preview(run: Run, reporter: Reporter) -> bool:
    """Report what a run would do; return whether any picture would fail."""
    from manet_cli.jobs.durations import time_range
    from manet_cli.jobs.upscale.result import Tally

    pace, planned = run.preview()
    tally = Tally(len(run.items))
    report_results(planned, tally, reporter)
    estimate = f"; about {time_range(*tally.estimate)}, an estimate from {pace.sample}" if pace else ""
    if pace or len(run.items) > 1:
        reporter.message(f"{tally.line()}{estimate}")
    return tally.failed


def report_results(results: Iterator[Result], tally: Tally, reporter: Reporter) -> None:
    """Print and count the result of each picture."""
    from manet_cli.console import to_text

    for result in results:
        tally.add(result)
        reporter.result(result.fields(), result.lines())
        if result.status == "skipped":
            reporter.message(f"{result.item.output}: made already, skipped")
        if (remark := result.remark()) is not None:
            reporter.message(remark)
        if result.report is not None:
            name = result.item.output or result.item.source.name
            reporter.message(f"{name}: {to_text(result.report.sentence())}")
        if result.error is not None and not isinstance(result.error, NotStartedError):
            reporter.failure(result.error, result.item.source.name)
