"""A format of an encoder and one row gets an option, planning, checks, writing and reading."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands.conftest import texture

ROOT = Path(__file__).parents[2]
OPTIONS = ("--model", "default", "--device", "cpu", "--precision", "fp32")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.fromarray(texture(24, 32)).save(tmp_path / "photo.png")
    Image.fromarray(texture(24, 32)).convert("RGBA").save(tmp_path / "clear.png")
    Image.fromarray(texture(8, 200)).save(tmp_path / "wide.png")
    return tmp_path


def manet_with_ppm(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line with the toy in the list."""
    script = (
        "from manet_cli.images.formats import FORMATS\n"
        "from tests.toys.ppm import PPM\n"
        "FORMATS.append(PPM)\n"
        "from manet_cli.cli import run\n"
        "run()\n"
    )
    command = [sys.executable, "-c", script, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == code, done.stderr
    return done


def test_a_toy_format_is_an_option_and_is_written(folder: Path) -> None:
    assert "bmp, avif or ppm. (default" in manet_with_ppm(folder, "upscale", "--help").stdout
    plan = manet_with_ppm(folder, "upscale", "photo.png", "-o", "x.toy", "--dry-run", "--json", *OPTIONS)
    planned = json.loads(plan.stdout)
    assert (planned["status"], planned["output"]) == ("planned", "x.toy")
    assert (planned["width"], planned["height"]) == (128, 96)
    assert planned["memory"] > 0
    assert not (folder / "x.toy").exists()

    for output in ("x.toy", "x.png"):
        manet_with_ppm(folder, "upscale", "photo.png", "-o", output, *OPTIONS)
    with Image.open(folder / "x.toy") as toy, Image.open(folder / "x.png") as png:
        assert toy.format == "PPM"
        np.testing.assert_array_equal(np.array(toy), np.array(png))
    (folder / "toys").mkdir()
    (folder / "x.toy").rename(folder / "toys" / "x.toy")
    found = manet_with_ppm(folder, "upscale", "toys", "--dry-run", "--json", *OPTIONS)
    assert json.loads(found.stdout)["input"] == str(Path("toys", "x.toy")), (
        "it is found in a folder, and read"
    )
    (folder / "toys" / "x.toy").rename(folder / "x.toy")
    again = manet_with_ppm(folder, "upscale", "photo.png", "-o", "x.toy", *OPTIONS, code=1)
    assert "PPM has no place for the record" in again.stderr


def test_the_facts_of_a_toy_row_are_checked_before_any_work(folder: Path) -> None:
    plan = ("upscale", "--format", "ppm", "--dry-run", *OPTIONS)
    wide = manet_with_ppm(folder, *plan, "wide.png", code=1)
    assert "PPM holds at most 600 pixels a side, not 800x32: choose png or tiff" in wide.stderr
    clear = manet_with_ppm(folder, *plan, "clear.png", code=1)
    assert "PPM is not written with transparency: choose png, webp, tiff or avif" in clear.stderr
    lossless = manet_with_ppm(folder, *plan, "photo.png", "--quality", "90", code=2)
    assert "--quality has no effect on PPM" in lossless.stderr
