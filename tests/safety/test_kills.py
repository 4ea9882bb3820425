"""Runs killed at any moment: inputs unchanged, no incomplete file, and the next run writes the same bytes."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands.conftest import texture
from tests.disks import mounted_exfat
from tests.safety.conftest import Forks, contents

NAMES = ("a.png", "b.jpg", "c.webp", "d.tif", "e.png", "f.bmp")
SIGNALS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclass(frozen=True)
class Batch:
    """A folder to upscale, its results, and the time."""

    folder: Path
    arguments: list[str | Path]
    whole: dict[str, bytes]
    seconds: float


@pytest.fixture(scope="module", params=["png", "tiff"])
def batch(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, weights: Path, forks: Forks
) -> Batch:
    folder = tmp_path_factory.mktemp("batch")
    (folder / "in" / "below").mkdir(parents=True)
    for i, name in enumerate(NAMES):
        below = "below" if i % 2 else "."
        Image.fromarray(np.roll(texture(40, 60), i, axis=0)).save(folder / "in" / below / name)
    arguments = ["upscale", folder / "in", "-r", "--model", weights, "--format", request.param]
    started = time.monotonic()
    ended = forks(*arguments, "-o", folder / "whole", "--save-kernels", folder / "whole")
    assert ended.code == 0, ended.stderr
    return Batch(folder, arguments, contents(folder / "whole"), time.monotonic() - started)


@pytest.fixture(params=[False, True], ids=["", "ignoring case"])
def place(request: pytest.FixtureRequest, tmp_path: Path, soak: bool) -> Iterator[Path]:
    """A folder for results, also on a disk that ignores case."""
    if not request.param:
        yield tmp_path
        return
    if not soak:
        pytest.skip("in a soak only")
    with mounted_exfat(tmp_path) as disk:
        yield disk


def test_kills(batch: Batch, place: Path, forks: Forks, soak: bool) -> None:
    chance, out = random.Random(0), place / "out"
    originals = contents(batch.folder / "in")
    arguments = [*batch.arguments, "-o", out, "--save-kernels", out]
    killed = dict.fromkeys(SIGNALS, 0)
    window = batch.seconds  # adapts to the current duration of a run
    while sum(killed.values()) < (90 if soak else 4):
        number = chance.choice((signal.SIGKILL, *SIGNALS))
        ended = forks(*arguments, signal=number, delay=chance.uniform(0, window))
        window = min(window * (1.2 if ended.code else 0.7), batch.seconds)
        assert ended.code in (0, SIGNALS[number]), ended.stderr
        killed[number] += ended.code != 0
        assert contents(batch.folder / "in") == originals
        found = contents(out)
        finished = {name: content for name, content in found.items() if not name.endswith(".manet-tmp")}
        assert finished.items() <= batch.whole.items()
        if number != signal.SIGKILL:
            mine = {Path(line).name for line in ended.stdout.splitlines()}
            assert mine <= {Path(name).name for name in finished}
        if ended.code == 0:
            assert found == batch.whole
            shutil.rmtree(out)
    assert forks(*arguments).code == 0
    assert contents(out) == batch.whole


def test_kills_while_old_results_are_replaced(batch: Batch, place: Path, forks: Forks, soak: bool) -> None:
    """A file is the old one or the new one."""
    chance, old, out = random.Random(1), place / "old", place / "out"
    assert forks(*batch.arguments, "-o", old, "--sigma", "2").code == 0
    before, after = contents(old), batch.whole
    killed, window = 0, batch.seconds
    while killed < (10 if soak else 1):
        shutil.copytree(old, out)
        number = chance.choice(list(SIGNALS))
        delay = chance.uniform(0, window)
        ended = forks(*batch.arguments, "-o", out, "--overwrite", signal=number, delay=delay)
        window = min(window * (1.2 if ended.code else 0.7), batch.seconds)
        killed += ended.code != 0
        finished = {name: c for name, c in contents(out).items() if not name.endswith(".manet-tmp")}
        assert finished.keys() == before.keys()
        for name, content in finished.items():
            assert content in (before[name], after[name]), name
        assert forks(*batch.arguments, "-o", out, "--overwrite").code == 0
        assert contents(out) == {name: after[name] for name in before}
        shutil.rmtree(out)
