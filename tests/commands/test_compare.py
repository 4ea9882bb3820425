"""`manet compare`: enlargements of a part of a photo, side by side."""

from __future__ import annotations

import io
import os
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands.conftest import Manet, texture
from tests.commands.test_explore import write_model

COMMON = ("--device", "cpu", "--precision", "fp32")
MARGIN, TOP = 28, 204
"""Position of the first panel on the page."""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    return write_model(tmp_path / "weights" / "small.safetensors", scale=2)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Grey, with one textured place."""
    picture = np.full((700, 900, 3), 90, np.uint8)
    picture[300:500, 520:800] = texture(200, 280)
    Image.fromarray(picture).save(tmp_path / "scene.png")
    return tmp_path / "scene.png"


def test_a_part_is_shown_as_in_the_whole_result(manet: Manet, scene: Path, small: Path) -> None:
    page = scene.with_name("scene_x2_compare.png")
    (told,) = manet("compare", scene, "--model", small, *COMMON, "--json").json
    assert (told["output"], told["status"], told["scale"]) == (str(page), "done", 2)
    assert told["ways"] == ["bicubic", "small.safetensors"]
    left, top, width, height = told["crop"]
    assert (width, height) == (282, 211)
    assert abs(left - 520) <= 8
    assert abs(top - 300) <= 16
    across, down, wide, high = told["zoom"]
    assert left <= across <= across + wide <= left + width
    assert top <= down <= down + high <= top + height
    manet("upscale", scene, "--model", small, *COMMON)
    with Image.open(scene) as photo, Image.open(scene.with_name("scene_x2.png")) as result:
        bicubic = photo.crop((left, top, left + width, top + height)).resize(
            (564, 422), Image.Resampling.BICUBIC
        )
        ours = result.crop((2 * left, 2 * top, 2 * (left + width), 2 * (top + height)))
        wanted = [np.asarray(picture).astype(int) for picture in (bicubic, ours)]
    with Image.open(page) as opened:
        shown = np.asarray(opened.convert("RGB")).astype(int)
    assert shown.shape[1] == 1200
    for picture, place in zip(wanted, (MARGIN, MARGIN + 564 + 16), strict=True):
        panel = shown[TOP : TOP + 422, place : place + 564]
        assert np.mean(np.abs(panel - picture).max(axis=2) <= 1) > 0.97, "all but the frame of the detail"


def test_it_needs_no_matplotlib(
    manet: Manet, photo: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert manet("compare", photo, "--model", small, *COMMON).code == 0


def test_other_weights_and_another_file(manet: Manet, scene: Path, small: Path) -> None:
    other = scene.with_name("other.png")
    with Image.open(scene) as photo:
        photo.resize((1350, 1050)).save(other)
    page = scene.with_name("page.png")
    command = ("compare", scene, "-s", "4", "--model", "default", "--model", "camera", *COMMON)
    (told,) = manet(*command, "--with", other, "-o", page, "--crop", "540,320,60,40", "--json").json
    assert told["ways"] == ["bicubic", "default", "camera", "other.png"]
    assert told["crop"] == [540, 320, 60, 40]
    drawn = page.read_bytes()
    words = shlex.split(manet("replay", page, "-o", scene.with_name("again.png")).stdout)
    assert words[:2] == ["manet", "compare"]
    assert words.count("--model") == 2
    assert manet(*words[1:], "--device", "cpu").code == 0
    assert scene.with_name("again.png").read_bytes() == drawn


def test_a_page_is_kept_and_is_no_photo(manet: Manet, photo: Path, small: Path) -> None:
    command = ("compare", photo, "--model", small, *COMMON)
    page = Path(manet(*command).lines[0])
    drawn = page.read_bytes()
    again = manet(*command, "--json")
    assert (again.code, again.json[0]["status"]) == (0, "skipped")
    assert "made already, skipped" in again.stderr
    page.write_bytes(drawn[:-100])
    outcome = manet(*command)
    assert (outcome.code, page.read_bytes()) == (0, drawn)
    assert "cut off before its end: it is made again" in outcome.stderr
    page.write_bytes(b"precious")
    assert (manet(*command).code, page.read_bytes()) == (1, b"precious")
    assert manet(*command, "--overwrite").code == 0
    assert page.read_bytes() == drawn
    plan = manet("upscale", photo.parent, "--dry-run", "--json").json
    assert [Path(line["input"]).name for line in plan] == ["photo.png"]


def test_photos_of_every_kind(
    manet: Manet, tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rgb = texture(20, 25)
    clear = np.dstack([rgb, np.tile(np.arange(25, dtype=np.uint8) * 10, (20, 1))])
    pictures = {
        "grey": Image.fromarray(rgb[..., 0]),
        "deep": Image.fromarray(rgb[..., 0].astype(np.uint16) * 257),
        "clear": Image.fromarray(clear),
        "tiny": Image.fromarray(rgb[:1, :1]),
        "strip": Image.fromarray(texture(900, 5)),
        "flat": Image.new("RGB", (20, 10), "tan"),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / f"{name}.png")
        outcome = manet("compare", tmp_path / f"{name}.png", "--model", small, *COMMON)
        assert outcome.code == 0, outcome.stderr
        with Image.open(outcome.lines[0]) as page:
            assert page.width == 1200
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "grey.png").read_bytes())))
    assert manet("compare", "-", "--model", small, *COMMON).lines == ["stdin_x2_compare.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["missing.png"], 1, "missing.png does not exist"),
        (["photo.png", "-o", "page.jpg"], 2, "written as .png"),
        (["photo.png", "-o", "photo.png", "--overwrite"], 1, "never overwritten"),
        (["photo.png", "--with", "other.png", "-o", "other.png", "--overwrite"], 1, "never overwritten"),
        (["photo.png", "--with", "square.png"], 1, "not an enlargement of photo.png"),
        (["photo.png", "--with", "missing.png"], 1, "missing.png does not exist"),
        (["photo.png", *(["--with", "other.png"] * 5)], 2, "a page holds 6"),
        (["photo.png", "--crop", "1,2,3"], 2, "expected X,Y,W,H"),
        (["photo.png", "--crop", "0,0,42,30"], 1, "41x30"),
        (["x" * 247 + ".png"], 1, "manet: "),
    ],
)
def test_errors(
    manet: Manet,
    photo: Path,
    small: Path,
    arguments: list[str],
    code: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(photo.parent)
    Image.new("RGB", (82, 60)).save("other.png")
    Image.new("RGB", (60, 60)).save("square.png")
    os.link("photo.png", "x" * 247 + ".png")
    before = {path.name: path.stat().st_size for path in Path().iterdir()}
    outcome = manet("compare", *arguments, "--model", small, *COMMON)
    assert (outcome.code, outcome.stdout) == (code, ""), outcome.stderr
    assert sentence in outcome.stderr
    assert "This is a bug" not in outcome.stderr
    assert {path.name: path.stat().st_size for path in Path().iterdir()} == before
