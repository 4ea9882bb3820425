"""``manet degrade``: make LR images for tests, and their kernels, from sharp pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from manet_cli.commands import options as shared
from manet_cli.commands.help import DEGRADATION, FILES
from manet_cli.commands.steps import Steps, with_step_options

__all__ = ["degrade"]


@with_step_options
def degrade(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="HR...", help="Sharp pictures, folders, glob patterns, or - for stdin."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder for LR/, HR/ and kernels/.", rich_help_panel=FILES
        ),
    ],
    scale: shared.Scale = None,
    variances: shared.Variances = None,
    kernel: shared.VariancesAsKernel = None,
    mode: Annotated[
        int | None,
        typer.Option(
            "--mode",
            metavar="N",
            min=1,
            max=6,
            help="Blur that varies over the picture: published type 1 to 6.",
            rich_help_panel=DEGRADATION,
        ),
    ] = None,
    grid: Annotated[
        bool,
        typer.Option(
            "--grid",
            help="The 9 published kernels, one folder for each.",
            rich_help_panel=DEGRADATION,
        ),
    ] = False,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            metavar="camera",
            help="16 cases with blur, noise, sharpening and JPEG as in cameras, or another protocol of "
            "'manet evaluate'.",
            rich_help_panel=DEGRADATION,
        ),
    ] = None,
    steps: Steps = (),
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            help="Random seed of noise, --mode 5 and --protocol camera.",
            rich_help_panel=DEGRADATION,
        ),
    ] = 0,
    recursive: shared.Recursive = False,
    overwrite: shared.Overwrite = False,
    as_json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Blur and shrink sharp pictures as the published tests do.

    Writes LR/NAME.png, HR/NAME.png (cropped to a multiple of the scale) and
    kernels/NAME.npz. For a single kernel it also writes kernels/NAME.npy, for
    --kernel of 'manet upscale'. Existing files with the same content are
    skipped.
    """
    from manet_cli.console import Reporter
    from manet_cli.jobs.degrade import Degrader, choose_protocol
    from manet_cli.jobs.sources import expand_sources

    reporter = Reporter(as_json=as_json, quiet=quiet)
    variances = shared.stated_variances(variances, kernel)
    test = choose_protocol(variances, mode, grid, protocol, scale=scale or 4, steps=steps, seed=seed)
    sources = expand_sources(inputs, recursive=recursive)
    degrader = Degrader(test, output, sources, overwrite=overwrite)
    degrader.remove_leftovers()
    failed = False
    for source in sources:
        with reporter.progress(source.name) as progress:
            results = list(degrader.run(source, progress))
        for result in results:
            reporter.result(result.fields(), result.lines())
            if result.error is not None:
                reporter.failure(result.error, source.name)
                failed = True
    raise typer.Exit(1 if failed else 0)
