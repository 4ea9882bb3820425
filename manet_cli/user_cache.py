"""The folder of this program's caches."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["user_cache"]


def user_cache() -> Path:
    """Return ``$XDG_CACHE_HOME/manet``, by default ``~/.cache/manet``; it may not exist yet."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "")
    # The XDG specification says to ignore a relative path.
    return (base if base.is_absolute() else Path.home() / ".cache") / "manet"
