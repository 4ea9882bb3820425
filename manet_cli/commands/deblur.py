"""``manet deblur``: taking the blur out of pictures that keep their size."""

from __future__ import annotations

import time
from enum import Enum
from typing import Annotated

import typer

from manet_cli.commands import options as shared
from manet_cli.commands.batch import carry_out, check_stdout, report_left_out
from manet_cli.commands.help import BLUR, FILES, QUALITY
from manet_cli.images.formats import DEFAULT_FORMAT, FORMATS, listed

__all__ = ["deblur"]


class Shrink(str, Enum):
    """How many times smaller a picture is made first."""

    auto = "auto"
    one = "1"
    two = "2"
    four = "4"


def deblur(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Pictures, folders, glob patterns, @FILE (a list of names; @- is stdin), or - (a picture).",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="File or folder to write, or - for stdout. (default: beside the input)",
            rich_help_panel=FILES,
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help=f"{listed(entry.name for entry in FORMATS)}. (default: by -o, else {DEFAULT_FORMAT.name})",
            rich_help_panel=FILES,
        ),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(
            "--quality",
            metavar="N",
            min=1,
            max=100,
            help=f"Of {listed((entry.title for entry in FORMATS if entry.default_quality), 'and')}.",
            rich_help_panel=QUALITY,
        ),
    ] = None,
    recursive: shared.Recursive = False,
    strength: Annotated[
        float,
        typer.Option(
            "--strength",
            metavar="F",
            help="How much of the blur goes: 1 is all of it, 0.5 is gentler.",
            rich_help_panel=BLUR,
        ),
    ] = 1.0,
    shrink: Annotated[
        Shrink,
        typer.Option(
            "--shrink",
            metavar="auto|1|2|4",
            help="Make the picture so many times smaller first, for a wide blur; auto: as needed.",
            rich_help_panel=BLUR,
        ),
    ] = Shrink.auto,
    model: shared.Model = "default",
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    tile: shared.Tile = "auto",
    max_pixels: shared.MaxPixels = shared.DEFAULT_MAX_PIXELS,
    overwrite: shared.Overwrite = False,
    as_json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Take the blur out of pictures; they keep their size.

    The result is written beside the input as NAME_deblurred.png and keeps its metadata. Results that are
    there already and were made from the same input, weights and settings are skipped, so a run can be
    repeated.
    """
    from manet_cli.console import Reporter
    from manet_cli.inference import SMALLEST_TILE
    from manet_cli.jobs.deblur import DeblurRequest, open_deblur
    from manet_cli.jobs.models import ModelOptions
    from manet_cli.jobs.upscale.plan import plan_destination

    started = time.time()
    reporter = Reporter(as_json=as_json, quiet=quiet)
    destination = plan_destination(inputs, output, format)
    check_stdout(destination, as_json=as_json)
    side = shared.parse_tile(tile, SMALLEST_TILE)
    run = open_deblur(
        DeblurRequest(
            inputs,
            destination,
            ModelOptions(model, None, device, precision, side, downloads=reporter.progress),
            recursive=recursive,
            quality=quality,
            shrink=None if shrink is Shrink.auto else int(shrink.value),
            strength=strength,
            max_pixels=max_pixels,
            overwrite=overwrite,
        )
    )
    report_left_out(run.left_out, reporter)
    failed = carry_out(run.items, run.results, reporter, started)
    raise typer.Exit(1 if failed else 0)
