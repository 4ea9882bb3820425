"""``manet weights``: what weights there are, whether they are sound, and other file formats of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from manet_cli.commands import options as shared
from manet_cli.errors import OutputError, WeightsError

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List, check, find and convert weights.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A family, an entry, or a .safetensors or .pth file.")
]
JsonOutput = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


@app.command("list")
def list_weights(as_json: JsonOutput = False) -> None:
    """List the weights that are known, and which of them are here."""
    from manet_cli.console import print_lines, print_table
    from manet_cli.weights import load_manifest

    entries = load_manifest()
    if as_json:
        print_lines([json.dumps([entry.fields() for entry in entries], indent=2)])
        return
    rows = []
    for entry in entries:
        size = entry.size
        where = f"shipped, {size / 1e6:.1f} MB" if size is not None else "to download"
        rows.append([entry.name, entry.family, f"x{entry.scale}", where, entry.summary])
    print_table(["name", "--model", "scale", "where", "what"], rows)


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Entries, families or files. (default: all shipped)"),
    ] = None,
    scale: shared.Scale = None,
) -> None:
    """Hash weight files, compare them with the manifest, and check that they make a network."""
    from manet_cli.console import print_error, print_lines
    from manet_cli.weights import load_manifest, load_weights

    failed = False
    for name in names or [entry.name for entry in load_manifest() if entry.file]:
        try:
            weights, _ = load_weights(name, scale)
        except WeightsError as error:
            print_error(error)
            failed = True
        else:
            print_lines([f"{name}: sound, sha256 {weights.sha256}"])
    raise typer.Exit(WeightsError.exit_code if failed else 0)


@app.command()
def path(name: Name, scale: shared.Scale = None) -> None:
    """Print the path of a weight file."""
    from manet_cli.console import print_lines
    from manet_cli.weights import weights_path

    print_lines([str(weights_path(name, scale))])


@app.command()
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
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists: give --overwrite or choose another name")
    write_weights(weights, target)
    print_lines([str(target)])


@app.command()
def show(name: Name, scale: shared.Scale = None, as_json: JsonOutput = False) -> None:
    """Print what a weight file holds: configuration, parameters, digest, training, evaluation."""
    from manet_cli.console import print_lines
    from manet_cli.weights import describe_weights

    fields = describe_weights(name, scale)
    if as_json:
        print_lines([json.dumps(fields, indent=2)])
        return
    print_lines([f"{key}: {value}" for key, value in fields.items() if value is not None])
