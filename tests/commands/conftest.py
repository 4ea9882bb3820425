"""The command line and pictures for the tests."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from manet_cli.cli import main


@dataclass(frozen=True)
class Outcome:
    """Exit code and output of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()

    @property
    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


Manet = Callable[..., Outcome]

STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)


@pytest.fixture
def manet(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Manet]:
    """Run the command line in this process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["manet", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        printed = capfd.readouterr()
        code = int(end.value.code or 0)
        # The command also ends on signals for the tests, such as from `timeout`.
        assert code not in STOPPED, f"stopped from outside: {printed.err}"
        return Outcome(code, printed.out, printed.err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def texture(height: int, width: int) -> npt.NDArray[np.uint8]:
    """A picture with edges at several angles, (height, width, 3)."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves = [np.sin(x / 3), np.sin((x + y) / 4), np.cos(np.hypot(x - width / 2, y - height / 2) / 2)]
    return np.round(np.stack(waves, axis=-1) * 100 + 128).astype(np.uint8)


def pixels(path: str | Path) -> npt.NDArray[np.int64]:
    """Values of a picture's file, (H, W) or (H, W, C), signed, so that differences are right."""
    with Image.open(path) as image:
        return np.asarray(image).astype(np.int64)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A small RGB picture in an otherwise empty folder."""
    path = tmp_path / "photo.png"
    Image.fromarray(texture(30, 41)).save(path)
    return path
