"""``manet deblur``: pictures keep their size and lose their blur; the rest is as in ``manet upscale``."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter

from manet_cli.images import read_record
from manet_cli.jobs.record import parse_record
from tests.commands.conftest import Manet, texture


def drawn(height: int, width: int) -> Image.Image:
    """A sharp picture of rectangles of all sizes, with edges everywhere."""
    generator = np.random.default_rng(0)
    pixels = np.full((height, width, 3), 128, np.uint8)
    for _ in range(height * width // 60):
        top, left = generator.integers(0, height), generator.integers(0, width)
        down, across = generator.integers(2, 24, 2)
        pixels[top : top + down, left : left + across] = generator.integers(0, 256, 3)
    return Image.fromarray(pixels)


def error(path: Path, sharp: Image.Image) -> float:
    """The mean squared distance from a sharp picture, its border left out."""
    with Image.open(path) as image:
        difference = np.asarray(image.convert("RGB")).astype(float) - np.asarray(sharp)
    return float(np.square(difference[12:-12, 12:-12]).mean())


@pytest.mark.parametrize(("sigma", "shrink"), [(1.0, 1), (2.0, 2), (3.0, 4)])
def test_a_blurred_picture_comes_nearer_to_the_sharp_one(
    manet: Manet, tmp_path: Path, sigma: float, shrink: int
) -> None:
    sharp = drawn(160, 176)
    path = tmp_path / "photo.png"
    sharp.filter(ImageFilter.GaussianBlur(sigma)).save(path)
    outcome = manet("deblur", path, "--json", "--device", "cpu")
    (line,) = outcome.json
    assert (outcome.code, line["status"], line["width"], line["height"]) == (0, "done", 176, 160)
    assert line["deblur"]["shrink"] == shrink
    assert abs(line["deblur"]["sigma"] - sigma) < 0.35 * sigma
    result = tmp_path / "photo_deblurred.png"
    assert line["output"] == str(result)
    assert error(result, sharp) < 0.8 * error(path, sharp)
    assert f"a blur of about {line['deblur']['sigma']:.1f} pixels" in outcome.stderr


@pytest.mark.parametrize("shrink", ["auto", "1", "2", "4"])
@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16"])
def test_size_and_kind_stay(manet: Manet, tmp_path: Path, shrink: str, mode: str) -> None:
    path = tmp_path / "photo.png"
    colours = texture(37, 50)
    picture: npt.NDArray[np.generic] = colours
    if mode == "L":
        picture = colours[..., 0]
    elif mode == "I;16":
        picture = colours[..., 0].astype(np.uint16) * 257
    else:
        picture = np.dstack((colours, colours[..., 0]))
    Image.fromarray(picture).save(path, dpi=(300, 300))
    assert manet("deblur", path, "--shrink", shrink).lines == [str(tmp_path / "photo_deblurred.png")]
    with Image.open(tmp_path / "photo_deblurred.png") as image:
        assert (image.size, image.mode) == ((50, 37), mode)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_outputs_are_kept_replaced_and_left_out(manet: Manet, photo: Path) -> None:
    result = photo.with_name("photo_deblurred.png")
    original = photo.read_bytes()
    assert manet("deblur", photo).code == 0
    made = result.read_bytes()
    assert manet("deblur", photo, "--json").json[0]["status"] == "skipped"
    assert manet("deblur", photo.parent, "--json").json[0]["status"] == "skipped", "one picture, not two"
    other = manet("deblur", photo, "--strength", "0.5")
    assert other.code == 1
    assert "give --overwrite" in other.stderr
    assert manet("deblur", photo, "--strength", "0.5", "--overwrite").code == 0
    assert result.read_bytes() != made
    assert manet("deblur", photo, "-o", photo, "--overwrite").code == 1
    assert photo.read_bytes() == original
    upscaled = manet("upscale", photo.parent, "--dry-run", "--json").json
    assert [line["input"] for line in upscaled] == [str(photo)]


@pytest.mark.parametrize("options", [[], ["--shrink", "2", "--strength", "0.7"], ["--model", "camera"]])
def test_replay_makes_it_again(manet: Manet, photo: Path, options: list[str]) -> None:
    result = photo.with_name("out.jpg")
    assert manet("deblur", photo, "-o", result, "--quality", "88", *options).code == 0
    words = shlex.split(manet("replay", result).stdout)
    assert words[:2] == ["manet", "deblur"]
    first = result.read_bytes()
    assert "made already, skipped" in manet(*words[1:]).stderr
    result.unlink()
    assert manet(*words[1:]).code == 0
    assert result.read_bytes() == first
    record = parse_record(read_record(result))
    assert record is not None
    assert record.command == "deblur"


def test_a_bad_input_stops_no_other(manet: Manet, photo: Path) -> None:
    bad = photo.with_name("bad.png")
    bad.write_text("no picture")
    outcome = manet("deblur", bad, photo, "--json")
    assert (outcome.code, [line["status"] for line in outcome.json]) == (1, ["failed", "done"])
    assert "1 done, 1 failed, in " in outcome.stderr
    assert manet("deblur", photo, "--shrink", "3").code == 2
    assert manet("deblur", photo, "--strength", "0").code == 2
    assert manet("deblur", photo, "--model", "nonsense").code == 3


def test_what_is_flat_or_tiny_stays_as_it_is(manet: Manet, tmp_path: Path) -> None:
    for name, size in (("flat", (120, 130)), ("tiny", (1, 1)), ("thin", (300, 2))):
        path = tmp_path / f"{name}.png"
        Image.new("RGB", size, (90, 120, 150)).save(path)
        (line,) = manet("deblur", path, "--json", "--overwrite").json
        assert line["deblur"] == {"sigma": None, "shrink": 1, "sharp": False, "kept": True}
        with Image.open(line["output"]) as image:
            assert image.size == size
            assert (np.asarray(image) == (90, 120, 150)).all()
        forced = manet("deblur", path, "--shrink", "1", "--overwrite", "--json").json[0]
        assert not forced["deblur"]["kept"]


def test_standard_input_and_output(photo: Path) -> None:
    command = [sys.executable, "-m", "manet_cli", "deblur", "-", "--format", "tiff"]
    piped = subprocess.run(command, input=photo.read_bytes(), capture_output=True, check=False)
    assert piped.returncode == 0
    assert piped.stdout[:4] in (b"II*\0", b"MM\0*")


def test_a_dry_run_says_what_would_be_done(manet: Manet, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        drawn(60, 80).save(tmp_path / name)
    outcome = manet("deblur", tmp_path, "--dry-run", "--json", "--device", "cpu")
    told = [(line["status"], line["width"], line["height"]) for line in outcome.json]
    assert told == [("planned", 80, 60)] * 2
    assert all(line["estimated_seconds"] > 0 for line in outcome.json)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_nothing_is_started_after_a_failure_if_asked(manet: Manet, tmp_path: Path) -> None:
    drawn(60, 80).save(tmp_path / "b.png")
    (tmp_path / "a.png").write_text("no picture")
    outcome = manet("deblur", tmp_path / "a.png", tmp_path / "b.png", "--fail-fast", "--json")
    assert (outcome.code, [line["status"] for line in outcome.json]) == (1, ["failed", "failed"])
    assert not (tmp_path / "b_deblurred.png").exists()


@pytest.mark.parametrize("name", ["photo.png", "photo.jpg"])
def test_a_sharp_picture_keeps_its_pixels(manet: Manet, tmp_path: Path, name: str) -> None:
    drawn(120, 130).save(tmp_path / name, quality=90)
    outcome = manet("deblur", tmp_path / name, "--json")
    (line,) = outcome.json
    assert (line["status"], line["deblur"]["sharp"]) == ("done", True)
    assert "sharp already, so its pixels are kept; --shrink 1 sharpens it" in outcome.stderr
    with Image.open(tmp_path / name) as photo, Image.open(line["output"]) as result:
        assert result.tobytes() == photo.tobytes()
    (forced,) = manet("deblur", tmp_path / name, "--shrink", "1", "-o", tmp_path / "f.png", "--json").json
    assert not forced["deblur"]["sharp"]
