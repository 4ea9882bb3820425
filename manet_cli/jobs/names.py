"""Names of results."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["DEBLURRED", "result_stem"]

DEBLURRED = "_deblurred"
"""Ending of the name of a deblurred picture."""

_RESULT_STEM = re.compile(rf"(?P<source>.+)(?:_(?:x\d+(?:\.\d+)?|\d+x\d*)(?:_kernels|_compare)?|{DEBLURRED})")


def result_stem(path: Path) -> str | None:
    """Return the input's stem from the name of a result; None for any other name."""
    match = _RESULT_STEM.fullmatch(path.stem)
    return match["source"] if match else None
