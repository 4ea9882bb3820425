"""The manifest ``weights.toml``: the known weights, their purpose and their digests."""

from __future__ import annotations

import dataclasses
import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manet_cli.errors import WeightsError
from manet_cli.weights.sources import Source, parse_source

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["DEFAULT_FAMILY", "PAIR", "RETIRED", "Entry", "load_manifest", "parse_manifest"]

DEFAULT_FAMILY = "default"
PAIR = ("clean", "camera")
"""The two families of `DEFAULT_FAMILY`: no and full denoising. If only one set is needed, it is the first."""

_SHIPPED = Path(__file__).parent / "shipped"

RETIRED = {"fast": "default"} | {
    f"{family}_x{scale}": f"{PAIR[0]}_x{scale}" for family in ("fast", "default") for scale in (2, 3, 4)
}
"""Families and entries of earlier versions -> the name to use instead."""


@dataclass(frozen=True)
class Entry:
    """One table of the manifest.

    Attributes:
        name: the table's name, unique.
        family: name for ``--model``; the scale picks the entry.
        scale: HR pixels per LR pixel along a side.
        summary: description in a sentence.
        licence: SPDX identifier or a sentence.
        file: name of the file shipped in the package; None for weights that are not shipped.
        int8: name of the shipped file with ranges for int8 (see `weights.int8`); None if there is none.
        url: address of the file, ``https://`` or ``hf://``; None for shipped weights.
        sha256: digest of the file; None if unknown.
        parameters: number of parameters, for weights that are not shipped.
        quality: main figure and its test, in a few words; None if not measured.
        training: data, iterations, recipe, seed.
        evaluation: figures with their protocol.
    """

    name: str
    family: str
    scale: int
    summary: str
    licence: str
    file: str | None = None
    int8: str | None = None
    url: str | None = None
    sha256: str | None = None
    parameters: int | None = None
    quality: str | None = None
    training: str | None = None
    evaluation: str | None = None

    @property
    def path(self) -> Path | None:
        """Path of the shipped file; None for weights that are not shipped."""
        return _SHIPPED / self.file if self.file else None

    @property
    def int8_path(self) -> Path | None:
        """Path of the ranges for int8; None if there are none."""
        return _SHIPPED / self.int8 if self.int8 else None

    @property
    def source(self) -> Source | None:
        """Source to pull the file from; None for shipped weights.

        Raises:
            UsageError: the address in the manifest is invalid.
        """
        return parse_source(self.url, self.sha256) if self.url else None


def parse_manifest(text: str) -> tuple[Entry, ...]:
    """Parse a manifest: all keys must be known, and all required keys present and of the right type.

    Raises:
        WeightsError: the first error.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WeightsError(f"weights.toml is not valid TOML: {error}.") from error
    return tuple(_entry(name, table) for name, table in tables.items())


def _entry(name: str, table: Any) -> Entry:  # noqa: ANN401 - any TOML value
    fields = {field.name: field for field in dataclasses.fields(Entry) if field.name != "name"}
    if not isinstance(table, dict):
        raise WeightsError(f"weights.toml: {name!r} is a value, expected a table of weights.")
    if unknown := sorted(table.keys() - fields.keys()):
        raise WeightsError(f"weights.toml: [{name}] has an unknown key {unknown[0]!r}.")
    for key, field in fields.items():
        kind = int if key in ("scale", "parameters") else str
        if key not in table and field.default is dataclasses.MISSING:
            raise WeightsError(f"weights.toml: [{name}] lacks the key {key!r}.")
        if key in table and type(table[key]) is not kind:
            raise WeightsError(f"weights.toml: [{name}] {key} = {table[key]!r}, expected {kind.__name__}.")
    return Entry(name=name, **table)


@functools.cache
def load_manifest() -> tuple[Entry, ...]:
    """Read the manifest: inside an installed package, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    for path in (package / "weights.toml", package.parent / "weights.toml"):
        if path.is_file():
            return parse_manifest(path.read_text(encoding="utf-8"))
    raise WeightsError("weights.toml is missing from this installation; install manet-cli again.")
