"""Two processes share a batch through torchrun; one of them is killed, and the next run finishes the rest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands.conftest import texture
from tests.safety.conftest import Forks, contents

PICTURES = 20


def torchrun(*arguments: str | Path) -> subprocess.Popen[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "manet_cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ranks(launcher: int) -> dict[str, int]:
    """The process of each rank."""
    found: dict[str, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            variables = (folder / "environ").read_bytes().split(b"\0") if parent == launcher else []
        except (OSError, IndexError):
            continue
        found |= {v[5:].decode(): int(folder.name) for v in variables if v.startswith(b"RANK=")}
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")
def test_one_of_two_processes_is_killed(tmp_path: Path, weights: Path, forks: Forks) -> None:
    folder, out, whole = (tmp_path / name for name in ("in", "out", "whole"))
    folder.mkdir()
    for i in range(PICTURES):
        Image.fromarray(np.roll(texture(70, 70), i, axis=0)).save(folder / f"{i:02}.png")
    (folder / "bad.png").write_text("no picture")
    common: list[str | Path] = ["upscale", folder, "--model", weights, "--json"]
    assert forks(*common, "-o", whole).code == 1

    with torchrun(*common, "-o", out) as process:
        while not (out / "02_x2.png").exists():
            assert process.poll() is None
            time.sleep(0.005)
        os.kill(ranks(process.pid)["1"], signal.SIGKILL)
        process.communicate(timeout=120)
    assert process.returncode != 0
    left = {name: content for name, content in contents(out).items() if not name.endswith(".manet-tmp")}
    assert left.items() <= contents(whole).items()

    with torchrun(*common, "-o", out) as process:
        printed, errors = process.communicate(timeout=120)
    assert process.returncode == 1  # for the bad one
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [Path(line["input"]).name for line in lines] == [f"{i:02}.png" for i in range(PICTURES)] + [
        "bad.png"
    ]
    made = [line["status"] for line in lines[:-1]]
    assert made.count("skipped") == len(left)
    assert made.count("done") == PICTURES - len(left)
    assert errors.count(f"{made.count('done')} done, ") == 1  # one summary
    assert errors.count("bad.png is not a") == 1
    assert contents(out) == contents(whole)
