"""`--denoise`: the dial sets itself, is recorded, and is replayed as a number."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from manet_cli import open_model
from manet_cli.images import read_record
from manet_cli.weights import locate_weights
from tests.commands.conftest import Manet, pixels, texture

FAST = ("--device", "cpu", "--precision", "fp32")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a clean picture, the same with noise, and the same as a JPEG."""
    monkeypatch.chdir(tmp_path)
    clean = np.asarray(Image.fromarray(texture(16, 16)).resize((64, 64), Image.Resampling.BICUBIC))
    noise = np.random.default_rng(0).normal(0, 12, clean.shape)
    Image.fromarray(clean).save("clean.png")
    Image.fromarray((clean + noise).clip(0, 255).astype(np.uint8)).save("noisy.png")
    Image.fromarray(clean).save("camera.jpg", quality=70)
    return tmp_path


def settings(path: str | Path) -> dict[str, Any]:
    record = read_record(Path(path))
    assert record is not None
    found: dict[str, Any] = json.loads(record)["settings"]
    return found


def test_it_sets_itself_for_each_picture(manet: Manet, here: Path) -> None:
    together = manet("upscale", "clean.png", "noisy.png", "camera.jpg", "-o", "all", "--json", *FAST)
    assert together.code == 0
    stands = {line["input"]: line["denoise"] for line in together.json}
    assert stands["clean.png"] == 0
    assert stands["noisy.png"] > 0.8
    assert stands["camera.jpg"] > 0.8
    for name in stands:
        alone = manet("upscale", name, "-o", "alone", "--json", *FAST)
        assert alone.json[0]["denoise"] == stands[name]
        result = f"{Path(name).stem}_x4.png"
        assert Path("alone", result).read_bytes() == Path("all", result).read_bytes()


@pytest.mark.parametrize(("amount", "family"), [("0", "clean"), ("1", "camera")])
def test_its_ends_are_the_two_families(manet: Manet, here: Path, amount: str, family: str) -> None:
    assert manet("upscale", "noisy.png", "-o", "a.png", "--denoise", amount, *FAST).code == 0
    assert manet("upscale", "noisy.png", "-o", "b.png", "--model", family, *FAST).code == 0
    assert np.array_equal(pixels("a.png"), pixels("b.png"))
    assert settings("a.png")["denoise"] == amount
    assert "denoise" not in settings("b.png")


def test_a_measured_one_is_recorded_and_replayed_as_a_number(manet: Manet, here: Path) -> None:
    made = manet("upscale", "noisy.png", "-o", "out.png", "--json", *FAST).json[0]
    assert settings("out.png")["denoise"] == f"auto {made['denoise']:g}"
    words = shlex.split(manet("replay", "out.png").lines[0])
    assert f"--denoise={made['denoise']:g}" in words
    assert words[words.index("--model") + 1] == "default"
    for again in (words[1:], ["upscale", "noisy.png", "-o", "out.png", *FAST]):
        assert manet(*again, "--json").json[0]["status"] == "skipped"
    other = manet("upscale", "noisy.png", "-o", "out.png", "--denoise", "0.11", *FAST)
    assert (other.code, "--overwrite" in other.stderr) == (1, True)
    before = pixels("out.png")
    Path("out.png").unlink()
    assert manet(*words[1:]).code == 0
    assert np.array_equal(pixels("out.png"), before)
    # A given number differs from the measured one.
    assert manet("upscale", "noisy.png", "-o", "out.png", *FAST).code == 1


@pytest.mark.parametrize("amount", ["-0.1", "1.1", "nan", "much", "", "1e999"])
def test_positions_that_are_none(manet: Manet, here: Path, amount: str) -> None:
    outcome = manet("upscale", "clean.png", f"--denoise={amount}")
    assert outcome.code == 2
    assert "--denoise" in outcome.stderr
    assert "0 (clean pictures) to 1" in outcome.stderr
    assert not list(here.glob("clean_*"))


def test_other_weights_have_no_dial(manet: Manet, here: Path) -> None:
    copy = here / "mine.safetensors"
    shutil.copy(locate_weights("camera").path, copy)
    for model in (str(copy), "camera", "clean"):
        for amount in ("0.5", "auto", "0"):
            outcome = manet("upscale", "clean.png", "--model", model, "--denoise", amount)
            assert outcome.code == 2
            assert f"leave it out with --model {model}" in outcome.stderr
        made = manet("upscale", "clean.png", "--model", model, "-o", "out.png", "--overwrite", *FAST)
        assert made.code == 0


def test_a_scale_without_camera_weights(manet: Manet, here: Path) -> None:
    outcome = manet("upscale", "clean.png", "-s", "3", "--denoise", "0.5")
    assert outcome.code == 2
    assert "at x3 yet; leave it out, or give -s 2 or -s 4" in outcome.stderr
    (line,) = manet("upscale", "clean.png", "-s", "3", "--denoise", "auto", "--json", *FAST).json
    assert (line["status"], "denoise" in line) == ("done", False)


def test_python_gives_the_same(manet: Manet, here: Path) -> None:
    model = open_model(device="cpu", precision="fp32")
    for name, options in (("noisy.png", []), ("camera.jpg", []), ("clean.png", ["--denoise", "0.4"])):
        assert manet("upscale", name, "-o", "out.png", "--overwrite", *options, *FAST).code == 0
        denoise = float(options[1]) if options else None
        with Image.open(name) as image:
            assert np.array_equal(np.asarray(model.upscale(image, denoise=denoise)), pixels("out.png"))
    array = pixels("noisy.png").astype(np.float32) / 255
    floats = model.upscale(array)
    assert np.abs(floats - model.upscale(array, denoise=0)).max() > 0.02
    assert np.array_equal(floats, model.upscale(array, denoise="auto"))


def test_the_check_blurs_with_the_same_weights(manet: Manet, here: Path) -> None:
    first = manet("upscale", "noisy.png", "-o", "out.png", "--check", "--json", *FAST).json[0]
    again = manet("upscale", "noisy.png", "-o", "out.png", "--check", "--json", *FAST).json[0]
    assert (first["status"], again["status"]) == ("done", "skipped")
    assert again["check"]["lr_psnr"] == pytest.approx(first["check"]["lr_psnr"], abs=0.5)


def test_evaluate_turns_it_too(manet: Manet, here: Path) -> None:
    def psnr(*options: str) -> float:
        outcome = manet(
            *("evaluate", "clean.png", "--protocol", "3,3,0", "--noise", "12", "--json", *FAST, *options)
        )
        assert outcome.code == 0
        return float(outcome.json[0]["psnr_y"])

    assert psnr("--denoise", "1") == psnr("--model", "camera")
    assert psnr("--denoise", "0") == psnr("--model", "clean")
    assert manet("evaluate", "clean.png", "--model", "camera", "--denoise", "1").code == 2
