"""Settings of all tests."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile

import pytest

# Before PyTorch is imported, here and in child processes: on a busy machine several threads
# each would wait for one another.
os.environ["OMP_NUM_THREADS"] = "1"

# PyTorch alone, whether or not OpenVINO is installed; tests of OpenVINO name it.
os.environ["MANET_DEVICE"] = "cpu"
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

# A shell's background job ignores Ctrl-C, and so would all child processes.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of ``make soak`` and ``make test-browser``."""
    parser.addoption(
        "--soak", action="store_true", help="kill and damage for many minutes instead of seconds"
    )
    parser.addoption(
        "--require-browser", action="store_true", help="fail where there is no browser instead of skipping"
    )
