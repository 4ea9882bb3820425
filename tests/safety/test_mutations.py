"""Damaged pictures give a message or a picture, quickly, and never a wrong picture."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from PIL import Image

from manet_cli.errors import InputError
from manet_cli.images import Photo, read_header, read_photo
from tests.safety.conftest import SCALE, Forks
from tests.safety.mutations import damaged, other_files, whole_files

FILES = whole_files() | other_files()
SECONDS = 10


@contextmanager
def soon() -> Iterator[None]:
    """Fail if the block takes more than `SECONDS` of processor time."""

    def late(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"it took more than {SECONDS} seconds")

    handler = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)


def same(one: Photo, other: Photo) -> bool:
    return (
        one.pixels.dtype == other.pixels.dtype
        and np.array_equal(one.pixels, other.pixels)
        and (one.alpha is None) == (other.alpha is None)
        and (one.alpha is None or other.alpha is None or np.array_equal(one.alpha, other.alpha))
    )


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_or_read_as_its_header_says(name: str, soak: bool) -> None:
    try:
        whole = read_photo(FILES[name], name)
    except InputError:  # a refused kind stays refused
        whole = None
    for seed in range(2000 if soak else 40):
        way, content = damaged(FILES[name], random.Random(f"{name} {seed}"))
        try:
            with soon():
                photo = read_photo(content, name)
        except InputError:
            continue
        where = f"seed {seed}: {way}"
        header = read_header(content, name)
        found = (photo.width, photo.height, photo.pixels.shape[2], photo.alpha is not None)
        assert found == (header.width, header.height, header.channels, header.has_alpha), where
        # A PNG has checksums, but does not show a missing chunk.
        if way == "cut" or (name.endswith(".png") and way != "drop"):
            assert whole is not None, where
            assert same(photo, whole), where


def test_a_batch_of_damaged_files(tmp_path: Path, weights: Path, forks: Forks, soak: bool) -> None:
    """Every file has a line, and every existing output is a complete picture."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for seed in range(2000 if soak else 69):
        name = sorted(FILES)[seed % len(FILES)]
        _, content = damaged(FILES[name], random.Random(seed))
        (folder / f"{seed:04}-{name}").write_bytes(content)
    (folder / "whole.png").write_bytes(FILES["colour.png"])
    ended = forks("upscale", folder, "-o", out, "--model", weights, "--json", "-q")
    assert ended.code == 1
    lines = {Path(line["input"]).name: line for line in ended.json}
    assert sorted(lines) == sorted(path.name for path in folder.iterdir())
    assert lines["whole.png"]["status"] == "done"
    for line in lines.values():
        if line["status"] == "done":
            with Image.open(line["output"]) as image:
                image.load()
                assert image.size == (line["width"], line["height"])
            header = read_header(Path(line["input"]), "input")
            assert image.size == (header.width * SCALE, header.height * SCALE)
        else:
            assert line["error"].endswith(".")
    outputs = sorted(line["output"] for line in lines.values() if line["output"])
    assert sorted(map(str, out.iterdir())) == outputs
