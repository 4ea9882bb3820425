"""``manet evaluate``: the published measures on a folder of sharp pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from manet_cli.commands import options as shared
from manet_cli.commands.help import DEGRADATION, FILES
from manet_cli.commands.steps import Steps, with_step_options

__all__ = ["evaluate"]


@with_step_options
def evaluate(
    hr: Annotated[
        str, typer.Argument(metavar="HR_DIR", help="Folder of sharp pictures, a picture, or a glob pattern.")
    ],
    scale: shared.Scale = None,
    given: shared.Models = None,
    protocol: Annotated[
        str,
        typer.Option(
            "--protocol",
            metavar="TEST",
            help="grid: the published 9 kernels. camera: 16 cases with blur, noise, sharpening and JPEG as "
            "in cameras. SIG1,SIG2,THETA: one kernel (variances in HR pixels squared, degrees). mode1 to "
            "mode6: a blur that varies over the picture.",
            rich_help_panel=DEGRADATION,
        ),
    ] = "grid",
    steps: Steps = (),
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            help="Random seed for noise, mode5 and the protocol camera.",
            rich_help_panel=DEGRADATION,
        ),
    ] = 0,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", metavar="N", min=1, help="Measure only the first N pictures.", rich_help_panel=FILES
        ),
    ] = None,
    recursive: shared.Recursive = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.jsonl",
            help="Append each result to this file. Do not measure again what it already holds.",
            rich_help_panel=FILES,
        ),
    ] = None,
    denoise: shared.Denoise = None,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    tile: shared.Tile = "auto",
    as_json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Measure weights by the published protocol: degrade, restore, compare.

    Measures PSNR-Y and SSIM-Y of the blind result, PSNR of the estimated
    kernels, and LR-PSNR. For comparison, it also measures bicubic upscaling
    at its best shift, and the restorer with the true kernels. The table has a
    row for each kernel. --json prints a line for each picture, kernel and
    model, then the mean of each model.
    """
    from manet_cli.console import Reporter, print_json, print_lines, print_table
    from manet_cli.inference import SMALLEST_TILE
    from manet_cli.jobs.denoise import parse_denoise
    from manet_cli.jobs.evaluate import EvaluateRequest, UnmeasuredPicture, open_evaluation
    from manet_cli.jobs.models import ModelOptions

    reporter = Reporter(as_json=as_json, quiet=quiet)
    models = given or [os.environ.get("MANET_MODEL") or "default"]
    side = shared.parse_tile(tile, SMALLEST_TILE)
    options = ModelOptions(models[0], scale, device, precision, side, dial=True, downloads=reporter.progress)
    position = parse_denoise(denoise)
    failed = False
    with open_evaluation(
        EvaluateRequest(hr, models, options, protocol, steps, seed, limit, recursive, output, position)
    ) as job:
        for outcome in job.run(reporter.progress):
            if isinstance(outcome, UnmeasuredPicture):
                reporter.result(outcome.fields())
                reporter.failure(outcome.error, outcome.image)
                failed = True
            elif as_json:
                reporter.result(outcome.fields())
    if as_json:
        for mean in job.means():
            print_json({"mean": mean}, allow_nan=False)
    elif tables := job.tables():
        print_lines(job.heading())
        for columns, rows in tables:
            print_lines([""])
            print_table(columns, rows)
    raise typer.Exit(1 if failed else 0)
