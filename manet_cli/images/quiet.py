"""Warnings of the decoder and encoder go to the log, not to the user's warning filters."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["logged_warnings"]

_log = logging.getLogger(__name__)
# `warnings.catch_warnings` swaps a setting of the whole process: two threads that interleave would leave it
# changed.
_one_at_a_time = threading.RLock()


@contextmanager
def logged_warnings(name: str) -> Iterator[None]:
    """Log the warnings raised inside, for the file called `name`, unseen otherwise; one thread at a time."""
    with _one_at_a_time:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield
            finally:
                messages = [str(warning.message) for warning in caught]
        for message in messages:
            _log.info("%s: %s", name, message)
