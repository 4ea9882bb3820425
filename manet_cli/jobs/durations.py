"""Time spans as text for people."""

from __future__ import annotations

__all__ = ["duration", "time_range"]

_SAME = 1.2  # times within this factor are shown as one


def duration(seconds: float) -> str:
    """Format a time span: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for large, small, size, part in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {large} {rest} {small}" if rest else f"{whole // size} {large}"
    return f"{whole} s"


def time_range(shortest: float, longest: float) -> str:
    """Format an estimate: ``45 s``, or ``40 s to 1 min 10 s`` if it is uncertain."""
    if longest <= shortest * _SAME:
        return duration((shortest + longest) / 2)
    return f"{duration(shortest)} to {duration(longest)}"
