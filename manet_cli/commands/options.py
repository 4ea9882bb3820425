"""Options shared by several commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from manet_cli.commands.help import DEGRADATION, FILES, QUALITY, SCRIPTS, SPEED
from manet_cli.errors import UsageError
from manet_cli.images.formats import DEFAULT_FORMAT, FORMATS, listed

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "Denoise",
    "Device",
    "Devices",
    "DryRun",
    "FailFast",
    "Format",
    "Inputs",
    "Json",
    "MaxPixels",
    "Model",
    "Models",
    "Output",
    "Overwrite",
    "Precision",
    "Quality",
    "Quiet",
    "Recursive",
    "Scale",
    "Tile",
    "Variances",
    "VariancesAsKernel",
    "parse_tile",
    "stated_variances",
]

_SCALES = (2, 3, 4)
_LARGEST_FACTOR = 8.0


_LONG_DASHES = ("\N{EN DASH}", "\N{EM DASH}")


def _parse_scale(text: str) -> int:
    """Return the number that ``--scale`` names.

    Raises:
        UsageError: it is not 2, 3 or 4.
    """
    try:
        factor = float(text.strip().lower().strip("x"))
    except ValueError:
        factor = 0.0
    if text in map(str, _SCALES):
        return int(text)
    if factor in _SCALES:
        raise UsageError(f"-s {text}: type -s {factor:g}")
    other = ""
    if 0 < factor <= _LARGEST_FACTOR:
        other = f"; for another factor, type manet upscale --size x{factor:g}"
    raise UsageError(f"-s {text}: expected 2, 3 or 4{other}")


def _quality_help() -> str:
    lossy = [entry for entry in FORMATS if entry.default_quality is not None]
    defaults = ", ".join(str(entry.default_quality) for entry in lossy)
    return f"Quality of {listed((entry.title for entry in lossy), 'and')}. (default: {defaults})"


Inputs: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Pictures, folders, glob patterns, @FILE (a list of names; @- is stdin), or - (a picture).",
    ),
]
Output: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="File or folder to write, or - for stdout. (default: beside the input)",
        rich_help_panel=FILES,
    ),
]
Format: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help=f"{listed(entry.name for entry in FORMATS)}. (default: by -o, else {DEFAULT_FORMAT.name})",
        rich_help_panel=FILES,
    ),
]
Quality: TypeAlias = Annotated[
    int | None,
    typer.Option("--quality", metavar="N", min=1, max=100, help=_quality_help(), rich_help_panel=QUALITY),
]
DryRun: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        "-n",
        help="Show the plan with sizes, memory and time. Write nothing.",
        rich_help_panel=SCRIPTS,
    ),
]
FailFast: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--fail-fast",
        help="Stop at the first input that fails. Start nothing if the plan has errors.",
        rich_help_panel=SCRIPTS,
    ),
]
Scale: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--scale",
        "-s",
        parser=_parse_scale,
        metavar="2|3|4",
        help="Enlargement factor. (default: 4)",
        show_default=False,
        rich_help_panel=QUALITY,
    ),
]
Model: TypeAlias = Annotated[
    str,
    typer.Option(
        "--model",
        envvar="MANET_MODEL",
        metavar="NAME|FILE",
        help="Family of weights (see 'manet weights list'), a .safetensors or .pth file, or a source "
        "(hf://... or https://...).",
        rich_help_panel=QUALITY,
    ),
]
Denoise: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--denoise",
        metavar="auto|F",
        rich_help_panel=QUALITY,
        help="Remove noise and JPEG artefacts: 0 for clean pictures (noise is sharpened, too), 1 for photos "
        "from cameras, auto to measure each picture. (default: auto)",
        show_default=False,
    ),
]
Device: TypeAlias = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        envvar="MANET_DEVICE",
        help="auto, cpu, cuda, cuda:N, mps or openvino (an extra; also openvino:GPU, openvino:NPU). "
        "auto takes a GPU, else openvino on x86-64 if it is installed, else cpu.",
        rich_help_panel=SPEED,
    ),
]
Devices: TypeAlias = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        envvar="MANET_DEVICE",
        help="auto, cpu, mps, cuda (all GPUs), some GPUs (cuda:0 or cuda:0,1), or openvino (an extra; "
        "also openvino:GPU, openvino:NPU). auto takes a GPU, else openvino on x86-64 if it is installed, "
        "else cpu.",
        rich_help_panel=SPEED,
    ),
]
Precision: TypeAlias = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="NAME",
        envvar="MANET_PRECISION",
        help="auto, fp32, bf16, fp16, or int8 (with --device openvino; see docs/openvino.md).",
        rich_help_panel=SPEED,
    ),
]
Tile: TypeAlias = Annotated[
    str,
    typer.Option(
        "--tile",
        metavar="N",
        envvar="MANET_TILE",
        help="Largest side of a tile in input pixels, auto, or 0 for no tiles.",
        rich_help_panel=SPEED,
    ),
]
Models: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME|FILE",
        help="Family, file or source of weights. Repeat it to compare several. (default: MANET_MODEL, else "
        "the family 'default')",
        show_default=False,
        rich_help_panel=QUALITY,
    ),
]
MaxPixels: TypeAlias = Annotated[
    int,
    typer.Option(
        "--max-pixels",
        metavar="N",
        envvar="MANET_MAX_PIXELS",
        min=1,
        help="Refuse inputs with more pixels: a small file may claim a huge size.",
        rich_help_panel=FILES,
    ),
]
DEFAULT_MAX_PIXELS = 200_000_000
Recursive: TypeAlias = Annotated[
    bool,
    typer.Option("--recursive", "-r", help="Include subfolders.", rich_help_panel=FILES),
]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace existing outputs.", rich_help_panel=FILES)
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object per input on stdout.", rich_help_panel=SCRIPTS)
]
Variances: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--variances",
        metavar="SIG1,SIG2,THETA",
        help="One Gaussian blur: variances along its axes in HR pixels squared, angle in degrees.",
        rich_help_panel=DEGRADATION,
    ),
]
VariancesAsKernel: TypeAlias = Annotated[
    str | None, typer.Option("--kernel", hidden=True, help="Earlier name of --variances.")
]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only results and errors.", rich_help_panel=SCRIPTS)
]


def check_inputs(inputs: list[str], *, quiet: bool) -> None:
    """Check that no option was read as an input: ``-q 80`` for a quality, or a long dash for two dashes.

    Raises:
        UsageError: one was, and no file has this name.
    """
    for name in inputs:
        if os.path.lexists(name):
            continue
        if quiet and name.isdecimal():
            raise UsageError(f"-q means --quiet and takes no number: type --quality {name}")
        if name.startswith(_LONG_DASHES):
            raise UsageError(f"{name} begins with a long dash: type two short ones, --{name[1:]}")


def parse_tile(text: str, smallest: int) -> int | None:
    """Return the tile size that ``--tile`` names; None for auto.

    Raises:
        UsageError: it is not auto, 0, or a whole number of at least ``smallest``.
    """
    if text == "auto":
        return None
    if not text.isdecimal() or 0 < int(text) < smallest:
        raise UsageError(f"--tile {text}: expected auto, 0, or a whole number of at least {smallest}")
    return int(text)


def stated_variances(variances: str | None, kernel: str | None) -> str | None:
    """Return the text of ``--variances``, or of ``--kernel``, its earlier name.

    Raises:
        UsageError: both are given, or ``--kernel`` names a file, as in other commands.
    """
    if kernel is None:
        return variances
    if variances is not None:
        raise UsageError("--variances conflicts with --kernel, its earlier name: give only --variances")
    if "," not in kernel and Path(kernel).suffix:
        raise UsageError(
            f"--kernel {kernel}: expected variances, not a file; type --variances SIG1,SIG2,THETA, "
            "such as --variances 9,1,45"
        )
    return kernel
