"""Layout of the help: options in groups, paragraphs as wide as the terminal, switches without a type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from manet_cli.file_identity import quoted, unquoted_file

__all__ = [
    "BLUR",
    "DEGRADATION",
    "FILES",
    "QUALITY",
    "SCRIPTS",
    "SPEED",
    "TRAINING",
    "ManetCommand",
    "ManetGroup",
]

FILES, QUALITY, BLUR, SPEED, SCRIPTS = "Input and output", "Quality", "Blur", "Speed", "Scripts"
DEGRADATION, TRAINING = "Degradation", "Training"

_ORDER = (FILES, QUALITY, BLUR, DEGRADATION, TRAINING, SPEED, SCRIPTS)


_KEEPS_SIZE = "the result keeps its size; to enlarge type manet upscale"
_HINTS = {
    ("upscale", "--variances"): "type --sigma with their square roots, the standard deviations",
    ("deblur", "--scale"): _KEEPS_SIZE,
    ("deblur", "-s"): _KEEPS_SIZE,
    ("degrade", "--sigma"): "type --variances with their squares",
    ("evaluate", "--sigma"): "type --protocol SIG1,SIG2,THETA with their squares, the variances",
}
"""A command and an option that it lacks -> what to type instead."""

_NAMES_ELSEWHERE = {
    "-o": ("--out", "--outdir", "--out-dir", "--output-dir", "--outfile", "--dest"),
    "-s": ("--factor", "--zoom", "--outscale", "--upscale", "--ratio"),
    "--format": ("--ext", "--type", "--extension"),
    "--model": ("--weights", "--model-name", "--model-path", "--checkpoint"),
    "--device": ("--gpu", "--gpu-id", "--cpu", "--cuda"),
    "--precision": ("--fp32", "--fp16", "--half", "--bf16", "--int8"),
    "--tile": ("--tile-size", "--tilesize", "--block-size"),
    "--denoise": ("--noise", "--noise-level", "--denoise-strength"),
    "--size": ("--width", "--height", "--resize", "--res"),
    "--quality": ("--jpeg-quality", "--compression"),
    "--overwrite": ("--force", "--yes", "--replace"),
    "--recursive": ("--recurse", "--subfolders"),
    "--dry-run": ("--preview", "--simulate", "--what-if"),
}
"""An option -> its names in other programs."""

_COMMANDS_ELSEWHERE = {
    "upscale": ("enlarge", "enhance", "upsize", "resize", "restore", "run", "sr", "superres"),
    "deblur": ("sharpen", "unblur", "sharp"),
    "kernels": ("kernel", "blur", "psf"),
    "weights": ("models", "model"),
    "weights pull": ("download", "pull", "fetch"),
    "doctor": ("check", "info", "devices"),
    "--version": ("version",),
    "--help": ("help",),
    "evaluate": ("test", "benchmark", "psnr"),
}
"""A command -> its names in other programs."""


class ManetCommand(TyperCommand):
    """A command whose help fits 80 columns.

    All commands show the groups of options in the same order. Switches and arguments show no type.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - whatever Typer gives
        super().__init__(*arguments, **options)
        self.help = _unwrapped(self.help or "")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - Typer's own classes
        """Read the options; for an option of another command, add to the error what to type."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            known = {option for parameter in self.params for option in parameter.opts}
            _add_hint(error, ctx.info_name, given, known)
            raise

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - Typer's own classes
        """Return the parameters in the order of their groups."""
        parameters = _without_types(super().get_params(ctx))
        for parameter in parameters:
            if "--help" in parameter.opts:
                parameter.rich_help_panel = SCRIPTS
        return sorted(parameters, key=_place)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 - Typer's own classes
        """Return the words of the usage line: ``INPUT...``, where Typer writes ``{INPUT...}...``."""
        return [re.sub(r"\{(\S+?)(?:\.\.\.)?\}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]


class ManetGroup(TyperGroup):
    """A group of commands, with the same layout of the help.

    Usage errors show no control characters.
    """

    def make_context(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - Typer's own classes
        """Read the options before the command."""
        with _printable_complaints():
            return super().make_context(*arguments, **options)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - Typer's own classes
        """Find the command; for a file or a word of other programs, add to the error what to type."""
        try:
            return super().resolve_command(ctx, args)
        except Exception as error:
            if ctx.parent is None and hasattr(error, "message"):
                if _is_file(args[0]):
                    error.message = (
                        f"{args[0]!r} is a file, not a command: type manet upscale {shlex.quote(args[0])}"
                    )
                elif (split := unquoted_file(args)) is not None:
                    error.message = f"{args[0]!r} is not a command: type manet upscale {quoted(split[0])}"
                elif meant := _meant(args[0], _COMMANDS_ELSEWHERE):
                    error.message = f"No such command {args[0]!r}: type manet {meant}"
            raise

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer's own classes
        """Read the options of the command and run it."""
        with _printable_complaints():
            return super().invoke(ctx)

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - Typer's own classes
        """Return the parameters."""
        return _without_types(super().get_params(ctx))


def _meant(word: str, names: Mapping[str, Collection[str]]) -> str | None:
    """Return the name of this program for one of other programs."""
    word = word.lower().replace("_", "-")
    return next((ours for ours, theirs in names.items() if word in theirs), None)


def _add_hint(error: Exception, command: str, given: list[str], known: Collection[str]) -> None:
    """Add to an error about an option or an argument what to type instead; ``known`` are all options."""
    message = getattr(error, "message", None)
    if command == "train" and "--resume" in given and type(error).__name__ == "MissingParameter":
        error.message = "Repeat the command of the run, with --resume"  # type: ignore[attr-defined]
    if not isinstance(message, str):
        return
    dashed = next((text for text in given if text.startswith("-") and _is_file(text)), None)
    option = str(getattr(error, "option_name", ""))
    hint = _HINTS.get((command, option))
    if (meant := _meant(option, _NAMES_ELSEWHERE)) in known:
        hint = hint or f"type {meant}"
    if message.startswith("Got unexpected extra") and (name := _unquoted(given)) is not None:
        hint = f"a name with spaces needs quotes, {quoted(name)}"
    elif command == "compare" and message.startswith("Got unexpected extra"):
        hint = "for another enlargement of the photo type --with FILE"
    if dashed is not None:
        hint = f"for the file of that name type {shlex.quote(f'./{dashed}')}"
    if hint:
        error.message = f"{message}: {hint}"  # type: ignore[attr-defined]
        error.possibilities = None  # type: ignore[attr-defined]


def _unquoted(given: list[str]) -> str | None:
    """Return a file that several words name together, typed without quotes; None for none."""
    found = (unquoted_file(given[start:]) for start in range(len(given)))
    return next((split[0] for split in found if split is not None), None)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


@contextmanager
def _printable_complaints() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        message = getattr(error, "message", None)
        if isinstance(message, str) and hasattr(error, "format_message"):
            from manet_cli.console import printable

            error.message = printable(message)  # type: ignore[attr-defined]
        raise


def _without_types(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if isinstance(parameter, TyperArgument):
            parameter.display_type_rich = _no_type  # type: ignore[method-assign]
        elif isinstance(parameter, TyperOption) and parameter.is_flag:
            parameter.metavar = ""
    return parameters


def _no_type(ctx: object) -> None:
    """Show the name of an argument alone."""


def _place(parameter: object) -> int:
    """Return the position of a parameter's group: arguments first, then options without a group."""
    if not isinstance(parameter, TyperOption):
        return -2
    panel = parameter.rich_help_panel
    return _ORDER.index(panel) if panel in _ORDER else -1


def _unwrapped(text: str) -> str:
    """Return a docstring with each paragraph in one line."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
