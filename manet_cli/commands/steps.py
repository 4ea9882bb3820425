"""Options for the steps after the blur: one for each entry of the list `DEGRADATIONS`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import typer

from manet_cli.commands.help import DEGRADATION
from manet_cli.degradations.registry import DEGRADATIONS
from manet_cli.degradations.step import DegradationKind, DegradationStep
from manet_cli.errors import UsageError

__all__ = ["Steps", "with_step_options"]

Steps: TypeAlias = tuple[DegradationStep, ...]

_PARAMETER = "steps"


def with_step_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter ``steps`` of a command by an option for each step.

    The command gets the steps that these options describe.
    """
    kinds = tuple(DEGRADATIONS)

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:  # noqa: ANN401 - whatever the command takes
        texts = {kind: values.pop(kind.name) for kind in kinds}
        steps = tuple(_parse(kind, text) for kind, text in texts.items() if text is not None)
        command(**values, **{_PARAMETER: steps})

    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters += [_option(kind) for kind in kinds] if parameter.name == _PARAMETER else [parameter]
    # Typer reads both.
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper


def _option(kind: DegradationKind) -> inspect.Parameter:
    option = typer.Option(
        f"--{kind.name}",
        metavar=kind.metavar,
        help=kind.help,
        show_default=False,
        rich_help_panel=DEGRADATION,
    )
    return inspect.Parameter(
        kind.name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=None,
        annotation=Annotated[str | None, option],
    )


def _parse(kind: DegradationKind, text: str) -> DegradationStep:
    try:
        return kind.parse(text)
    except UsageError as error:
        raise UsageError(f"--{kind.name}: {error}") from error
