"""Send warnings of decoders and encoders to the log, not to the user's warning filters."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from manet_cli.shared_setting import SharedSetting

__all__ = ["logged_warnings"]

logger = logging.getLogger(__name__)
_caught = threading.local()


@contextmanager
def _all_taken() -> Iterator[None]:
    """Capture the warnings of threads that log them; show all others as before."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def take(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            mine: list[str] | None = getattr(_caught, "messages", None)
            if mine is None:
                show(message, category, filename, lineno, file, line)
            else:
                mine.append(str(message))

        warnings.simplefilter("always")
        warnings.showwarning = take
        yield


_capture = SharedSetting(_all_taken)


@contextmanager
def logged_warnings(name: str) -> Iterator[None]:
    """Log this thread's warnings in the block, for the file `name`, and do not show them."""
    outer, messages = getattr(_caught, "messages", None), list[str]()
    with _capture:
        _caught.messages = messages
        try:
            yield
        finally:
            _caught.messages = outer
    for message in messages:
        logger.info("%s: %s", name, message)
