"""A real limit of memory: one picture that does not fit costs no other."""

from __future__ import annotations

import resource
import struct
import sys
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image

from manet_cli.inference import available_memory
from tests.commands.conftest import texture
from tests.images.conftest import png_chunk
from tests.safety.conftest import Forks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limit of memory")


def test_a_picture_that_does_not_fit_costs_no_other(tmp_path: Path, weights: Path, forks: Forks) -> None:
    for name in ("a.png", "c.png"):
        Image.fromarray(texture(16, 20)).save(tmp_path / name)
    large = struct.pack(">LLBBBBB", 14_000, 12_000, 8, 2, 0, 0, 0)  # 504 MB, and little of it in the file
    chunks = png_chunk(b"IHDR", large) + png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks + png_chunk(b"IEND", b""))
    names = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    ended = forks(
        "upscale", *names, "-o", tmp_path / "out", "--model", weights, "--json", "-q", memory=400 << 20
    )
    assert ended.code == 1
    assert [line["status"] for line in ended.json] == ["done", "failed", "done"]
    assert "b.png does not fit in memory" in ended.json[1]["error"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_x2.png", "c_x2.png"]


def test_the_limit_counts_as_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a large picture runs alone."""
    before = available_memory(torch.device("cpu"))
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (mapped + (64 << 20), resource.RLIM_INFINITY))
    assert available_memory(torch.device("cpu")) <= min(before, 64 << 20)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1, 1))
    assert available_memory(torch.device("cpu")) == 0
