"""The command line trains, measures and uses a restorer of one file and one entry."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.commands.conftest import texture
from tests.toys.running import manet_with
from tests.training.conftest import draw_photo

REGISTRATION = (
    "from manet_cli.models import RESTORERS\n"
    "from tests.toys.pixel_shuffle import PIXEL_SHUFFLE\n"
    "RESTORERS.append(PIXEL_SHUFFLE)"
)


def test_a_toy_restorer_is_trained_measured_and_used(tmp_path: Path) -> None:
    manet = functools.partial(manet_with, REGISTRATION, tmp_path)
    (tmp_path / "photos").mkdir()
    draw_photo(0).save(tmp_path / "photos" / "a.png")
    Image.fromarray(texture(64, 72)).save(tmp_path / "small.png")
    (tmp_path / "toy.toml").write_text(
        '[network]\narchitecture = "pixel-shuffle"\nfeatures = 8\n', encoding="utf-8"
    )
    small = ("--batch-size", "2", "--patch-size", "64", "--iterations", "2", "--precision", "fp32")
    common = ("train", "--data", "photos", "--config", "toy.toml", *small)
    manet(*common, "--stage", "sr", "-o", "sr", "--estimator", "default")
    weights = "sr/weights.safetensors"
    manet(*common, "--stage", "finetune", "-o", "ft", "--estimator", weights, "--restorer", weights)
    assert 'architecture = "pixel-shuffle"\nfeatures = 8' in (tmp_path / "ft/config.toml").read_text()

    weights = "ft/weights.safetensors"
    test = ("evaluate", "small.png", "--model", weights, "--device", "cpu", "--protocol", "1,1,0", "--json")
    figures = json.loads(manet(*test).splitlines()[-1])["mean"]
    # It lacks the shift of the published kernels, so its result cannot be good.
    assert 10 < figures["psnr_y"] < 30
    assert 10 < figures["nonblind_psnr_y"] < 30

    manet("upscale", "small.png", "-o", "large.png", "--model", weights, "--device", "cpu", "--tile", "32")
    assert np.asarray(Image.open(tmp_path / "large.png")).shape == (256, 288, 3)
