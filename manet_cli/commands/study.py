"""``manet study``: what the estimates depend on, as figures and numbers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from manet_cli.commands import options as shared
from manet_cli.commands.help import DEGRADATION, FILES, SCRIPTS, ManetCommand, ManetGroup
from manet_cli.errors import UsageError

if TYPE_CHECKING:
    from manet_cli.console import Reporter
    from manet_cli.evaluation.studies.files import StudyFiles
    from manet_cli.jobs.models import ModelOptions

__all__ = ["app"]

app = typer.Typer(
    cls=ManetGroup, no_args_is_help=True, help="Study what the estimates depend on: a figure and its numbers."
)

Folder: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="DIR", help="Folder for the figure and its numbers.", rich_help_panel=FILES
    ),
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the numbers as JSON on stdout.", rich_help_panel=SCRIPTS)
]
Hr: TypeAlias = Annotated[str, typer.Argument(metavar="HR", help="A sharp picture.")]
_KERNEL = "SIG1,SIG2,THETA"


@app.command(cls=ManetCommand)
def tsne(
    hr: Hr,
    output: Folder,
    variances: shared.Variances = None,
    kernel: shared.VariancesAsKernel = None,
    scale: shared.Scale = None,
    samples: Annotated[
        int,
        typer.Option(
            "--samples",
            metavar="N",
            min=16,
            max=20000,
            help="Plot the estimates of at most N pixels.",
            rich_help_panel=FILES,
        ),
    ] = 1500,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            max=2**32 - 1,
            help="Random seed of the sample and of t-SNE.",
            rich_help_panel=FILES,
        ),
    ] = 0,
    model: shared.Model = "default",
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    tile: shared.Tile = "auto",
    overwrite: shared.Overwrite = False,
    as_json: Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Plot the estimated kernels of a blurred picture as points, with the true kernel, by t-SNE.

    Writes NAME_tsne.png and NAME_tsne.json. The numbers say how many
    estimates are near the true kernel, with much and with little texture,
    and what the estimate for a blank picture is.
    """
    from manet_cli.console import Reporter
    from manet_cli.evaluation.protocols import parse_kernel
    from manet_cli.evaluation.studies.extra import require_extra
    from manet_cli.evaluation.studies.files import StudyFiles
    from manet_cli.evaluation.studies.tsne import tsne_study
    from manet_cli.inference import memory_reported
    from manet_cli.jobs.study import finish_study, open_subjects, read_sharp_picture

    reporter = Reporter(quiet=quiet)
    require_extra("matplotlib", "sklearn")
    stated = shared.stated_variances(variances, kernel)
    if stated is None:
        raise UsageError(f"no blur is given: add --variances {_KERNEL}, such as --variances 9,1,45")
    true = parse_kernel(stated)
    files = StudyFiles.plan(output, f"{Path(hr).stem}_tsne", [hr], overwrite=overwrite)
    (subject,) = open_subjects([model], _options(reporter, model, scale, device, precision, tile))
    picture = read_sharp_picture(hr)
    with reporter.progress(hr) as progress, memory_reported(hr):
        study = tsne_study(subject, picture.pixels, true, samples=samples, seed=seed, progress=progress)
    _print_study(finish_study(study, picture.about, files), files, as_json)


