"""``manet replay``: the command that makes a result again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from manet_cli.commands import options as shared
from manet_cli.commands.help import FILES
from manet_cli.errors import ManetError, UsageError
from manet_cli.file_identity import is_folder
from manet_cli.stopping import end_if_stopped

__all__ = ["replay"]


def replay(
    outputs: Annotated[
        list[Path],
        typer.Argument(metavar="OUTPUT...", help="Results of upscale, deblur, compare, kernels or explore."),
    ],
    input: Annotated[
        Path | None,
        typer.Option(
            "--input",
            "-i",
            metavar="PATH",
            help="The original picture, or a folder to search. (default: the result's folder and its parent)",
            rich_help_panel=FILES,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="Output of the command. (default: the result itself)",
            rich_help_panel=FILES,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME|FILE",
            help="The weights, if this installation lacks them.",
            rich_help_panel=FILES,
        ),
    ] = None,
    kernel: Annotated[
        Path | None,
        typer.Option(
            "--kernel",
            metavar="FILE.npy",
            help="The blur, if it came from a file.",
            rich_help_panel=FILES,
        ),
    ] = None,
    as_json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Print the command that makes a result again, from the record inside it.

    Runs nothing. Finds the original picture by its content, even if it was renamed. The command is quoted, so
    you can pipe it into a shell. That run skips results that still exist.
    """
    from manet_cli import __version__
    from manet_cli.console import Reporter
    from manet_cli.jobs.replay import plan_replay

    into_folder = output is not None and (output.endswith(("/", os.sep)) or is_folder(Path(output)))
    if output is not None and not into_folder and len(outputs) > 1:
        raise UsageError(f"-o {output}: for several results give a folder, with a / at its end if it is new")
    reporter = Reporter(as_json=as_json, quiet=quiet)
    failed = False
    for path in outputs:
        fields: dict[str, object] = {"output": str(path), "input": None, "command": None, "error": None}
        try:
            target = None if output is None else Path(output, path.name if into_folder else "")
            found = plan_replay(path, sought=input, model=model, kernel=kernel, target=target)
        except ManetError as error:
            end_if_stopped()
            failed = True
            reporter.result(fields | {"error": error})
            reporter.failure(error, str(path))
            continue
        fields |= {"input": str(found.input), "command": list(found.command), "record": found.record.fields()}
        if found.record.tool != f"manet_cli {__version__}":
            reporter.message(f"{path} was made by {found.record.tool}; this is manet_cli {__version__}")
        reporter.result(fields, [found.line()])
    raise typer.Exit(1 if failed else 0)
