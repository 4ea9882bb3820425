"""Ranges of activations, with which weights run in int8: measured by ``benchmarks/int8.py``, shipped as JSON.

A file is ``{"weights": SHA256, "ranges": {BLOCK: [LOW, HIGH], ...}}``. It is used with the weights of this
digest only. Blocks that it does not name stay in floating point.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from manet_cli.errors import Parameter, UsageError, WeightsError
from manet_cli.models import BlindModel, Range, int8_blocks
from manet_cli.regular_file import read_regular
from manet_cli.weights.files import Weights
from manet_cli.weights.manifest import load_manifest

__all__ = ["build_int8", "ranges_text"]

_LARGEST_FILE = 1 << 20


def build_int8(weights: Weights) -> BlindModel:
    """Return the model of `Weights.build`, with the ranges that were measured on these weights.

    Raises:
        UsageError: there are no ranges for these weights.
        WeightsError: the file of ranges is missing, damaged, or was made from other weights.
    """
    entries = [entry for entry in load_manifest() if entry.int8]
    path = next((entry.int8_path for entry in entries if entry.sha256 == weights.sha256), None)
    if path is None:
        names = ", ".join(entry.name for entry in entries)
        raise UsageError(
            Parameter("precision", "int8"),
            f" needs data that was measured for {names or 'no weights yet'}: give other weights with ",
            *(Parameter("model"), ", or ", Parameter("precision", "auto")),
        )
    model = weights.build()
    blocks = int8_blocks(model)
    for name, values in _read(path, weights.sha256).items():
        if name not in blocks:
            raise _unusable(path, f"these weights have no block {name!r} that can compute in int8")
        blocks[name].input_range = values
    return model


def ranges_text(sha256: str, ranges: dict[str, Range]) -> str:
    """Return the file for weights with a digest and the ranges of their blocks."""
    rows = ",\n".join(
        f"  {json.dumps(name)}: [{low:.6g}, {high:.6g}]" for name, (low, high) in ranges.items()
    )
    return f'{{"weights": "{sha256}", "ranges": {{\n{rows}\n}}}}\n'


def _read(path: Path, sha256: str) -> dict[str, Range]:
    """Return the ranges in a file for weights with a digest."""
    try:
        content = json.loads(read_regular(path, _LARGEST_FILE))
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise _unusable(path, "it is not JSON") from error
    if not isinstance(content, dict) or not isinstance(content.get("ranges"), dict):
        raise _unusable(path, "expected a digest and ranges")
    if content.get("weights") != sha256:
        raise _unusable(path, f"it was made from other weights than {sha256}")
    for name, values in content["ranges"].items():
        if not _is_range(values):
            raise _unusable(path, f"{name} has {values!r}, expected the least and the largest value")
    return {name: (float(low), float(high)) for name, (low, high) in content["ranges"].items()}


def _is_range(values: object) -> bool:
    return (
        isinstance(values, list)
        and len(values) == 2
        and all(type(value) in (int, float) and math.isfinite(value) for value in values)
        and values[0] <= 0 <= values[1]
        and values[0] < values[1]
    )


def _unusable(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"{path}: this data for int8 cannot be used ({reason}): give ",
        *(Parameter("precision", "auto"), ", or install manet-cli again"),
    )
