"""Options that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from manet_cli.errors import UsageError

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "Denoise",
    "Device",
    "Devices",
    "Json",
    "MaxPixels",
    "Model",
    "Models",
    "Overwrite",
    "Precision",
    "Quiet",
    "Recursive",
    "Scale",
    "Tile",
    "Variances",
    "VariancesAsKernel",
    "parse_tile",
    "stated_variances",
]

Scale: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--scale", "-s", min=2, max=4, help="Enlargement: 2, 3 or 4. (default: 4)", show_default=False
    ),
]
Model: TypeAlias = Annotated[
    str,
    typer.Option(
        "--model",
        envvar="MANET_MODEL",
        help="Family of weights (see 'manet weights list'), a .safetensors or .pth file, or a source: "
        "hf://OWNER/REPO/FILE@REVISION or https://...",
    ),
]
Denoise: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--denoise",
        metavar="auto|F",
        help="Remove noise and JPEG's traces: 0 for clean pictures, 1 for photos from cameras; auto measures "
        "each picture. 0 sharpens noise with the rest. (default: auto)",
        show_default=False,
    ),
]
Device: TypeAlias = Annotated[
    str, typer.Option("--device", envvar="MANET_DEVICE", help="auto, cpu, cuda, cuda:N or mps.")
]
Devices: TypeAlias = Annotated[
    str,
    typer.Option(
        "--device",
        envvar="MANET_DEVICE",
        help="auto, cpu, mps, cuda (all GPUs), or some of them as cuda:0 or cuda:0,1.",
    ),
]
Precision: TypeAlias = Annotated[
    str, typer.Option("--precision", envvar="MANET_PRECISION", help="auto, fp32, bf16 or fp16.")
]
Tile: TypeAlias = Annotated[
    str,
    typer.Option(
        "--tile", envvar="MANET_TILE", help="Largest side of a tile in input pixels; auto, or 0 for no tiles."
    ),
]
Models: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="Family, file or source of weights; give it again to compare. By default what "
        "MANET_MODEL names, else the family 'default'.",
        show_default=False,
    ),
]
MaxPixels: TypeAlias = Annotated[
    int,
    typer.Option(
        "--max-pixels",
        envvar="MANET_MAX_PIXELS",
        min=1,
        help="Refuse larger inputs: a small file may claim to be huge.",
    ),
]
DEFAULT_MAX_PIXELS = 200_000_000
Recursive: TypeAlias = Annotated[
    bool, typer.Option("--recursive", "-r", help="Take the folders below a folder too.")
]
Overwrite: TypeAlias = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object per input on stdout.")]
Variances: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--variances",
        metavar="SIG1,SIG2,THETA",
        help="One Gaussian blur: variances along its axes in HR pixels squared, angle in degrees.",
    ),
]
VariancesAsKernel: TypeAlias = Annotated[
    str | None, typer.Option("--kernel", hidden=True, help="The earlier name of --variances.")
]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but results and errors.")
]


def parse_tile(text: str, smallest: int) -> int | None:
    """Return the tile size that ``--tile`` names; None for auto.

    Raises:
        UsageError: it is neither auto, 0, nor a whole number from ``smallest`` on.
    """
    if text == "auto":
        return None
    if not text.isdecimal() or 0 < int(text) < smallest:
        raise UsageError(f"--tile {text}: expected auto, 0, or a whole number from {smallest} on.")
    return int(text)


def stated_variances(variances: str | None, kernel: str | None) -> str | None:
    """Return the text of ``--variances``, or of ``--kernel``, its earlier name.

    Raises:
        UsageError: both are given, or ``--kernel`` is a file, as elsewhere.
    """
    if kernel is None:
        return variances
    if variances is not None:
        raise UsageError("--variances and --kernel both give the blur; give --variances alone")
    if "," not in kernel and Path(kernel).suffix:
        raise UsageError(
            f"--kernel {kernel}: no file is taken here; describe the blur by --variances SIG1,SIG2,THETA, "
            "such as --variances 9,1,45"
        )
    return kernel
