"""``manet study``: what the estimates go by, as figures and numbers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from manet_cli.commands import options as shared
from manet_cli.errors import InputError, ManetError, UsageError
from manet_cli.stopping import end_if_stopped

if TYPE_CHECKING:
    from torch import Tensor

    from manet_cli.console import Reporter
    from manet_cli.evaluation.studies.compare import Compared, Crop
    from manet_cli.evaluation.studies.estimates import Subject
    from manet_cli.evaluation.studies.files import Study, StudyFiles
    from manet_cli.jobs.sources import Source

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Study what the estimates go by: a figure and its numbers.")

_MOST_PICTURES = 32

Folder: TypeAlias = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the figure and its numbers.")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the numbers as JSON on stdout.")]
Hr: TypeAlias = Annotated[str, typer.Argument(metavar="HR", help="A sharp picture.")]
_KERNEL = "SIG1,SIG2,THETA"


@app.command()
def tsne(
    hr: Hr,
    kernel: Annotated[
        str,
        typer.Option(
            "--kernel", metavar=_KERNEL, help="The blur: variances in HR pixels squared, and degrees."
        ),
    ],
    output: Folder,
    scale: shared.Scale = None,
    samples: Annotated[
        int, typer.Option("--samples", min=16, max=20000, help="Lay out the estimates of N pixels at most.")
    ] = 1500,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of the sample and of t-SNE.")
    ] = 0,
    model: shared.Model = "default",
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    tile: shared.Tile = "auto",
    overwrite: shared.Overwrite = False,
    as_json: Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Lay the kernels estimated in a blurred picture out in the plane, the true one among them.

    Writes NAME_tsne.png and NAME_tsne.json: how many estimates are near the
    truth, with much and with little texture, and what a blank picture gives.
    """
    from manet_cli.console import Reporter
    from manet_cli.evaluation.protocols import parse_kernel
    from manet_cli.evaluation.studies.extra import require_extra
    from manet_cli.evaluation.studies.files import StudyFiles
    from manet_cli.evaluation.studies.tsne import tsne_study
    from manet_cli.inference import memory_reported

    reporter = Reporter(quiet=quiet)
    require_extra("matplotlib", "sklearn")
    true = parse_kernel(kernel)
    files = StudyFiles.plan(output, f"{Path(hr).stem}_tsne", [hr], overwrite=overwrite)
    (subject,) = _open_subjects(reporter, [model], scale, device, precision, tile)
    picture, about = _read_hr(hr)
    with reporter.progress(hr) as progress, memory_reported(hr):
        study = tsne_study(subject, picture, true, samples=samples, seed=seed, progress=progress)
    _finish(study, about, files, as_json)