@app.command(cls=ManetCommand)
def consecutive(
    hr: Hr,
    output: Folder,
    first: Annotated[
        str,
        typer.Option(
            "--first",
            metavar=_KERNEL,
            help="First blur, in the form of --second.",
            rich_help_panel=DEGRADATION,
        ),
    ] = "9,1,0",
    second: Annotated[
        str,
        typer.Option(
            "--second",
            metavar=_KERNEL,
            help="Second blur: variances in squared pixels of the picture that it blurs, angle in degrees.",
            rich_help_panel=DEGRADATION,
        ),
    ] = "9,1,90",
    scale: shared.Scale = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            max=2**32 - 1,
            help="Random seed of the pixels whose kernels are shown.",
            rich_help_panel=FILES,
        ),
    ] = 0,
    model: shared.Model = "default",
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    tile: shared.Tile = "auto",
    overwrite: shared.Overwrite = False,
    as_json: Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Blur and shrink a picture twice, and see which blur the estimates follow.

    Writes NAME_consecutive.png and NAME_consecutive.json.
    """
    from manet_cli.console import Reporter
    from manet_cli.evaluation.protocols import parse_kernel
    from manet_cli.evaluation.studies.consecutive import consecutive_study
    from manet_cli.evaluation.studies.extra import require_extra
    from manet_cli.evaluation.studies.files import StudyFiles
    from manet_cli.inference import memory_reported
    from manet_cli.jobs.study import finish_study, open_subjects, read_sharp_picture

    reporter = Reporter(quiet=quiet)
    require_extra("matplotlib")
    kernels = (parse_kernel(first), parse_kernel(second))
    files = StudyFiles.plan(output, f"{Path(hr).stem}_consecutive", [hr], overwrite=overwrite)
    (subject,) = open_subjects([model], _options(reporter, model, scale, device, precision, tile))
    picture = read_sharp_picture(hr)
    with reporter.progress(hr) as progress, memory_reported(hr):
        study = consecutive_study(subject, picture.pixels, *kernels, seed=seed, progress=progress)
    _print_study(finish_study(study, picture.about, files), files, as_json)


@app.command(cls=ManetCommand)
def quantization(
    output: Folder,
    scale: shared.Scale = None,
    model: shared.Model = "default",
    device: shared.Device = "auto",
    precision: shared.Precision = "fp32",
    tile: shared.Tile = "auto",
    overwrite: shared.Overwrite = False,
    as_json: Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Find the smallest cross that shows its blur, before and after rounding to 8 bits.

    Writes quantization.png and quantization.json. Computes in fp32 unless
    you set --precision: half precision would also round the unrounded
    pictures.
    """
    from manet_cli.console import Reporter
    from manet_cli.evaluation.studies.extra import require_extra
    from manet_cli.evaluation.studies.files import StudyFiles
    from manet_cli.evaluation.studies.quantization import quantization_study
    from manet_cli.jobs.study import finish_study, open_subjects

    reporter = Reporter(quiet=quiet)
    require_extra("matplotlib")
    files = StudyFiles.plan(output, "quantization", [], overwrite=overwrite)
    (subject,) = open_subjects([model], _options(reporter, model, scale, device, precision, tile))
    with reporter.progress("quantization") as progress:
        study = quantization_study(subject, progress=progress)
    _print_study(finish_study(study, {}, files), files, as_json)


@app.command(cls=ManetCommand)
def compare(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Photos, folders or glob patterns."),
    ],
    output: Folder,
    scale: shared.Scale = None,
    models: shared.Models = None,
    crop: Annotated[
        str | None,
        typer.Option(
            "--crop",
            metavar="X,Y,W,H",
            help="Detail to show, in input pixels. (default: the part with most contrast)",
            rich_help_panel=FILES,
        ),
    ] = None,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    tile: shared.Tile = "auto",
    overwrite: shared.Overwrite = False,
    as_json: Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Put bicubic enlargements and each model's results side by side, with a detail.

    Writes compare.png and compare.json.
    """
    from manet_cli.console import Reporter, to_text
    from manet_cli.evaluation.studies.compare import Compared, compare_study, parse_crop
    from manet_cli.evaluation.studies.extra import require_extra
    from manet_cli.evaluation.studies.files import StudyFiles
    from manet_cli.jobs.study import compare_pictures, find_pictures, finish_study, open_subjects

    reporter = Reporter(quiet=quiet)
    require_extra("matplotlib")
    detail = parse_crop(crop) if crop else None
    sources = find_pictures(images)
    files = StudyFiles.plan(output, "compare", [source.name for source in sources], overwrite=overwrite)
    names = models or [os.environ.get("MANET_MODEL") or "default"]
    options = _options(reporter, names[0], scale, device, precision, tile)
    subjects = open_subjects(names, options, restorer=True)
    compared: list[Compared] = []
    failed: dict[str, str] = {}
    for outcome in compare_pictures(subjects, sources, detail, reporter.progress):
        if isinstance(outcome, Compared):
            compared.append(outcome)
        else:
            reporter.failure(outcome.error, outcome.name)
            failed[outcome.name] = to_text(outcome.error)
    if compared:
        study = compare_study(subjects, compared, failed)
        _print_study(finish_study(study, {}, files), files, as_json)
    raise typer.Exit(1 if failed else 0)


def _options(
    reporter: Reporter, model: str, scale: int | None, device: str, precision: str, tile: str
) -> ModelOptions:
    from manet_cli.inference import SMALLEST_TILE
    from manet_cli.jobs.models import ModelOptions

    side = shared.parse_tile(tile, SMALLEST_TILE)
    return ModelOptions(model, scale, device, precision, side, downloads=reporter.progress)


def _print_study(numbers: dict[str, object], files: StudyFiles, as_json: bool) -> None:
    """Print the numbers, or the paths."""
    from manet_cli.console import print_json, print_lines

    if as_json:
        print_json(numbers, allow_nan=False)
    else:
        print_lines([str(files.figure), str(files.numbers)])
