"""A runtime that is one module and one row is a device of all commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands.conftest import Manet, manet, texture
from tests.toys.shadow import SHADOW

__all__ = ["manet"]


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("manet_cli.inference.device.RUNTIMES", [SHADOW])
    monkeypatch.chdir(tmp_path)
    Image.fromarray(texture(16, 24)).save("photo.png")


def test_a_toy_runtime_is_a_device(manet: Manet) -> None:
    for name in ("shadow", "cpu"):
        outcome = manet("upscale", "photo.png", "-o", f"{name}.png", "--device", name, "--precision", "fp32")
        assert outcome.code == 0, outcome.stderr
    with Image.open("shadow.png") as toy, Image.open("cpu.png") as ours:
        np.testing.assert_array_equal(np.array(toy), np.array(ours))
    assert "with an extra: shadow" in manet("upscale", "photo.png", "--device", "light").stderr
    refused = manet("upscale", "photo.png", "--device", "shadow", "--precision", "bf16")
    assert (refused.code, refused.stderr) == (2, "manet: a shadow computes in fp32.\n")
    measured = manet("evaluate", "photo.png", "--device", "shadow", "--protocol", "2,2,0", "--json")
    assert measured.json[0]["settings"]["device"] == "shadow"
