"""Libraries that only the studies need: check that they can be imported, and silence their warnings."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from manet_cli.errors import UsageError

__all__ = ["quiet_libraries", "require_extra"]

_PACKAGE_OF = {"matplotlib": "matplotlib", "sklearn": "scikit-learn"}


def require_extra(*modules: str) -> None:
    """Check that libraries of the extra `study` can be imported.

    Args:
        modules: ``matplotlib``, ``sklearn``.

    Raises:
        UsageError: one of them cannot be imported.
    """
    for module in modules:
        try:
            with quiet_libraries():
                importlib.import_module(module)
        except ImportError as error:
            raise UsageError(
                f"this study needs {_PACKAGE_OF[module]}, which cannot be imported: "
                "run pip install 'manet-cli[study]'"
            ) from error


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence the logs (font cache) and warnings (missing glyphs) of these libraries."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