@app.command()
def consecutive(
    hr: Hr,
    output: Folder,
    first: Annotated[
        str, typer.Option("--first", metavar=_KERNEL, help="The blur that comes first; see --second.")
    ] = "9,1,0",
    second: Annotated[
        str,
        typer.Option(
            "--second",
            metavar=_KERNEL,
            help="The blur after it: variances in pixels squared of what it blurs, and degrees.",
        ),
    ] = "9,1,90",
    scale: shared.Scale = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of the pixels whose kernels are shown.")
    ] = 0,
    model: shared.Model = "default",
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    tile: shared.Tile = "auto",
    overwrite: shared.Overwrite = False,
    as_json: Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Blur and shrink a picture twice, and see which of the two blurs the estimates follow.

    Writes NAME_consecutive.png and NAME_consecutive.json.
    """
    from manet_cli.console import Reporter
    from manet_cli.evaluation.protocols import parse_kernel
    from manet_cli.evaluation.studies.consecutive import consecutive_study
    from manet_cli.evaluation.studies.extra import require_extra
    from manet_cli.evaluation.studies.files import StudyFiles
    from manet_cli.inference import memory_reported

    reporter = Reporter(quiet=quiet)
    require_extra("matplotlib")
    kernels = (parse_kernel(first), parse_kernel(second))
    files = StudyFiles.plan(output, f"{Path(hr).stem}_consecutive", [hr], overwrite=overwrite)
    (subject,) = _open_subjects(reporter, [model], scale, device, precision, tile)
    picture, about = _read_hr(hr)
    with reporter.progress(hr) as progress, memory_reported(hr):
        study = consecutive_study(subject, picture, *kernels, seed=seed, progress=progress)
    _finish(study, about, files, as_json)


@app.command()
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
    """See how small a blurred cross still shows its blur, before and after rounding to 8 bits.

    Writes quantization.png and quantization.json. Computes in fp32 unless
    told otherwise: half precision would round even what is not rounded.
    """
    from manet_cli.console import Reporter
    from manet_cli.evaluation.studies.extra import require_extra
    from manet_cli.evaluation.studies.files import StudyFiles
    from manet_cli.evaluation.studies.quantization import quantization_study

    reporter = Reporter(quiet=quiet)
    require_extra("matplotlib")
    files = StudyFiles.plan(output, "quantization", [], overwrite=overwrite)
    (subject,) = _open_subjects(reporter, [model], scale, device, precision, tile)
    with reporter.progress("quantization") as progress:
        study = quantization_study(subject, progress=progress)
    _finish(study, {}, files, as_json)


@app.command()
def compare(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Photos as they are, folders or glob patterns."),
    ],
    output: Folder,
    scale: shared.Scale = None,
    models: shared.Models = None,
    crop: Annotated[
        str | None,
        typer.Option(
            "--crop",
            metavar="X,Y,W,H",
            help="The detail in input pixels. (default: where there is most contrast)",
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
    from manet_cli.console import Reporter
    from manet_cli.evaluation.studies.compare import compare_study, parse_crop
    from manet_cli.evaluation.studies.extra import require_extra
    from manet_cli.evaluation.studies.files import StudyFiles
    from manet_cli.jobs.sources import expand_sources

    reporter = Reporter(quiet=quiet)
    require_extra("matplotlib")
    detail = parse_crop(crop) if crop else None
    sources = expand_sources(images)
    if len(sources) > _MOST_PICTURES:
        raise UsageError(f"{len(sources)} pictures are given; a sheet holds {_MOST_PICTURES}: give fewer")
    files = StudyFiles.plan(output, "compare", [source.name for source in sources], overwrite=overwrite)
    names = models or [os.environ.get("MANET_MODEL") or "default"]
    subjects = _open_subjects(reporter, names, scale, device, precision, tile, restorer=True)
    compared, failed = _compare(subjects, sources, detail, reporter)
    if compared:
        _finish(compare_study(subjects, compared, failed), {}, files, as_json)
    raise typer.Exit(1 if failed else 0)


def _compare(
    subjects: list[Subject], sources: list[Source], crop: Crop | None, reporter: Reporter
) -> tuple[list[Compared], dict[str, str]]:
    """Enlarge all photos; what is wrong with one is reported and costs no other."""
    from manet_cli.evaluation.studies.compare import compare_picture
    from manet_cli.jobs.sources import read_input

    compared: list[Compared] = []
    failed: dict[str, str] = {}
    for source in sources:
        try:
            if source.error:
                raise source.error
            if source.path is None:
                raise InputError("standard input is not compared: give a picture")
            with reporter.progress(source.name) as progress:
                data = read_input(source.path, source.name)
                compared.append(compare_picture(subjects, source.path.name, data, crop, progress))
        except ManetError as error:
            end_if_stopped()
            reporter.failure(error)
            failed[source.name] = str(error)
    return compared, failed


def _open_subjects(
    reporter: Reporter,
    names: list[str],
    scale: int | None,
    device: str,
    precision: str,
    tile: str,
    *,
    restorer: bool = False,
) -> list[Subject]:
    """Open the models; the first decides the scale for all where none was asked for."""
    from manet_cli.evaluation.studies.estimates import Subject
    from manet_cli.inference import SMALLEST_TILE
    from manet_cli.jobs.models import ModelOptions, open_models

    side = shared.parse_tile(tile, SMALLEST_TILE)
    models = open_models(
        names, ModelOptions(names[0], scale, device, precision, side, downloads=reporter.progress)
    )
    for _, opened in models:
        opened.engine.require(estimator=True, restorer=restorer)
    return [Subject(model, opened.scale, opened.device, opened.precision, tile) for model, opened in models]


def _read_hr(name: str) -> tuple[Tensor, dict[str, object]]:
    """Return a sharp picture, and what the numbers say about its file."""
    import hashlib

    from manet_cli.evaluation.pictures import hr_tensor
    from manet_cli.images import read_photo
    from manet_cli.inference import memory_reported
    from manet_cli.jobs.sources import read_input

    data = read_input(Path(name), name)
    with memory_reported(name):
        picture = hr_tensor(read_photo(data, name), name)
    return picture, {"image": Path(name).name, "image_sha256": hashlib.sha256(data).hexdigest()}


def _finish(study: Study, about: dict[str, object], files: StudyFiles, as_json: bool) -> None:
    """Write both files, and print the numbers or the paths."""
    import dataclasses
    import json

    from manet_cli.console import print_lines

    numbers = {"study": study.numbers["study"], **about, **study.numbers}
    files.write(dataclasses.replace(study, numbers=numbers))
    print_lines(
        [json.dumps(numbers, allow_nan=False)] if as_json else [str(files.figure), str(files.numbers)]
    )
