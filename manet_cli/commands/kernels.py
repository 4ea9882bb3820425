"""``manet kernels``: the blur kernel of every pixel, as an array, a picture and a summary."""

from __future__ import annotations

import time
from enum import Enum
from typing import Annotated

import typer

from manet_cli.commands import options as shared
from manet_cli.commands.help import FILES
from manet_cli.errors import ManetError, UsageError

__all__ = ["kernels"]


class Dtype(str, Enum):
    """Number format of an array."""

    float16 = "float16"
    float32 = "float32"


def kernels(
    input: Annotated[str, typer.Argument(metavar="INPUT", help="A picture, or - for stdin.")],
    scale: shared.Scale = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "--out",
            "-o",
            metavar="FILE",
            help="Array to write: .npy, or .npz, which also names the input, weights and settings.",
            rich_help_panel=FILES,
        ),
    ] = None,
    codes: Annotated[
        bool,
        typer.Option(
            "--codes",
            help="Write each kernel's PCA coefficients, and the basis to rebuild it.",
            rich_help_panel=FILES,
        ),
    ] = False,
    params: Annotated[
        bool,
        typer.Option(
            "--params", help="Write each kernel's two standard deviations and angle.", rich_help_panel=FILES
        ),
    ] = False,
    picture: Annotated[
        str | None,
        typer.Option(
            "--picture",
            metavar="FILE.png",
            help="Draw the blur over the photo. (default: INPUT_x4_kernels.png, unless an array is written)",
            rich_help_panel=FILES,
        ),
    ] = None,
    summary: Annotated[
        bool,
        typer.Option(
            "--summary", help="Print the summary on stdout. Draw no picture.", rich_help_panel=FILES
        ),
    ] = False,
    stride: Annotated[
        int,
        typer.Option(
            "--stride",
            metavar="N",
            min=1,
            help="Write every Nth pixel of every Nth row to the array.",
            rich_help_panel=FILES,
        ),
    ] = 1,
    dtype: Annotated[
        Dtype | None,
        typer.Option(
            "--dtype",
            help="Number format of the array. (default: float16; float32 for --params)",
            rich_help_panel=FILES,
        ),
    ] = None,
    large: Annotated[
        bool, typer.Option("--large", help="Allow an array of more than 2 GiB.", rich_help_panel=FILES)
    ] = False,
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
    """Estimate the blur kernel of every pixel, as a picture, a summary and an array.

    Without options it draws a picture beside the photo. --json and the options of the array write an array:
    (height, width, 21, 21), each kernel summing to 1; with --codes (height, width, 15), with --params
    (height, width, 3). To read a large .npy part by part, use numpy.load(FILE, mmap_mode="r").
    """
    from manet_cli.console import Reporter
    from manet_cli.inference import SMALLEST_TILE
    from manet_cli.jobs.denoise import parse_denoise
    from manet_cli.jobs.kernels.job import KernelsRequest, plan_kernels
    from manet_cli.jobs.models import ModelOptions, open_model

    if codes and params:
        raise UsageError("--codes conflicts with --params: an array holds one of them; give one")
    reporter = Reporter(as_json=as_json, quiet=quiet)
    side = shared.parse_tile(tile, SMALLEST_TILE)
    options = ModelOptions(model, scale, device, precision, side, dial=True, downloads=reporter.progress)
    opened = open_model(options)
    named = output is not None or codes or params
    about_array = stride != 1 or dtype is not None or large or as_json
    request = KernelsRequest(
        input,
        array=named or (about_array and picture is None and not summary),
        output=output,
        content="codes" if codes else "params" if params else "kernels",
        picture=picture,
        summary=summary,
        stride=stride,
        dtype=dtype.value if dtype else None,
        large=large,
        overwrite=overwrite,
        max_pixels=max_pixels,
        denoise=parse_denoise(denoise),
    )
    fields: dict[str, object] = {"input": input, "output": None, "status": "failed", "scale": opened.scale}
    started = time.perf_counter()
    try:
        job = plan_kernels(request, opened, options)
        if job.array:
            reporter.message(job.array.line())
        if job.kept:
            reporter.message(f"{job.picture}: made already, skipped")
        with reporter.progress(input) as progress:
            found = job.run(progress)
    except ManetError as error:
        reporter.result({**fields, "seconds": 0.0, "error": error})
        raise
    seconds = round(time.perf_counter() - started, 3)
    fields |= {"status": "done", **job.fields(found), "seconds": seconds, "error": None}
    lines = [str(path) for path in job.paths]
    for words in found.words():
        if summary:
            lines.append(words)
        else:
            reporter.message(words)
    reporter.result(fields, lines)
