"""Adjustments of the blur: `--kernel-map`, `--strength`, `--smooth`, `--flat-sigma`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manet_cli import open_model
from manet_cli.images import read_record
from tests.commands.conftest import Manet, pixels, texture

FLOATS = ("--precision", "fp32")


def upscale(manet: Manet, photo: Path, name: str, *options: str | Path) -> Path:
    output = photo.with_name(name)
    outcome = manet("upscale", photo, "-o", output, *FLOATS, *options)
    assert outcome.code == 0, outcome.stderr
    return output


def kernel_map(manet: Manet, photo: Path, name: str, *options: str) -> Path:
    path = photo.with_name(name)
    assert manet("kernels", photo, "--out", path, "--dtype", "float32", *FLOATS, *options).code == 0
    return path


def test_nothing_asked_for_changes_nothing(manet: Manet, photo: Path) -> None:
    plain = upscale(manet, photo, "plain.png")
    none = upscale(manet, photo, "none.png", "--strength", "1", "--smooth", "0")
    assert none.read_bytes() == plain.read_bytes()
    settings = json.loads(read_record(plain) or "")["settings"]
    assert settings.keys() & {"strength", "smooth", "flat-sigma"} == set()


def test_strength_is_a_dial(manet: Manet, photo: Path) -> None:
    plain = pixels(upscale(manet, photo, "plain.png"))

    def contrast(strength: str) -> float:
        found = pixels(upscale(manet, photo, f"{strength}.png", "--strength", strength))
        return float(np.abs(np.diff(found, axis=1)).mean())

    before = float(np.abs(np.diff(plain, axis=1)).mean())
    assert contrast("0.2") < contrast("0.6") < before
    nearly = pixels(upscale(manet, photo, "nearly.png", "--strength", "0.999"))
    assert np.abs(nearly - plain).mean() < 1


def test_a_map_given_back_gives_the_same(manet: Manet, photo: Path) -> None:
    # A map has every pixel, and so has the blur of --exact.
    plain = pixels(upscale(manet, photo, "plain.png", "--exact"))
    whole = kernel_map(manet, photo, "k.npy")
    assert np.abs(pixels(upscale(manet, photo, "whole.png", "--kernel-map", whole)) - plain).max() <= 1
    few = kernel_map(manet, photo, "few.npy", "--stride", "3")
    found = pixels(upscale(manet, photo, "few.png", "--kernel-map", few))
    assert 0 < np.abs(found - plain).mean() < 3


@pytest.mark.parametrize("form", ["--codes", "--params"])
def test_shorter_forms_give_nearly_the_same(manet: Manet, photo: Path, form: str) -> None:
    plain = pixels(upscale(manet, photo, "plain.png"))
    assert manet("kernels", photo, form, "--out", photo.with_name("k.npz"), *FLOATS).code == 0
    found = pixels(upscale(manet, photo, "short.png", "--kernel-map", photo.with_name("k.npz")))
    assert np.abs(found - plain).mean() < 0.5


def test_an_edited_map_is_used(manet: Manet, photo: Path) -> None:
    shapes = np.zeros((30, 41, 3), np.float32)
    shapes[...] = (2.5, 1.0, 30)
    np.save(photo.with_name("p.npy"), shapes)
    found = pixels(upscale(manet, photo, "map.png", "--kernel-map", photo.with_name("p.npy")))
    assert np.abs(found - pixels(upscale(manet, photo, "one.png", "--sigma", "2.5,1,30"))).max() <= 1
    shapes[:, :20] = (1.0, 1.0, 0)
    np.save(photo.with_name("p.npy"), shapes)
    edited = pixels(upscale(manet, photo, "edited.png", "--kernel-map", photo.with_name("p.npy")))
    change = np.abs(edited - found).mean(axis=(0, 2))
    assert change[:60].mean() > 5 * change[140:].mean()


def test_saved_kernels_are_those_used(manet: Manet, photo: Path) -> None:
    hand = ("--strength", "0.6", "--smooth", "2", "--flat-sigma", "1.5")
    first = upscale(manet, photo, "first.png", *hand, "--save-kernels", photo.with_name("k.npy"))
    again = upscale(manet, photo, "again.png", "--kernel-map", photo.with_name("k.npy"))
    assert np.abs(pixels(first) - pixels(again)).max() <= 2


def test_tiles_do_not_show(manet: Manet, photo: Path) -> None:
    hand = ("--exact", "--strength", "0.7", "--smooth", "5", "--flat-sigma", "2,1,30")
    whole = upscale(manet, photo, "whole.png", *hand, "--tile", "0")
    tiles = upscale(manet, photo, "tiles.png", *hand, "--tile", "16")
    assert np.abs(pixels(whole) - pixels(tiles)).max() <= 1


def test_the_record_knows(manet: Manet, photo: Path) -> None:
    hand = ("--strength", "0.7", "--smooth", "2", "--flat-sigma", "2.5,1,30")
    output = upscale(manet, photo, "out.png", *hand)
    settings = json.loads(read_record(output) or "")["settings"]
    assert (settings["strength"], settings["smooth"], settings["flat-sigma"]) == (0.7, 2, "2.5,1,30")
    again = ("upscale", photo, "-o", output, *FLOATS)
    assert manet(*again, *hand, "--json").json[0]["status"] == "skipped"
    for other in (("--strength", "0.7"), ("--strength", "0.8", *hand[2:]), ()):
        assert manet(*again, *other, "--json").json[0]["status"] == "failed"
    before = output.read_bytes()
    words = shlex.split(manet("replay", output).stdout)
    assert manet(*words[1:], "--overwrite").code == 0
    assert output.read_bytes() == before


def test_the_record_knows_the_map(manet: Manet, photo: Path) -> None:
    path = kernel_map(manet, photo, "k.npy", "--stride", "5")
    output = upscale(manet, photo, "out.png", "--kernel-map", path)
    again = ("upscale", photo, "-o", output, *FLOATS, "--kernel-map", path, "--json")
    assert manet(*again).json[0]["status"] == "skipped"
    assert manet("replay", output).code == 1
    words = shlex.split(manet("replay", output, "--kernel", path).stdout)
    assert words[words.index("--kernel-map") + 1] == str(path)
    kernels = np.load(path)
    np.save(path, kernels[::-1])
    assert manet("replay", output, "--kernel", path).code == 1
    assert manet(*again).json[0]["status"] == "failed"


def test_a_map_of_another_picture_costs_no_other(manet: Manet, photo: Path) -> None:
    path = kernel_map(manet, photo, "k.npy")
    Image.fromarray(texture(20, 50)).save(photo.with_name("other.png"))
    lines = manet("upscale", photo, photo.with_name("other.png"), "--kernel-map", path, "--json").json
    assert [line["status"] for line in lines] == ["done", "failed"]
    assert "50x20" in lines[1]["error"]
    assert not photo.with_name("other_x4.png").exists()
    (line,) = manet("upscale", photo.with_name("other.png"), "--kernel-map", path, "-n", "--json").json
    assert line["status"] == "failed"


def test_grey_transparency_and_metadata_pass(manet: Manet, tmp_path: Path) -> None:
    hand = ("--strength", "0.5", "--smooth", "3", "--flat-sigma", "1", "--check")
    alpha = np.full((24, 30), 255, np.uint8)
    alpha[:, :8] = 0
    Image.fromarray(np.dstack((texture(24, 30), alpha))).save(tmp_path / "a.png", icc_profile=b"profile")
    Image.fromarray(texture(24, 30)[..., 0]).save(tmp_path / "g.png", dpi=(72, 72))
    for line in manet("upscale", tmp_path, *hand, "--json").json:
        assert line["status"] == "done", line
        assert line["check"]["lr_psnr"] > 35
    with Image.open(tmp_path / "a_x4.png") as image:
        assert (image.mode, image.info["icc_profile"]) == ("RGBA", b"profile")
    with Image.open(tmp_path / "g_x4.png") as image:
        assert image.mode == "L"


@pytest.mark.parametrize(
    "options",
    [
        ("--strength", "0"),
        ("--strength", "-1"),
        ("--strength", "nan"),
        ("--strength", "11"),
        ("--smooth", "-1"),
        ("--smooth", "65"),
        ("--flat-sigma", "x"),
        ("--flat-sigma", "0"),
        ("--sigma", "2", "--smooth", "3"),
        ("--sigma", "2", "--flat-sigma", "3"),
        ("--sigma", "2", "--kernel-map", "k.npy"),
        ("--kernel-map", "missing.npy"),
        ("--kernel-map", ""),
    ],
)
def test_what_makes_no_sense_is_refused(manet: Manet, photo: Path, options: tuple[str, ...]) -> None:
    outcome = manet("upscale", photo, *options)
    assert outcome.code == 2, outcome.stderr
    assert outcome.stderr.count("manet: ") == 1
    assert not photo.with_name("photo_x4.png").exists()


def test_in_python(manet: Manet, photo: Path) -> None:
    model = open_model(device="cpu", precision="fp32")
    with Image.open(photo) as image:
        rgb = np.asarray(image)
    hand = ("--strength", "0.7", "--smooth", "2", "--flat-sigma", "2.5,1,30")
    expected = pixels(upscale(manet, photo, "hand.png", *hand))
    assert np.array_equal(model.upscale(rgb, strength=0.7, smooth=2, flat_sigma=(2.5, 1, 30)), expected)
    path = kernel_map(manet, photo, "k.npy", "--stride", "3")
    expected = pixels(upscale(manet, photo, "map.png", "--kernel-map", path))
    assert np.array_equal(model.upscale(rgb, kernel_map=np.load(path)), expected)
    assert np.array_equal(model.upscale(rgb, kernel_map=str(path)), expected)
