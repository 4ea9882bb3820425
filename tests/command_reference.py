"""Make the page of all commands from the command line: ``python -m tests.command_reference``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from manet_cli.cli import app

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
HEAD = """# Commands

This page is made from the command line itself by `python -m tests.command_reference`.
`manet COMMAND --help` shows the same.
"""


def commands(group: Any, name: str = "manet") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - Typer's own classes
    """Yield the full name of every command, and the command."""
    for child in getattr(group, "commands", {}).values():
        if hasattr(child, "commands"):
            yield from commands(child, f"{name} {child.name}")
        else:
            yield f"{name} {child.name}", child


COMMANDS: dict[str, Any] = dict(commands(typer.main.get_command(app)))


def reference() -> str:
    """The page, in Markdown."""
    return HEAD + "".join(_section(name, command) for name, command in COMMANDS.items())


def _section(name: str, command: Any) -> str:  # noqa: ANN401
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    groups: dict[str, list[str]] = {}
    for parameter in command.get_params(context):
        if "--help" not in parameter.opts and not getattr(parameter, "hidden", False):
            groups.setdefault(_group(parameter), []).append(_row(parameter, context))
    tables = "".join(
        f"\n| {group} | value | |\n|---|---|---|\n" + "".join(rows) for group, rows in groups.items()
    )
    return f"\n## {name}\n\n```sh\n{usage}\n```\n\n{_words(command.help)}\n{tables}"


def _group(parameter: Any) -> str:  # noqa: ANN401
    if parameter.param_type_name == "argument":
        return "Arguments"
    return parameter.rich_help_panel or "Options"


def _row(parameter: Any, context: Any) -> str:  # noqa: ANN401
    given = parameter.param_type_name == "argument"
    names = [parameter.display_name_raw] if given else [*parameter.opts, *parameter.secondary_opts]
    flag = given or parameter.is_flag
    value = "" if flag else (parameter.display_type_rich(context) or "").strip("<>")
    notes = []
    if parameter.required:
        notes.append("required")
    if isinstance(variable := parameter.envvar, str):
        notes.append(f"environment: `{variable}`")
    if not flag and parameter.show_default and parameter.default is not None:
        default = getattr(parameter.default, "value", parameter.default)
        notes.append(f"default: {', '.join(map(str, default)) if isinstance(default, list) else default}")
    cells = [
        ", ".join(f"`{name}`" for name in names),
        f"`{value}`" if value else "",
        " ".join([_words(parameter.help or ""), *(f"({note})" for note in notes)]),
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _words(text: str) -> str:
    """Mark options, files and commands in a help text as code, and keep its paragraphs."""
    text = re.sub(r"'(manet [a-z ]+)'", r"`\1`", text)
    return re.sub(r"(?<![\w`-])(--?[a-z][a-z-]*)(?![\w`])", r"`\1`", text)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}\n")
