"""`manet upscale --check`, and results that are errors without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from manet_cli.models import RRDBSFT
from tests.commands.conftest import Manet, texture


def test_a_check(manet: Manet, photo: Path) -> None:
    (line,) = manet("upscale", photo, "--check", "--json").json
    found = line["check"]
    assert found["lr_psnr"] > 40
    assert found["worst_psnr"] == found["lr_psnr"]  # of one region
    assert found["worst_box"] == [0, 0, 41, 30]
    assert found["warning"] is None
    # An existing result is read and checked; PNG is lossless.
    (again,) = manet("upscale", photo, "--check", "--json").json
    assert again["status"] == "skipped"
    assert again["check"] == found
    assert "check" not in manet("upscale", photo, "--json").json[0]


@pytest.mark.parametrize(("registration", "tile"), [("input", "0"), ("protocol", "16")])
def test_how_it_is_made_does_not_matter(manet: Manet, photo: Path, registration: str, tile: str) -> None:
    options = ("--registration", registration, "--tile", tile, "-o", photo.with_name("x.png"))
    (line,) = manet("upscale", photo, "--check", "--json", *options).json
    assert line["check"]["lr_psnr"] > 40


def test_words_and_a_warning(manet: Manet, photo: Path) -> None:
    outcome = manet("upscale", photo, "--check")
    assert outcome.lines == [str(photo.with_name("photo_x4.png"))]
    assert "matches the input to" in outcome.stderr
    assert "warning: " not in outcome.stderr
    noise = photo.with_name("noise.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)).save(noise)
    wrong = manet("upscale", noise, "--check", "--sigma", "3")
    assert wrong.code == 0
    assert "noise_x4.png: warning: " in wrong.stderr
    quiet = manet("upscale", photo, "--check", "-q", "--overwrite")
    assert quiet.stderr == ""


def test_grey_depth_and_transparency(manet: Manet, tmp_path: Path) -> None:
    grey = texture(24, 30)[..., 0]
    alpha = np.full((24, 30), 255, np.uint8)
    alpha[:, :8] = 0
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(np.dstack((texture(24, 30), alpha))).save(tmp_path / "alpha.png")
    for line in manet("upscale", tmp_path, "-o", tmp_path / "out", "--check", "--json").json:
        assert line["check"]["lr_psnr"] > 38, line


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_a_broken_result_is_a_failure(
    manet: Manet, photo: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    whole = RRDBSFT.forward

    def broken(network: RRDBSFT, lr: Tensor, code: Tensor) -> Tensor:
        return torch.full_like(whole(network, lr, code), value)

    monkeypatch.setattr(RRDBSFT, "forward", broken)
    outcome = manet("upscale", photo, "--json")
    assert outcome.code == 1
    assert outcome.json[0]["status"] == "failed"
    assert not photo.with_name("photo_x4.png").exists()
    assert "try --precision fp32" in outcome.stderr
