"""Names of results."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["DEBLURRED", "result_stem"]

DEBLURRED = "_deblurred"
"""What the name of a picture ends in that was deblurred."""

_RESULT_STEM = re.compile(rf"(?P<source>.+)(?:_(?:x\d+(?:\.\d+)?|\d+x\d*)(?:_kernels|_compare)?|{DEBLURRED})")


def result_stem(path: Path) -> str | None:
    """Give the stem of the picture that a result called ``path`` was made from; None for any other name."""
    match = _RESULT_STEM.fullmatch(path.stem)
    return match["source"] if match else None
