"""Pictures, and a user without privileges."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from manet_cli.jobs.record import Record

_NOBODY = 65534


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def make(*names: str) -> None:
    """Make small pictures and their folders."""
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(name, "PNG")


def make_result(name: str, source: str = "a.png") -> None:
    """Make a picture with the record of a run in it."""
    text = PngInfo()
    text.add_itxt("manet_cli", Record(source, "0" * 64, "1" * 64, {"scale": 4}).to_json())
    Image.new("RGB", (8, 8)).save(name, "PNG", pnginfo=text)


@contextmanager
def nobody() -> Iterator[None]:
    """Become a user bound by permissions; root may do anything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
