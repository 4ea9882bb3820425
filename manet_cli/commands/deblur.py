"""``manet deblur``: remove the blur from pictures, which keep their size."""

from __future__ import annotations

import time
from enum import Enum
from typing import Annotated

import typer

from manet_cli.commands import options as shared
from manet_cli.commands.batch import carry_out, check_stdout, report_left_out, report_preview
from manet_cli.commands.help import BLUR

__all__ = ["deblur"]


class Shrink(str, Enum):
    """Factor by which a picture is shrunk first."""

    auto = "auto"
    one = "1"
    two = "2"
    four = "4"


def deblur(
    inputs: shared.Inputs,
    output: shared.Output = None,
    format: shared.Format = None,
    quality: shared.Quality = None,
    recursive: shared.Recursive = False,
    strength: Annotated[
        float,
        typer.Option(
            "--strength",
            metavar="F",
            help="Amount of blur to remove: 1 is all of it, 0.5 is gentler.",
            rich_help_panel=BLUR,
        ),
    ] = 1.0,
    shrink: Annotated[
        Shrink,
        typer.Option(
            "--shrink",
            metavar="auto|1|2|4",
            help="Shrink the picture by this factor first, for a wide blur. auto: as needed.",
            rich_help_panel=BLUR,
        ),
    ] = Shrink.auto,
    model: shared.Model = "default",
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    tile: shared.Tile = "auto",
    max_pixels: shared.MaxPixels = shared.DEFAULT_MAX_PIXELS,
    overwrite: shared.Overwrite = False,
    dry_run: shared.DryRun = False,
    fail_fast: shared.FailFast = False,
    as_json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Remove the blur from pictures, which keep their size.

    Writes NAME_deblurred.png beside the input and keeps its metadata. Existing results of the same input,
    weights and settings are skipped, so you can repeat a run.
    """
    shared.check_inputs(inputs, quiet=quiet)
    from manet_cli.console import Reporter
    from manet_cli.inference import SMALLEST_TILE
    from manet_cli.jobs.blur.source import BlurOptions
    from manet_cli.jobs.deblur import open_deblur
    from manet_cli.jobs.models import ModelOptions
    from manet_cli.jobs.upscale.plan import plan_destination
    from manet_cli.jobs.upscale.run import Request

    started = time.time()
    reporter = Reporter(as_json=as_json, quiet=quiet)
    destination = plan_destination(inputs, output, format)
    check_stdout(destination, as_json=as_json, preview=dry_run)
    side = shared.parse_tile(tile, SMALLEST_TILE)
    downloads = None if dry_run else reporter.progress
    request = Request(
        inputs,
        destination,
        ModelOptions(model, None, device, precision, side, downloads=downloads),
        BlurOptions(strength=strength),
        recursive=recursive,
        quality=quality,
        max_pixels=max_pixels,
        overwrite=overwrite,
        fail_fast=fail_fast,
    )
    run = open_deblur(request, None if shrink is Shrink.auto else int(shrink.value))
    report_left_out(run.left_out, reporter)
    if dry_run:
        failed = report_preview(run, reporter)
    else:
        failed = carry_out(run.items, run.results, reporter, started)
    raise typer.Exit(1 if failed else 0)
