"""Settings of all tests."""

from __future__ import annotations

import os

# Before PyTorch is imported, here and in the processes that tests start: on a busy machine several threads
# each would wait for one another.
os.environ["OMP_NUM_THREADS"] = "1"
