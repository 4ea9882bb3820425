"""``manet weights``: list, pull, verify, find, convert, export and show weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from manet_cli.commands import options as shared
from manet_cli.commands.help import FILES, SCRIPTS, SPEED, ManetCommand, ManetGroup
from manet_cli.errors import ManetError, OutputError, WeightsError
from manet_cli.stopping import end_if_stopped

__all__ = ["app"]

app = typer.Typer(
    cls=ManetGroup, no_args_is_help=True, help="List, show, pull, verify, convert and export weights."
)

_WHAT = "A family, an entry, a .safetensors or .pth file, or a pulled source."
Name = Annotated[str, typer.Argument(metavar="NAME", help=_WHAT)]
JsonOutput = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.", rich_help_panel=SCRIPTS)]


@app.command("list", cls=ManetCommand)
def list_weights(as_json: JsonOutput = False) -> None:
    """List the known weights, and say which of them are here.

    --model takes a name, or a family: the name without the scale. 'default' is the pair of clean and camera,
    which --denoise mixes. Quality is PSNR-Y of the published test on Set5. 'manet weights show' prints more.
    """
    from manet_cli.console import print_json, print_table
    from manet_cli.weights import list_weights

    rows = list_weights()
    if as_json:
        print_json(rows, indent=2)
        return
    table = [["default", "", "", "shipped", "clean + camera"]]
    for row in rows:
        about = "" if row["path"] else "about "
        size = f"{about}{row['bytes'] / 1e6:.1f} MB" if isinstance(row["bytes"], int) else ""
        scale = f"x{row['scale']}" if row["scale"] else ""
        name, where, quality = (str(row[key] or "") for key in ("name", "where", "quality"))
        table.append([name, scale, size, where, quality])
    print_table(["name", "scale", "size", "where", "quality"], table)


@app.command(cls=ManetCommand)
def pull(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="Families, entries, hf://OWNER/REPO/FILE@REVISION or https://...",
        ),
    ],
    scale: shared.Scale = None,
    accept_unverified: Annotated[
        bool,
        typer.Option(
            "--accept-unverified",
            help="Accept a file without a known digest. Later pulls must have the same digest.",
            rich_help_panel=FILES,
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object per name on stdout.", rich_help_panel=SCRIPTS),
    ] = False,
    quiet: shared.Quiet = False,
) -> None:
    """Download weights into the cache, check them, and print their paths.

    A file must match its known digest. Pickles (.pth) are stored as .safetensors. Then --model takes the same
    name or address offline.
    """
    from manet_cli.console import Reporter
    from manet_cli.weights import locate_weights

    reporter = Reporter(as_json=as_json, quiet=quiet)
    code = 0
    for name in names:
        fields: dict[str, object] = {"name": name, "status": "failed", "path": None, "sha256": None}
        try:
            located = locate_weights(
                name, scale, accept_unverified=accept_unverified, downloads=reporter.progress
            )
        except ManetError as error:
            end_if_stopped()
            code = error.exit_code
            reporter.result({**fields, "error": error})
            reporter.failure(error, name)
            continue
        fields |= {"status": located.status, "path": str(located.path), "sha256": located.sha256}
        reporter.message(f"{name}: {located.status}, sha256 {located.sha256}")
        reporter.result({**fields, "error": None}, [str(located.path)])
    raise typer.Exit(code)


@app.command(cls=ManetCommand)
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help=f"{_WHAT} (default: all that are here)")
    ] = None,
    scale: shared.Scale = None,
) -> None:
    """Hash weight files, compare them with their known digests, and check their content."""
    from manet_cli.console import print_error, print_lines
    from manet_cli.weights import load_weights, names_here

    failed = False
    for name in names or names_here():
        try:
            weights, _ = load_weights(name, scale)
        except WeightsError as error:
            end_if_stopped()
            print_error(error)
            failed = True
        else:
            print_lines([f"{name}: sound, sha256 {weights.sha256}"])
    raise typer.Exit(WeightsError.exit_code if failed else 0)


@app.command(cls=ManetCommand)
def path(name: Name, scale: shared.Scale = None) -> None:
    """Print the path of a weight file."""
    from manet_cli.console import print_lines
    from manet_cli.weights import locate_weights

    print_lines([str(locate_weights(name, scale).path)])


@app.command(cls=ManetCommand)
def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A weight file, in our layout or the published one.")
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write: .safetensors or .pth.")],
    overwrite: shared.Overwrite = False,
) -> None:
    """Convert weights: .safetensors in this tool's layout, .pth in the published one."""
    from manet_cli.console import print_lines
    from manet_cli.weights import read_weights, write_weights

    weights = read_weights(source)
    _check_target(target, source, overwrite=overwrite)
    write_weights(weights, target)
    print_lines([str(target)])


@app.command(cls=ManetCommand)
def export(
    name: Name,
    target: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="The file to write.")],
    scale: shared.Scale = None,
    size: Annotated[
        str,
        typer.Option(
            "--size",
            metavar="N|dynamic",
            help="Side of the graph's input in pixels, or dynamic for any size.",
            rich_help_panel=FILES,
        ),
    ] = "dynamic",
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            help="Number format of the inner layers: fp32, or fp16 for GPUs.",
            rich_help_panel=SPEED,
        ),
    ] = "fp32",
    overwrite: shared.Overwrite = False,
) -> None:
    """Write both networks to one ONNX file, for other programs.

    Its input is RGB in [0, 1]. Its output is the enlarged picture, aligned with the input. Needs the extra
    'onnx'.
    """
    from manet_cli.console import print_lines
    from manet_cli.jobs.onnx_export import export_onnx, parse_graph_size
    from manet_cli.weights import load_weights, locate_weights

    side = parse_graph_size(size)
    source = locate_weights(name, scale).path
    _check_target(target, source, overwrite=overwrite)
    weights, _ = load_weights(name, scale)
    export_onnx(weights, target, size=side, precision=precision)
    print_lines([str(target)])


def _check_target(target: Path, source: Path, *, overwrite: bool) -> None:
    """Raise OutputError if a file must not be written."""
    from manet_cli.atomic import check_name
    from manet_cli.file_identity import same_file

    if same_file(target, source):
        raise OutputError(f"{target} is the input, and inputs are never overwritten: choose another name")
    check_name(target)
    if os.path.lexists(target) and not overwrite:
        raise OutputError(f"{target} exists: give --overwrite or choose another name")


@app.command(cls=ManetCommand)
def show(name: Name, scale: shared.Scale = None, as_json: JsonOutput = False) -> None:
    """Print the configuration, parameters, digest, training and evaluation of weights."""
    from manet_cli.console import print_json, print_lines
    from manet_cli.weights import describe_weights

    fields = describe_weights(name, scale)
    if as_json:
        print_json(fields, indent=2)
        return
    print_lines([f"{key}: {value}" for key, value in fields.items() if value is not None])
