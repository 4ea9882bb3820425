"""Names of results."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["result_stem"]

_RESULT_STEM = re.compile(r"(?P<source>.+)_(?:x\d+(?:\.\d+)?|\d+x\d*)(?:_kernels|_compare)?")


def result_stem(path: Path) -> str | None:
    """Give the stem of the picture that a result called ``path`` was made from; None for any other name."""
    match = _RESULT_STEM.fullmatch(path.stem)
    return match["source"] if match else None
