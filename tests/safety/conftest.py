"""A quick model, quick real processes, and the thoroughness of tests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from manet_cli.models import BlindConfig, BlindModel, MANetConfig, RRDBSFTConfig

FORKS = Path(__file__).with_name("forks.py")
SCALE = 2


@pytest.fixture(scope="session")
def soak(request: pytest.FixtureRequest) -> bool:
    """Whether to run for many minutes."""
    return bool(request.config.getoption("--soak"))


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small blind model with random weights."""
    torch.manual_seed(0)
    restorer = RRDBSFTConfig(scale=SCALE, features=8, blocks=1, growth=4, transform_width=4, code_length=3)
    model = BlindModel(BlindConfig(MANetConfig(channels=(8, 8)), restorer))
    assert model.kernel_code is not None
    model.kernel_code.basis.normal_(std=0.2)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(model.state_dict(), path)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@dataclass(frozen=True)
class Ended:
    """Return code (negative for a signal) and output of a process."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]


class Forks:
    """Runs `manet` in processes forked from one that has imported everything."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder

    def __call__(self, *arguments: str | Path, **options: object) -> Ended:
        printed = [self._folder / name for name in ("stdout", "stderr")]
        request = {
            "arguments": list(map(str, arguments)),
            "stdout": str(printed[0]),
            "stderr": str(printed[1]),
            **options,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        ended = Ended(code, *(path.read_text(errors="surrogateescape") for path in printed))
        for word in ("Traceback", "This is a bug"):
            assert word not in ended.stderr, ended.stderr
        return ended


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with subprocess.Popen(
        [sys.executable, str(FORKS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Forks(process, tmp_path_factory.mktemp("printed"))
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0
