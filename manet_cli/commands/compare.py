"""``manet compare``: one photo enlarged in several ways, side by side."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from manet_cli.commands import options as shared
from manet_cli.commands.help import FILES
from manet_cli.errors import ManetError

__all__ = ["compare"]


def compare(
    input: Annotated[str, typer.Argument(metavar="INPUT", help="A photo, or - for stdin.")],
    scale: shared.Scale = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.png",
            help="File to write. (default: INPUT_x4_compare.png)",
            rich_help_panel=FILES,
        ),
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            metavar="FILE",
            help="Add another enlargement of the photo, such as another program's. Repeat it for more.",
            rich_help_panel=FILES,
        ),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            "--crop",
            metavar="X,Y,W,H",
            help="Show this part, in input pixels. (default: a part with much texture)",
            rich_help_panel=FILES,
        ),
    ] = None,
    models: shared.Models = None,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    tile: shared.Tile = "auto",
    max_pixels: shared.MaxPixels = shared.DEFAULT_MAX_PIXELS,
    overwrite: shared.Overwrite = False,
    as_json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Draw a part of a photo, enlarged by bicubic interpolation and by manet, with a zoom.

    Repeat --model to add other weights. Give --with FILE to add another program's result. Only this part is
    computed, which takes seconds. It looks the same in the whole result.
    """
    from manet_cli.console import Reporter
    from manet_cli.evaluation.studies.compare import parse_crop
    from manet_cli.inference import SMALLEST_TILE
    from manet_cli.jobs.compare.job import CompareRequest, plan_compare
    from manet_cli.jobs.models import ModelOptions, open_models

    reporter = Reporter(as_json=as_json, quiet=quiet)
    part = parse_crop(crop) if crop is not None else None
    side = shared.parse_tile(tile, SMALLEST_TILE)
    names = models or [os.environ.get("MANET_MODEL") or "default"]
    options = ModelOptions(names[0], scale, device, precision, side, dial=True, downloads=reporter.progress)
    opened = open_models(names, options)
    for _, model in opened:
        model.engine.require(estimator=True, restorer=True)
    fields: dict[str, object] = {
        "input": input,
        "output": None,
        "status": "failed",
        "scale": opened[0][1].scale,
    }
    started = time.perf_counter()
    request = CompareRequest(input, output, files or (), part, overwrite, max_pixels)
    try:
        job = plan_compare(request, opened, options)
        if job.kept:
            reporter.message(f"{job.output}: made already, skipped")
        else:
            with reporter.progress(input) as progress:
                job.run(progress)
    except ManetError as error:
        reporter.result({**fields, "seconds": 0.0, "error": error})
        raise
    seconds = round(time.perf_counter() - started, 3)
    status = "skipped" if job.kept else "done"
    fields |= {"output": str(job.output), "status": status, **job.fields(), "seconds": seconds, "error": None}
    reporter.result(fields, [] if job.kept else [str(job.output)])
