"""Read a recipe from TOML.

A built-in recipe (`paper`, `robust`) has common keys and a `[stage.NAME]` table for each of its stages.
`camera` is `robust`, changed by a second file and with the steps of the camera mixture. The user's file
overrides the recipe, and options override both. An unknown key is an error.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from manet_cli.degradations.registry import DEGRADATIONS, degradation_named
from manet_cli.degradations.step import StepRecipe
from manet_cli.errors import InputError, Parameter, UsageError
from manet_cli.regular_file import read_regular
from manet_cli.training.recipe import NetworkRecipe, Recipe
from manet_cli.training.stage_kinds import STAGES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["RECIPES", "load_recipe", "parse_recipe"]

RECIPES = {"robust": ("robust",), "paper": ("paper",), "camera": ("robust", "camera")}
"""The built-in recipes with their files; a later file overrides an earlier one."""

LONGEST_RECIPE = 32 << 10
"""Largest size of a recipe's file in bytes."""

CAMERA = "camera"

_Table = TypeVar("_Table")


def load_recipe(
    stage: str,
    scale: int | None,
    *,
    name: str = "robust",
    config: Path | None = None,
    options: Mapping[str, object],
) -> Recipe:
    """Return the recipe of a run.

    Args:
        stage: name of a row of `stage_kinds`.
        scale: 2, 3 or 4; None for the file's scale, or 4 without one.
        name: name of a built-in recipe.
        config: the user's file; overrides the built-in recipe.
        options: top-level keys; override both. None values are ignored.

    Raises:
        UsageError: an unknown key, an invalid value, or the built-in recipe has no such stage.
        InputError: the file cannot be read.
    """
    if stage not in STAGES:
        raise UsageError(Parameter("stage", stage), f": expected {', '.join(STAGES)}")
    if name not in RECIPES:
        raise UsageError(Parameter("recipe", name), f": expected {', '.join(RECIPES)}")
    folder = Path(__file__).parent / "recipes"
    layers = [((folder / f"{file}.toml").read_text(encoding="utf-8"), file) for file in RECIPES[name]]
    if stage not in _parsed(*layers[0])["stage"]:
        raise UsageError(Parameter("recipe", name), f" has no stage {stage}: give another one")
    if config is not None:
        try:
            layers.append((read_regular(config, LONGEST_RECIPE).decode(), config.name))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise InputError(f"{config} cannot be read ({reason}): give a TOML file") from error
    table: dict[str, Any] = {}
    if name == CAMERA:
        table["degradation"] = {kind.name: dataclasses.asdict(kind.camera) for kind in DEGRADATIONS}
    for text, source in layers:
        _overlay(table, _stage_table(text, stage, source))
    _overlay(table, {key: value for key, value in options.items() if value is not None})
    for key, value in (("stage", stage), ("scale", scale or table.get("scale", 4))):
        if table.setdefault(key, value) != value:
            raise UsageError(f"{config} is for {key} {table[key]}, but {value} was asked for")
    return _build(Recipe, table, "the recipe")


def parse_recipe(text: str, source: str) -> Recipe:
    """Return the recipe that `Recipe.to_toml` wrote.

    Raises:
        UsageError: the text is not such a recipe.
    """
    return _build(Recipe, _parsed(text, source), source)


def _parsed(text: str, source: str) -> dict[str, Any]:
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:  # also for numbers of thousands of digits
        raise UsageError(f"{source} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{source} is nested too deeply") from error
    return table


def _stage_table(text: str, stage: str, source: str) -> dict[str, Any]:
    """Return a file's keys for a stage; the stage's own keys override the common ones."""
    table = _parsed(text, source)
    stages = table.pop("stage", {})
    if isinstance(stages, str):  # a resolved recipe
        return {**table, "stage": stages}
    if not isinstance(stages, dict) or (unknown := sorted(stages.keys() - set(STAGES))):
        name = unknown[0] if isinstance(stages, dict) else stages
        raise UsageError(f"{source}: {name!r} is not a stage; expected {', '.join(STAGES)}")
    own = stages.get(stage, {})
    if not isinstance(own, dict):
        raise UsageError(f"{source}: stage.{stage} = {own!r}, expected a table")
    _overlay(table, own)
    return table


def _overlay(table: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(table.get(key), dict):
            _overlay(table[key], value)
        else:
            table[key] = value


def _build(kind: type[_Table], table: Mapping[str, Any], where: str) -> _Table:
    hints = typing.get_type_hints(kind)
    if unknown := sorted(table.keys() - hints.keys()):
        raise UsageError(f"{where}: there is no key {unknown[0]!r}; expected {', '.join(hints)}")
    values: dict[str, Any] = {}
    for key, value in table.items():
        expected = hints[key]
        if expected is NetworkRecipe and isinstance(value, dict):
            settings = {name: setting for name, setting in value.items() if name != "architecture"}
            values[key] = NetworkRecipe(value.get("architecture", NetworkRecipe.architecture), settings)
        elif dataclasses.is_dataclass(expected):
            if not isinstance(value, dict):
                raise UsageError(f"{where}: {key} = {value!r}, expected a table")
            values[key] = _build(typing.cast(type[Any], expected), value, f"{where}, [{key}]")
        elif typing.get_origin(expected) is Mapping:
            values[key] = _build_steps(value, f"{where}, [{key}]")
        elif expected is float and type(value) is int:
            values[key] = float(value)
        elif type(value) is not expected:
            raise UsageError(f"{where}: {key} = {value!r}, expected {_kind_name(expected)}")
        else:
            values[key] = value
    return kind(**values)


def _build_steps(table: object, where: str) -> dict[str, StepRecipe]:
    """Return the steps after the blur from a recipe's table, by name."""
    if not isinstance(table, dict):
        raise UsageError(f"{where}: {table!r}, expected a table")
    steps = {}
    for name, settings in table.items():
        kind = degradation_named(name)
        if kind is None:
            names = ", ".join(kind.name for kind in DEGRADATIONS)
            raise UsageError(f"{where}: there is no key {name!r}; expected {names}")
        if not isinstance(settings, dict):
            raise UsageError(f"{where}: {name} = {settings!r}, expected a table")
        steps[name] = _build(kind.recipe, settings, f"{where}, [{name}]")
    return steps


def _kind_name(kind: type | types.UnionType) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return names.get(typing.cast(type, kind), str(kind))
