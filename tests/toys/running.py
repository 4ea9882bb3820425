"""The command line with a toy in one of the lists."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def manet_with(registration: str, folder: Path, *arguments: str) -> str:
    """Run the command line in a folder, after the lines of ``registration``; return its output."""
    script = f"{registration}\nfrom manet_cli.cli import run\nrun()\n"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
