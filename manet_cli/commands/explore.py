"""``manet explore``: a web page that shows a picture, its result and its blur."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from manet_cli.commands import options as shared
from manet_cli.commands.help import FILES
from manet_cli.errors import ManetError

__all__ = ["explore"]


def explore(
    input: Annotated[str, typer.Argument(metavar="INPUT", help="A picture, or - for stdin.")],
    scale: shared.Scale = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.html",
            help="File to write. (default: INPUT_x4_explore.html)",
            rich_help_panel=FILES,
        ),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            "--crop",
            metavar="X,Y,W,H",
            help="Show this part, in input pixels. (default: all; in a large picture, the part "
            "that shows its blur best)",
            rich_help_panel=FILES,
        ),
    ] = None,
    model: shared.Model = "default",
    denoise: shared.Denoise = None,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    tile: shared.Tile = "auto",
    max_pixels: shared.MaxPixels = shared.DEFAULT_MAX_PIXELS,
    overwrite: shared.Overwrite = False,
    as_json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Make a web page with a picture before and after, and the blur under the pointer.

    The page is one HTML file and needs no network. Open it in any browser.
    """
    from manet_cli.console import Reporter
    from manet_cli.evaluation.studies.compare import parse_crop
    from manet_cli.inference import SMALLEST_TILE
    from manet_cli.jobs.denoise import parse_denoise
    from manet_cli.jobs.explore.job import plan_explore
    from manet_cli.jobs.models import ModelOptions, open_model

    reporter = Reporter(as_json=as_json, quiet=quiet)
    part = parse_crop(crop) if crop is not None else None
    side = shared.parse_tile(tile, SMALLEST_TILE)
    options = ModelOptions(model, scale, device, precision, side, dial=True, downloads=reporter.progress)
    opened = open_model(options)
    opened.engine.require(estimator=True, restorer=True)
    fields: dict[str, object] = {"input": input, "output": None, "status": "failed", "scale": opened.scale}
    started = time.perf_counter()
    try:
        job = plan_explore(
            *(input, output, opened, options),
            crop=part,
            overwrite=overwrite,
            max_pixels=max_pixels,
            denoise=parse_denoise(denoise),
        )
        about = job.shown(opened.scale)
        if job.kept:
            reporter.message(f"{job.output}: made already, skipped")
        else:
            if (said := job.said()) is not None:
                reporter.message(said)
            with reporter.progress(input) as progress:
                about |= job.run(opened, progress)
    except ManetError as error:
        reporter.result({**fields, "seconds": 0.0, "error": error})
        raise
    seconds = round(time.perf_counter() - started, 3)
    status = "skipped" if job.kept else "done"
    fields |= {"output": str(job.output), "status": status, **about, "seconds": seconds, "error": None}
    reporter.result(fields, [] if job.kept else [str(job.output)])
