"""A step of one file and one entry gets options, protocols, recipes and batches."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands.conftest import texture
from tests.toys.running import manet_with
from tests.training.conftest import TINY_NETWORK, draw_photo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    draw_photo(0).save(tmp_path / "photos" / "a.png")
    Image.fromarray(texture(64, 72)).save(tmp_path / "small.png")
    return tmp_path


manet_with_fog = functools.partial(
    manet_with,
    "from manet_cli.degradations.registry import DEGRADATIONS\n"
    "from tests.toys.fog import FOG\n"
    "DEGRADATIONS.append(FOG)",
)


def test_a_toy_step_is_an_option_a_protocol_setting_and_a_recipe(folder: Path) -> None:
    assert "--fog" in manet_with_fog(folder, "degrade", "--help")
    blur = ("--kernel", "1,1,0")
    for name, fog in (("clear", []), ("foggy", ["--fog", "0.5"])):
        manet_with_fog(folder, "degrade", "small.png", "-o", name, *blur, *fog)
    clear, foggy = (
        np.array(Image.open(folder / name / "LR/small.png")).astype(int) for name in ("clear", "foggy")
    )
    assert np.abs(foggy - (clear + 255) / 2).max() <= 1
    with np.load(folder / "foggy/kernels/small.npz") as arrays:
        assert str(arrays["fog"]) == "0.5"

    config = folder / "fog.toml"
    config.write_text(TINY_NETWORK + "[degradation.fog]\nshare = 1.0\n", encoding="utf-8")
    small = ("--batch-size", "2", "--patch-size", "64", "--iterations", "2", "--precision", "fp32")
    options = ("--stage", "sr", "--data", "photos", "-o", "run", "--config", str(config), *small)
    manet_with_fog(folder, "train", *options)
    resolved = (folder / "run/config.toml").read_text(encoding="utf-8")
    assert "[degradation.fog]\nshare = 1.0\nhighest = 0.5" in resolved

    test = ("evaluate", "small.png", "--model", "run/weights.safetensors", "--device", "cpu", "--json")
    line = json.loads(manet_with_fog(folder, *test, "--protocol", "1,1,0", "--fog", "0.5").splitlines()[0])
    assert line["settings"]["steps"] == {"fog": "0.5"}
    cases = [json.loads(line) for line in manet_with_fog(folder, *test, "--protocol", "camera").splitlines()]
    assert sum("fog=" in case.get("kernel", "") for case in cases) >= 4
