"""``manet evaluate``: the published figures over a folder of sharp pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from manet_cli.commands import options as shared
from manet_cli.commands.steps import Steps, with_step_options
from manet_cli.errors import InputError, ManetError, OutputError
from manet_cli.stopping import end_if_stopped

if TYPE_CHECKING:
    from manet_cli.console import Reporter
    from manet_cli.evaluation.results import Measurement
    from manet_cli.evaluation.runs import Evaluation
    from manet_cli.jobs.sources import Source

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
            metavar="grid|camera|SIG1,SIG2,THETA|modeN",
            help="The published 9 kernels; 16 cases with blur, noise, sharpening and JPEG as cameras make "
            "them; one kernel (variances in HR pixels squared, degrees); or a spatially variant type, mode1 "
            "to mode6.",
        ),
    ] = "grid",
    steps: Steps = (),
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Random seed of noise, mode5 and the protocol camera.")
    ] = 0,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Take the first N pictures only.")
    ] = None,
    recursive: shared.Recursive = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.jsonl",
            help="Append every finished line here; run again, the lines in it are not measured again.",
        ),
    ] = None,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    tile: shared.Tile = "auto",
    as_json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Measure weights by the published protocol: degrade, restore, compare.

    PSNR-Y and SSIM-Y of the blind result, PSNR of the estimated kernels,
    LR-PSNR, and on the same inputs bicubic upscaling at its best shift and
    the restorer given the true kernels. The table has a row for each kernel;
    --json gives a line for each picture, kernel and model, and each model's
    mean last.
    """
    from manet_cli.console import Reporter
    from manet_cli.evaluation.protocols import parse_protocol
    from manet_cli.evaluation.results import Settings, open_results
    from manet_cli.evaluation.runs import Evaluation
    from manet_cli.inference import SMALLEST_TILE
    from manet_cli.jobs.models import ModelOptions, open_models
    from manet_cli.jobs.sources import expand_sources

    reporter = Reporter(as_json=as_json, quiet=quiet)
    # Checked at any scale first: a protocol that means nothing is found before weights are loaded.
    parse_protocol(protocol, scale or 4, steps=steps, seed=seed)
    names = given or [os.environ.get("MANET_MODEL") or "default"]
    side = shared.parse_tile(tile, SMALLEST_TILE)
    models = open_models(
        names, ModelOptions(names[0], scale, device, precision, side, downloads=reporter.progress)
    )
    tested, opened = [model for model, _ in models], models[0][1]
    test = parse_protocol(protocol, opened.scale, steps=steps, seed=seed)
    texts = {step.name: step.text for step in steps}
    settings = Settings(opened.scale, test.name, texts, seed, opened.device, opened.precision, tile)
    sources = expand_sources([hr], recursive=recursive)[:limit]
    with open_results(output, settings) as results:
        run = Evaluation(test, tested, settings, results)
        lines, failed = _measure(run, sources, reporter, as_json)
    _conclude(run, lines, as_json)
    raise typer.Exit(1 if failed else 0)


def _measure(
    run: Evaluation, sources: list[Source], reporter: Reporter, as_json: bool
) -> tuple[list[Measurement], bool]:
    """Measure all pictures; what is wrong with one is reported and costs no other."""
    from manet_cli.jobs.sources import read_input

    measured: list[Measurement] = []
    failed = False
    for source in sources:
        name = source.name if source.path is None else (source.below / source.path.name).as_posix()
        try:
            if source.error:
                raise source.error
            if source.path is None:
                raise InputError("standard input is not measured: give a folder or a picture")
            with reporter.progress(name) as progress:
                for line in run.lines(name, read_input(source.path, source.name), progress):
                    measured.append(line)
                    if as_json:
                        reporter.result(line.fields(), None)
        except OutputError:  # no line can be kept any more
            raise
        except ManetError as error:
            end_if_stopped()
            reporter.result({"image": name, "error": str(error)}, None)
            reporter.failure(error)
            failed = True
    return measured, failed


def _conclude(run: Evaluation, lines: list[Measurement], as_json: bool) -> None:
    """Print the means: JSON, or a table under a line that says how they were made."""
    import json

    from manet_cli.console import print_lines, print_table
    from manet_cli.evaluation.tables import mean_fields, tables

    groups = [[line for line in lines if line.weights_sha256 == model.sha256] for model in run.models]
    if as_json:
        means = [mean_fields(m.name, m.sha256, group) for m, group in zip(run.models, groups, strict=True)]
        print_lines([json.dumps({"mean": mean}, allow_nan=False) for mean in means])
        return
    if not lines:
        return
    settings = run.settings
    pictures = len({(line.image, line.image_sha256) for line in lines})
    parts = [f"x{settings.scale}", f"protocol {settings.protocol}", f"pictures {pictures}"]
    parts += [f"{name} {text}" for name, text in settings.steps.items()]
    parts += [f"{settings.precision} on {settings.device}"]
    print_lines([", ".join(parts)])
    for number, model in enumerate(run.models, 1):
        prefix = f"{number}: " if len(groups) > 1 else ""
        print_lines([f"{prefix}{model.name}, sha256 {model.sha256}"])
    for columns, rows in tables(groups):
        print_lines([""])
        print_table(columns, rows)
