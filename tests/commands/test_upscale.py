"""`manet upscale`, for users and scripts."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from manet_cli.commands import options as shared
from manet_cli.images import (
    MAX_PIXELS,
    Metadata,
    Photo,
    format_by_name,
    read_photo,
    read_record,
    transfer_curves,
    write_photo,
)
from tests.commands.conftest import Manet, texture


def pixels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    with Image.open(path) as image:
        return np.asarray(image).astype(np.int64)


def test_a_photo(manet: Manet, photo: Path) -> None:
    outcome = manet("upscale", photo)
    output = photo.with_name("photo_x4.png")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, f"{output}\n", "")
    assert pixels(output).shape == (120, 164, 3)
    assert sorted(os.listdir(photo.parent)) == ["photo.png", "photo_x4.png"]


def test_the_result_lies_over_the_input(manet: Manet, photo: Path) -> None:
    manet("upscale", photo)
    with Image.open(photo) as image:
        bicubic = np.asarray(image.resize((164, 120), Image.Resampling.BICUBIC)).astype(np.int64)
    result = pixels(photo.with_name("photo_x4.png"))

    def difference(dy: int, dx: int) -> float:
        core = result[12 + dy : 108 + dy, 12 + dx : 152 + dx]
        return float(((core - bicubic[12:108, 12:152]) ** 2).mean())

    assert min((difference(dy, dx), dy, dx) for dy in range(-4, 5) for dx in range(-4, 5))[1:] == (0, 0)
    manet("upscale", photo, "--registration", "protocol", "-o", photo.with_name("protocol.png"))
    result = pixels(photo.with_name("protocol.png"))
    assert min((difference(dy, dx), dy, dx) for dy in range(-4, 5) for dx in range(-4, 5))[1:] == (-3, -3)


def test_json(manet: Manet, photo: Path) -> None:
    (line,) = manet("upscale", photo, "--json").json
    assert line.pop("seconds") > 0
    assert line.pop("denoise") == 0
    assert line == {
        "input": str(photo),
        "output": str(photo.with_name("photo_x4.png")),
        "status": "done",
        "scale": 4,
        "width": 164,
        "height": 120,
        "error": None,
    }
    (again,) = manet("upscale", photo, "--json").json
    assert (again["status"], again["width"], again["seconds"]) == ("skipped", 164, 0)


def test_bad_inputs_cost_no_others(manet: Manet, photo: Path) -> None:
    folder = photo.parent
    (folder / "text.png").write_text("not a picture")
    (folder / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(30))
    names = [folder / name for name in ("missing.png", "text.png", "cut.jpg", "photo.png")]
    outcome = manet("upscale", *names, "--json")
    assert outcome.code == 1
    assert [line["status"] for line in outcome.json] == ["failed"] * 3 + ["done"]
    assert [line["output"] is None for line in outcome.json] == [True] * 3 + [False]
    assert outcome.stderr.count("manet: ") == 3
    assert "Traceback" not in outcome.stderr
    assert all(
        line["error"].count(str(name)) == 1 for line, name in zip(outcome.json[:3], names, strict=False)
    )


def test_an_unwritable_folder(manet: Manet, photo: Path) -> None:
    (photo.parent / "file").touch()
    outcome = manet("upscale", photo, "-o", photo.parent / "file" / "below")
    assert outcome.code == 1
    assert outcome.stderr.startswith("manet: ")
    assert "Traceback" not in outcome.stderr


def test_what_exists_is_kept(manet: Manet, photo: Path) -> None:
    output = photo.with_name("photo_x4.png")
    output.write_bytes(b"precious")
    outcome = manet("upscale", photo)
    assert outcome.code == 1
    assert "--overwrite" in outcome.stderr
    assert output.read_bytes() == b"precious"
    assert manet("upscale", photo, "--overwrite").code == 0
    made = output.read_bytes()
    inode = output.stat().st_ino
    outcome = manet("upscale", photo)
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "", f"{output}: made already, skipped\n")
    assert output.stat().st_ino == inode
    assert manet("upscale", photo, "--sigma", "1.5").code == 1, "made with other settings"
    assert output.read_bytes() == made
    Image.fromarray(texture(30, 41)[::-1]).save(photo)
    assert manet("upscale", photo).code == 1, "made from another input"
    assert output.read_bytes() == made


def test_equal_runs_give_equal_bytes(manet: Manet, photo: Path) -> None:
    manet("upscale", photo, "-o", photo.with_name("a.png"))
    manet("upscale", photo, "-o", photo.with_name("b.png"))
    assert photo.with_name("a.png").read_bytes() == photo.with_name("b.png").read_bytes()


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif"])
def test_the_record(manet: Manet, photo: Path, suffix: str) -> None:
    output = photo.with_name(f"out.{suffix}")
    assert manet("upscale", photo, "-o", output).code == 0
    text = read_record(output)
    assert text is not None
    record = json.loads(text)
    assert record["input"] == "photo.png"
    assert len(record["input_sha256"]) == len(record["weights_sha256"]) == 64
    assert record["settings"]["scale"] == 4
    assert str(photo.parent) not in text
    assert "out" not in json.dumps(record["settings"])
    assert manet("upscale", photo, "-o", output, "--json").json[0]["status"] == "skipped"
    moved = photo.with_name(f"moved.{suffix}")
    output.rename(moved)
    photo.rename(photo.with_name("renamed.png"))
    outcome = manet("upscale", photo.with_name("renamed.png"), "-o", moved, "--json")
    assert outcome.json[0]["status"] == "skipped"


def test_inputs_are_never_overwritten(manet: Manet, photo: Path) -> None:
    before = photo.read_bytes()
    assert manet("upscale", photo, "-o", photo, "--overwrite").code == 1
    link = photo.with_name("link.png")
    link.symlink_to(photo)
    assert manet("upscale", photo, "-o", link, "--overwrite").code == 1
    other = photo.with_name("photo_x4.png")
    shutil.copy(photo, other)
    outcome = manet("upscale", photo, other, "--overwrite", "--json")
    assert [line["status"] for line in outcome.json] == ["failed", "done"]
    assert photo.read_bytes() == other.read_bytes() == before


def test_a_folder_twice(manet: Manet, photo: Path) -> None:
    folder = photo.parent
    (folder / "deep" / "er").mkdir(parents=True)
    shutil.copy(photo, folder / "deep" / "er" / "photo.png")
    shutil.copy(photo, folder / ".hidden.png")
    (folder / "notes.txt").write_text("no picture")
    assert manet("upscale", folder).lines == [str(folder / "photo_x4.png")]
    recursive = [str(folder / "deep" / "er" / "photo_x4.png"), str(folder / "photo_x4.png")]
    for status in ("skipped", "done"), ("skipped", "skipped"):
        outcome = manet("upscale", folder, "-r", "--json")
        assert outcome.code == 0
        assert sorted(line["output"] for line in outcome.json) == recursive
        assert sorted(line["status"] for line in outcome.json) == sorted(status)


def test_a_folder_keeps_its_tree(manet: Manet, photo: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    for name in ("a", "b"):
        (source / name).mkdir(parents=True)
        shutil.copy(photo, source / name / "same.png")
    outcome = manet("upscale", source, "-r", "-o", tmp_path / "out")
    assert outcome.code == 0
    assert outcome.lines == [str(tmp_path / "out" / name / "same_x4.png") for name in ("a", "b")]


def test_collisions(manet: Manet, photo: Path) -> None:
    with Image.open(photo) as image:
        image.save(photo.with_suffix(".bmp"))
    outcome = manet("upscale", photo, photo.with_suffix(".bmp"), photo, "--json")
    assert outcome.code == 1
    assert [line["status"] for line in outcome.json] == ["done", "failed"]
    assert str(photo) in outcome.json[1]["error"]


def test_a_pattern(manet: Manet, photo: Path) -> None:
    shutil.copy(photo, photo.with_name("[x].png"))
    shutil.copy(photo, photo.with_name("other.png"))
    outcome = manet("upscale", photo.with_name("p*.png"), photo.with_name("[x].png"))
    assert [Path(line).name for line in outcome.lines] == ["photo_x4.png", "[x]_x4.png"]
    assert manet("upscale", photo.with_name("none*.png")).code == 1


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("there", "there/photo_x4.png"),
        ("new/", "new/photo_x4.png"),
        ("new", "new/photo_x4.png"),
        ("new.d", "new.d/photo_x4.png"),
        ("new/file.tif", "new/file.tif"),
        ("file.JPG", "file.JPG"),
    ],
)
def test_what_o_names(
    manet: Manet, photo: Path, output: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    Path("there").mkdir()
    outcome = manet("upscale", "photo.png", "-o", output)
    assert (outcome.code, outcome.lines) == (0, [expected])
    with Image.open(expected) as image:
        assert image.size == (164, 120)


def test_dry_run_touches_nothing(manet: Manet, photo: Path) -> None:
    big = photo.with_name("big.png")
    Image.new("L", (5000, 2)).save(big)
    outcome = manet(
        "upscale", photo, big, "--dry-run", "--json", "--format", "webp", "-o", photo.parent / "new"
    )
    assert outcome.code == 1
    good, bad = outcome.json
    assert (good["status"], good["width"], good["height"]) == ("planned", 164, 120)
    assert good["memory"] > 164 * 120 * 3
    assert bad["status"] == "failed"
    assert "16383" in bad["error"]
    assert sorted(os.listdir(photo.parent)) == ["big.png", "photo.png"]
    assert "164x120" in manet("upscale", photo, "-n").stdout


def test_alpha(manet: Manet, tmp_path: Path) -> None:
    """Invisible colours must not bleed into visible ones, and flat areas of alpha stay flat."""
    rgba = np.zeros((24, 24, 4), np.uint8)
    rgba[..., :] = (0, 255, 0, 0)  # invisible green
    rgba[6:18, 6:18] = (200, 30, 30, 255)
    path = tmp_path / "sprite.png"
    Image.fromarray(rgba).save(path)
    assert manet("upscale", path).code == 0
    result = pixels(tmp_path / "sprite_x4.png")
    assert result.shape == (96, 96, 4)
    alpha = result[..., 3]
    assert (alpha[34:62, 34:62] == 255).all()
    assert (alpha[:14] == 0).all()
    visible = result[alpha > 128]
    assert visible[:, 1].max() < 90
    assert abs(visible[:, 0].mean() - 200) < 10
    opaque = tmp_path / "opaque.png"
    Image.fromarray(texture(20, 20)).convert("RGBA").save(opaque)
    plain = tmp_path / "plain.png"
    Image.fromarray(texture(20, 20)).save(plain)
    manet("upscale", opaque, plain)
    assert (pixels(tmp_path / "opaque_x4.png")[..., 3] == 255).all()
    assert (pixels(tmp_path / "opaque_x4.png")[..., :3] == pixels(tmp_path / "plain_x4.png")).all()


def test_grey_stays_grey_and_16_bits_stay(manet: Manet, tmp_path: Path) -> None:
    grey = texture(20, 25)[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert manet("upscale", tmp_path / "grey.png", tmp_path / "deep.png").code == 0
    eight, sixteen = pixels(tmp_path / "grey_x4.png"), pixels(tmp_path / "deep_x4.png")
    assert eight.shape == sixteen.shape == (80, 100)
    assert np.abs(sixteen / 257 - eight).max() <= 0.51
    assert len(np.unique(sixteen)) > 256


def test_16_bit_colours_and_alpha_stay(manet: Manet, tmp_path: Path) -> None:
    colours = texture(20, 25)
    alpha = texture(20, 25)[::-1, :, 1]
    for name, factor in (("eight", np.uint8(1)), ("sixteen", np.uint16(257))):
        photo = Photo(colours * factor, alpha * factor, Metadata())
        write_photo(photo, tmp_path / f"{name}.png", format_by_name("png"))
    assert manet("upscale", tmp_path / "eight.png", tmp_path / "sixteen.png", "--format", "tiff").code == 0
    eight, sixteen = (read_photo(tmp_path / f"{name}_x4.tif", name) for name in ("eight", "sixteen"))
    assert sixteen.alpha is not None
    assert eight.alpha is not None
    assert sixteen.header == replace(eight.header, bits=16)
    assert np.abs(sixteen.alpha / 257 - eight.alpha).max() <= 0.51
    visible = eight.alpha > 200  # nearly invisible pixels are divided by a rounded alpha
    assert np.abs(sixteen.pixels / 257 - eight.pixels)[visible].max() <= 1.2
    assert len(np.unique(sixteen.pixels)) > 256


def test_16_bits_become_8_where_that_is_asked_for(manet: Manet, tmp_path: Path) -> None:
    deep = texture(20, 25).astype(np.uint16) * 257
    write_photo(Photo(deep, None, Metadata()), tmp_path / "deep.png", format_by_name("png"))
    manet("upscale", tmp_path / "deep.png", "-o", tmp_path / "sixteen.png")
    sixteen = read_photo(tmp_path / "sixteen.png", "sixteen").pixels
    eight = ("--depth", "8", "-o", str(tmp_path / "eight.png"))
    runs: list[tuple[tuple[str, ...], str | None]] = [
        (("-o", f"{tmp_path}/deep.jpg"), "deep.png: its 16 bits per channel become 8, because JPEG"),
        (("--format", "webp", "-o", f"{tmp_path}/w/"), "because WebP"),
        (eight, None),
        (("--depth", "8", "--size", "50x", "-o", f"{tmp_path}/small.png"), None),
    ]
    for options, said in runs:
        outcome = manet("upscale", tmp_path / "deep.png", *options)
        assert outcome.code == 0, outcome.stderr
        told = " ".join(outcome.stderr.split())
        assert "16 bits" not in told if said is None else said in told
        made = read_photo(Path(outcome.lines[0]), "made")
        assert made.header.bits == 8
        if made.width == 100:
            close = 0.51 if options[0] == "--depth" else 60
            assert np.abs(made.pixels - sixteen / 257).max() <= close
    again = manet("upscale", tmp_path / "deep.png", *eight)
    assert "made already, skipped" in again.stderr
    words = shlex.split(manet("replay", tmp_path / "eight.png").stdout)
    assert "--depth=8" in words
    plain = manet("upscale", tmp_path / "deep.png", "-o", tmp_path / "eight.png", "--overwrite")
    assert plain.code == 0
    assert read_photo(tmp_path / "eight.png", "made").header.bits == 16


def test_a_depth_that_is_none(manet: Manet, photo: Path) -> None:
    outcome = manet("upscale", photo, "--depth", "12")
    assert outcome.code == 2
    assert "--depth 12: expected 8" in outcome.stderr


def test_a_picture_in_linear_light_gives_the_same_picture(manet: Manet, tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    place = srgb.index(b"para" + bytes(4))
    linear = srgb[:place] + b"curv" + bytes(28) + srgb[place + 32 :]
    curves = transfer_curves(linear, 3)
    assert curves is not None
    plain = texture(20, 25).astype(np.uint16) * 257
    light = np.rint(curves.from_srgb(plain / 65_535) * 65_535).astype(np.uint16)
    photo = Photo(light, None, Metadata(icc_profile=linear))
    write_photo(photo, tmp_path / "linear.tif", format_by_name("tiff"))
    write_photo(Photo(plain, None, Metadata()), tmp_path / "plain.tif", format_by_name("tiff"))
    files = tmp_path / "linear.tif", tmp_path / "plain.tif"
    assert manet("upscale", *files, "--format", "tiff", "--precision", "fp32").code == 0
    expected, result = (read_photo(tmp_path / f"{name}_x4.tif", name) for name in ("plain", "linear"))
    assert result.metadata.icc_profile == linear
    seen = curves.to_srgb(result.pixels / 65_535) * 255
    assert np.abs(seen - expected.pixels / 257).max() < 0.3


def test_metadata_is_kept(manet: Manet, tmp_path: Path) -> None:
    path = tmp_path / "camera.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    Image.fromarray(texture(20, 30)).save(path, exif=exif, dpi=(300, 300), icc_profile=b"profile" * 20)
    assert manet("upscale", path, "-o", tmp_path / "out.jpg").code == 0
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.size == (80, 120), "turned upright"
        assert image.getexif()[0x0112] == 1
        assert image.getexif()[0x010F] == "Maker"
        assert image.info["icc_profile"] == b"profile" * 20
        assert image.info["dpi"] == (300, 300)


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


def test_tiles_do_not_show(manet: Manet, tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.fromarray(texture(20, 60)).save(path)
    common = ("upscale", path, "--precision", "fp32")
    manet(*common, "--tile", "0", "-o", tmp_path / "whole.png")
    manet(*common, "--tile", "32", "-o", tmp_path / "tiled.png")
    manet(*common, "--tile", "32", "--exact", "-o", tmp_path / "exact.png")
    whole = pixels(tmp_path / "whole.png")
    assert np.abs(pixels(tmp_path / "tiled.png") - whole).max() <= 1
    assert np.abs(pixels(tmp_path / "exact.png") - whole).max() <= 1


def test_odd_names_of_inputs_and_targets(manet: Manet, photo: Path) -> None:
    outcome = manet("upscale", "", photo, "--json")
    assert (outcome.code, [line["status"] for line in outcome.json]) == (1, ["failed", "done"])
    both = photo.with_name("both.npy")
    assert manet("upscale", photo, "-o", photo.with_name("x"), "--save-kernels", both).code == 0
    own = photo.with_name("photo_x4.png")
    Image.fromarray(texture(9, 9)).save(own)
    outcome = manet("upscale", photo.parent, "--json", "-o", photo.with_name("out"))
    assert [Path(line["input"]).name for line in outcome.json] == ["photo.png", "photo_x4.png"], (
        "a picture that only looks like one of our results is not left out"
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
        assert "was not made from this input" in refused.stderr


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


def test_a_disk_without_room_costs_no_work(
    manet: Manet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = tmp_path / "large.png"
    Image.fromarray(np.zeros((1500, 1500, 3), np.uint8)).save(large)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=20_000_000))
    for arguments in ([], ["--dry-run"]):
        outcome = manet("upscale", large, *arguments)
        assert outcome.code == 1
        assert "large_x4.png will take at least 27 MB of disk" in outcome.stderr
    assert not large.with_name("large_x4.png").exists()


def test_larger_inputs_than_allowed_are_refused(
    manet: Manet, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = manet("upscale", photo, "--max-pixels", "1229", "--dry-run")
    assert refused.code == 1
    assert "has 41x30 pixels, more than the limit of 1229" in refused.stderr
    assert manet("upscale", photo, "--max-pixels", "1230", "--dry-run").code == 0
    monkeypatch.setenv("MANET_MAX_PIXELS", "1000")
    assert "more than the limit of 1000" in manet("upscale", photo, "--dry-run").stderr
    assert "more than the limit of 1000" in manet("kernels", photo).stderr
    assert manet("upscale", photo, "--max-pixels", "0").code == 2
    assert shared.DEFAULT_MAX_PIXELS == MAX_PIXELS
