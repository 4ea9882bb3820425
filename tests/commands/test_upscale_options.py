"""`manet upscale`: blur, size and other settings, and wrong ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands.conftest import Manet, pixels, texture


def test_a_depth_that_is_none(manet: Manet, photo: Path) -> None:
    outcome = manet("upscale", photo, "--depth", "12")
    assert outcome.code == 2
    assert "--depth 12: expected 8" in outcome.stderr


def test_kernels_beside_the_result(manet: Manet, photo: Path) -> None:
    kernels = photo.with_name("k.npy")
    (line,) = manet("upscale", photo, "--save-kernels", kernels, "--json").json
    assert line["kernels"] == str(kernels)
    saved = np.load(kernels)
    assert (saved.shape, saved.dtype) == ((30, 41, 21, 21), np.float16)
    manet("kernels", photo, "--out", photo.with_name("k2.npy"))
    assert np.array_equal(saved, np.load(photo.with_name("k2.npy")))
    assert manet("upscale", photo, "--save-kernels", kernels, "--json").json[0]["status"] == "skipped"
    kernels.unlink()
    assert manet("upscale", photo, "--save-kernels", kernels, "--json").json[0]["status"] == "done"
    assert kernels.exists()


def test_kernels_are_of_every_pixel_and_change_no_pixel_of_the_result(manet: Manet, photo: Path) -> None:
    out = photo.with_name("out")
    results = {
        name: manet("upscale", photo, "--format", "bmp", "-o", out / f"{name}.bmp", *options).code
        for name, options in {
            "plain": [],
            "saved": ["--save-kernels", str(photo.with_name("k.npy"))],
            "exact": ["--exact", "--tile", "0"],
            "file": ["--model", manet("weights", "path", "default").lines[0], "--tile", "0"],
            "strength": ["--strength", "1"],
        }.items()
    }
    assert set(results.values()) == {0}
    bitmaps = {name: (out / f"{name}.bmp").read_bytes() for name in results}
    assert bitmaps["saved"] == bitmaps["plain"] == bitmaps["strength"]
    assert bitmaps["exact"] == bitmaps["file"], "both compute the blur of every pixel"
    assert bitmaps["exact"] != bitmaps["plain"]
    assert np.abs(pixels(out / "exact.bmp") - pixels(out / "plain.bmp")).max() <= 24


def test_the_blur_can_be_given(manet: Manet, photo: Path) -> None:
    from manet_cli.degradations.gaussian import GaussianParameters

    kernel = photo.with_name("kernel.npy")
    np.save(kernel, GaussianParameters.from_degrees(9.0, 1.0, 30).kernel(4).numpy())
    manet("upscale", photo, "--kernel", kernel, "-o", photo.with_name("k.png"))
    manet("upscale", photo, "--sigma", "3,1,30", "-o", photo.with_name("s.png"))
    manet("upscale", photo, "--sigma", "0.8", "-o", photo.with_name("other.png"))
    given, by_sigma = pixels(photo.with_name("k.png")), pixels(photo.with_name("s.png"))
    assert np.abs(given - by_sigma).max() <= 1
    assert np.abs(given - pixels(photo.with_name("other.png"))).max() > 10


BAD_KERNELS = ("shape", "sum", "pickle", "nan", "text", "missing", "huge", "complex", "zip")


def bad_kernels(folder: Path) -> None:
    np.save(folder / "shape.npy", np.full((5, 5), 0.04))
    np.save(folder / "sum.npy", np.full((21, 21), 1.0))
    np.save(folder / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(folder / "nan.npy", np.full((21, 21), np.nan))
    (folder / "text.npy").write_text("hello")
    (folder / "zip.npy").write_bytes(b"PK\x03\x04" + bytes(60))
    np.save(folder / "complex.npy", np.full((21, 21), 1j))
    with (folder / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**6)}
        )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--sigma", "x"], 2),
        (["--sigma", "1,2,3,4"], 2),
        (["--sigma", "0"], 2),
        (["--sigma", "inf"], 2),
        (["--sigma", ""], 2),
        (["--kernel", ""], 2),
        (["-o", ""], 2),
        (["--save-kernels", "-"], 2),
        (["--save-kernels", "k.png"], 2),
        (["--sigma", "2", "--kernel", "sum.npy"], 2),
        (["--sigma", "2", "--save-kernels", "k"], 2),
        *((["--kernel", f"{name}.npy"], 2) for name in BAD_KERNELS),
        (["--tile", "3"], 2),
        (["--tile", "many"], 2),
        (["--device", "gpu"], 2),
        (["--device", "cuda:x"], 2),
        (["--device", "cuda:99"], 4),
        (["--precision", "fp8"], 2),
        (["--precision", "fp16", "--device", "cpu"], 2),
        (["--scale", "5"], 2),
        (["--scale", "2", "--model", "clean_x4"], 2),
        (["--model", "nonsense"], 3),
        (["--model", "published"], 3),
        (["--model", "missing.pth"], 3),
        (["--format", "gif"], 2),
        (["-o", "x.gif"], 2),
        (["-o", "x.png", "--format", "jpeg"], 2),
        (["--quality", "50"], 2),
        (["--quality", "0", "--format", "jpeg"], 2),
        (["-o", "-", "--json"], 2),
        (["--registration", "other"], 2),
        (["--no-such-option"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_wrong_options(
    manet: Manet, photo: Path, arguments: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    bad_kernels(photo.parent)
    before = sorted(os.listdir())
    outcome = manet("upscale", "photo.png", *arguments)
    assert (outcome.code, outcome.stdout) == (code, "")
    assert outcome.stderr.strip()
    assert "Traceback" not in outcome.stderr
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("numbers", "variances"), [("9,1,45", "3,1,45"), ("4", "2"), ("2.25,1", "1.5,1"), ("10,1,0", "3.162,1,0")]
)
def test_numbers_in_place_of_a_kernel_file(manet: Manet, photo: Path, numbers: str, variances: str) -> None:
    outcome = manet("upscale", photo, "--kernel", numbers)
    assert outcome.code == 2
    assert f"type --sigma {variances} if they are variances" in outcome.stderr
    assert f"--sigma {numbers} if they are standard deviations" in outcome.stderr


@pytest.mark.parametrize(
    ("options", "known"),
    [
        (["--sigma", "9"], "0.84 to 3.16 result pixels at x4"),
        (["--sigma", "2,0.3,45"], "0.84 to 3.16"),
        (["--sigma", "2.5", "-s", "2", "--model", "default"], "0.59 to 2.24 result pixels at x2"),
        (["--flat-sigma", "9"], "--flat-sigma 9: the weights were trained on"),
        (["--sigma", "3.1,0.9,30"], None),
    ],
)
def test_blur_beyond_what_the_weights_know_is_said(
    manet: Manet, photo: Path, options: list[str], known: str | None
) -> None:
    outcome = manet("upscale", photo, *options)
    assert outcome.code == 0
    said = " ".join(outcome.stderr.split())  # a warning is broken into lines
    assert "the weights were trained on" not in said if known is None else known in said


def test_settings_from_the_environment(manet: Manet, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value, code in (
        ("MANET_MODEL", "nonsense", 3),
        ("MANET_DEVICE", "cuda:99", 4),
        ("MANET_PRECISION", "fp8", 2),
        ("MANET_TILE", "3", 2),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert manet("upscale", photo).code == code
            flag = {
                "MANET_MODEL": "default",
                "MANET_DEVICE": "cpu",
                "MANET_PRECISION": "fp32",
                "MANET_TILE": "64",
            }
            assert (
                manet("upscale", photo, f"--{name[6:].lower()}", flag[name], "-o", "new/x.png", "-n").code
                == 0
            )


def test_a_size_of_ones_own(manet: Manet, photo: Path) -> None:
    planned = manet("upscale", photo, "--size", "100x100", "--json", "--dry-run").json[0]
    assert (planned["width"], planned["height"]) == (100, 73)
    assert manet("upscale", photo, "--size", "100x100").code == 0
    output = photo.with_name("photo_100x73.png")
    assert pixels(output).shape == (73, 100, 3)
    full = photo.with_name("full.png")
    manet("upscale", photo, "-o", full)
    with Image.open(full) as image:
        expected = np.asarray(image.resize((100, 73), Image.Resampling.LANCZOS)).astype(np.int64)
    assert np.abs(pixels(output) - expected).max() <= 1
    assert manet("upscale", photo, "--size", "100x100", "--json").json[0]["status"] == "skipped"
    for other in (["--size", "101x"], []):
        refused = manet("upscale", photo, "-o", output, *other)
        assert "exists and was made with other settings (size " in refused.stderr
        assert "100x100" in refused.stderr


def test_names_tell_the_size_that_was_made(manet: Manet, photo: Path) -> None:
    three = manet("upscale", photo, "--size", "x3")
    assert (three.lines, three.stderr) == ([str(photo.with_name("photo_x3.png"))], "")
    assert pixels(photo.with_name("photo_x3.png")).shape == (90, 123, 3)
    assert manet("upscale", photo, "-s", "3", "--json").json[0]["status"] == "skipped", "the same"
    half = manet("upscale", photo, "--size", "x2.5", "-s", "4")
    assert half.lines == [str(photo.with_name("photo_x2.5.png"))]
    small = manet("upscale", photo, "--size", "x11", "--json")
    assert small.json[0]["output"] == str(photo.with_name("photo_15x11.png"))
    assert "photo_15x11.png: 15x11 pixels, smaller than the input's 41x30" in small.stderr
    assert sorted(path.name for path in photo.parent.iterdir()) == sorted(
        ["photo.png", "photo_x3.png", "photo_x2.5.png", "photo_15x11.png"]
    )
    again = manet("upscale", photo.parent, "--size", "x2.5", "-s", "4", "--json")
    assert [line["status"] for line in again.json] == ["skipped"], "none of them is taken for a photo"
    assert manet("upscale", *photo.parent.iterdir(), "--dry-run", "--json").json[0]["input"] == str(photo)


def test_a_size_without_sense(manet: Manet, photo: Path) -> None:
    assert manet("upscale", photo, "--size", "large").code == 2
    outcome = manet("upscale", photo, "--size", "4000x")
    assert outcome.code == 1
    assert "give --size 328x240 or less" in outcome.stderr
    outcome = manet("upscale", photo, "--size", "10x", "--dry-run")
    assert outcome.code == 1
    assert "less than a quarter" in outcome.stderr
    # A picture too large for the format at the scale may fit at the size.
    wide = photo.with_name("wide.png")
    Image.fromarray(texture(2, 5000)).save(wide)
    assert "at most 16383" in manet("upscale", wide, "--format", "webp", "--dry-run").stderr
    assert manet("upscale", wide, "--format", "webp", "--size", "16383x", "--dry-run").code == 0
