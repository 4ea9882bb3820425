"""``manet upscale``: blind super-resolution of files, folders, patterns or standard input."""

from __future__ import annotations

import time
from enum import Enum
from typing import Annotated

import typer

from manet_cli.commands import options as shared
from manet_cli.commands.batch import carry_out, check_stdout, report_left_out, report_preview
from manet_cli.commands.help import BLUR, FILES, QUALITY, SPEED
from manet_cli.errors import UsageError

__all__ = ["upscale"]


class Registration(str, Enum):
    """Alignment of the result with the input."""

    input = "input"
    protocol = "protocol"


def _parse_depth(text: str) -> int:
    """Return the number of bits that ``--depth`` names.

    Raises:
        UsageError: it is not 8.
    """
    if text != "8":
        raise UsageError(f"--depth {text}: expected 8; without --depth, the result keeps the input's depth")
    return 8


def upscale(
    inputs: shared.Inputs,
    scale: shared.Scale = None,
    output: shared.Output = None,
    format: shared.Format = None,
    quality: shared.Quality = None,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            metavar="8",
            parser=_parse_depth,
            help="Write 8 bits per channel, even for photos with 16.",
            rich_help_panel=QUALITY,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="xF|WxH|Wx|xH",
            help="Size of the result: a factor up to 8, such as x3 or x2.5, or pixels: a width, a height, "
            "or a box to fit. The aspect ratio stays.",
            rich_help_panel=QUALITY,
        ),
    ] = None,
    recursive: shared.Recursive = False,
    model: shared.Model = "default",
    denoise: shared.Denoise = None,
    device: shared.Devices = "auto",
    precision: shared.Precision = "auto",
    tile: shared.Tile = "auto",
    max_pixels: shared.MaxPixels = shared.DEFAULT_MAX_PIXELS,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Make the same result as without tiles: full context for each tile, blur at every pixel. "
            "Slower.",
            rich_help_panel=SPEED,
        ),
    ] = False,
    registration: Annotated[
        Registration,
        typer.Option(
            "--registration",
            help="Align the result with the input, or keep the offset of the published protocol.",
            rich_help_panel=QUALITY,
        ),
    ] = Registration.input,
    kernel: Annotated[
        str | None,
        typer.Option(
            "--kernel",
            metavar="FILE.npy",
            help="Use this blur instead of estimating it.",
            rich_help_panel=BLUR,
        ),
    ] = None,
    sigma: Annotated[
        str | None,
        typer.Option(
            "--sigma",
            metavar="SX[,SY[,THETA]]",
            help="Use this blur: standard deviations in result pixels, angle in degrees.",
            rich_help_panel=BLUR,
        ),
    ] = None,
    kernel_map: Annotated[
        str | None,
        typer.Option(
            "--kernel-map",
            metavar="FILE",
            help="Use the blur of every pixel, or every Nth, from a file of 'manet kernels', edited or not.",
            rich_help_panel=BLUR,
        ),
    ] = None,
    strength: Annotated[
        float,
        typer.Option(
            "--strength",
            metavar="F",
            rich_help_panel=BLUR,
            help="Amount of blur to remove. 1: all of it. 0.5: gentler; soft backgrounds stay softer, grain "
            "is sharpened less. Above 1: harsher.",
        ),
    ] = 1.0,
    smooth: Annotated[
        int,
        typer.Option(
            "--smooth",
            metavar="R",
            help="Smooth the blur: median filter with a radius of R input pixels.",
            rich_help_panel=BLUR,
        ),
    ] = 0,
    flat_sigma: Annotated[
        str | None,
        typer.Option(
            "--flat-sigma",
            metavar="SX[,SY[,THETA]]",
            help="Use this blur in flat areas, where it cannot be measured; see --sigma.",
            rich_help_panel=BLUR,
        ),
    ] = None,
    save_kernels: Annotated[
        str | None,
        typer.Option(
            "--save-kernels",
            metavar="PATH",
            help="Also write the kernel map: to this file, for several inputs to this folder.",
            rich_help_panel=FILES,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Blur and shrink each result, compare it with its input, and warn if they differ.",
            rich_help_panel=QUALITY,
        ),
    ] = False,
    overwrite: shared.Overwrite = False,
    dry_run: shared.DryRun = False,
    fail_fast: shared.FailFast = False,
    as_json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Make pictures large and sharp, without knowing how they were blurred.

    Writes NAME_x4.png beside the input and keeps its metadata. Existing results of the same input, weights
    and settings are skipped, so you can repeat a run.
    """
    shared.check_inputs(inputs, quiet=quiet)
    from manet_cli.console import Reporter
    from manet_cli.inference import SMALLEST_TILE
    from manet_cli.jobs.blur.source import BlurOptions, parse_sigma
    from manet_cli.jobs.denoise import parse_denoise
    from manet_cli.jobs.models import ModelOptions
    from manet_cli.jobs.upscale.plan import plan_destination
    from manet_cli.jobs.upscale.run import Request, open_run
    from manet_cli.jobs.upscale.sharing import join_fleet

    started = time.time()  # wall-clock time, which also counts while the computer sleeps
    fleet = join_fleet()
    if fleet is not None and dry_run and not fleet.first:
        raise typer.Exit  # the first process prints the plan
    reporter = Reporter(as_json=as_json, quiet=quiet or (fleet is not None and not fleet.first))
    destination = plan_destination(inputs, output, format)
    check_stdout(destination, as_json=as_json, preview=dry_run)
    request = Request(
        inputs,
        destination,
        ModelOptions(
            model,
            scale,
            fleet.device(device) if fleet else device,
            precision,
            shared.parse_tile(tile, SMALLEST_TILE),
            exact,
            downloads=None if dry_run else reporter.progress,
        ),
        BlurOptions(
            kernel,
            None if sigma is None else parse_sigma(sigma),
            kernel_map,
            strength,
            smooth,
            None if flat_sigma is None else parse_sigma(flat_sigma, "flat_sigma"),
        ),
        denoise=parse_denoise(denoise),
        recursive=recursive,
        quality=quality,
        registration=registration.value,
        size=size,
        max_pixels=max_pixels,
        depth=depth,
        kernels=save_kernels,
        check=check,
        overwrite=overwrite,
        fail_fast=fail_fast,
    )
    run = open_run(request)
    report_left_out(run.left_out, reporter)
    if dry_run:
        failed = report_preview(run, reporter)
    else:
        failed = carry_out(run.items, lambda watch: run.results(watch, fleet), reporter, started)
    raise typer.Exit(1 if failed else 0)
