"""Blind super-resolution of photos with a blur kernel for every pixel (MANet and RRDB-SFT).

In Python: ``from manet_cli import open_model``; see docs/python.md. That import is lazy, so importing the
package is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manet_cli.api import Model, open_model

__all__ = ["Model", "__version__", "open_model"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name in ("Model", "open_model"):
        import importlib

        return getattr(importlib.import_module("manet_cli.api"), name)
    raise AttributeError(f"module 'manet_cli' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
