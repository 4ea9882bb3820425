"""`manet upscale`, for users and scripts."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manet_cli.commands import options as shared
from manet_cli.images import (
    MAX_PIXELS,
    read_record,
)
from tests.commands.conftest import Manet, pixels, texture


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


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif"])
def test_an_original_of_a_camera_is_never_replaced(manet: Manet, photo: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[271], exif[272] = "Canon", "EOS 5D"
    original = photo.with_name(f"IMG_0002.{suffix}")
    with Image.open(photo) as image:
        image.convert("RGB").save(original, exif=exif)
    before = original.read_bytes()
    for options in (["--overwrite"], ["--overwrite", "-n"], []):
        refused = manet("upscale", photo, "-o", original, *options)
        assert refused.code == 1
        assert "names a camera in its EXIF (EOS 5D)" in refused.stderr
        assert "may be an original and is not replaced, even with --overwrite" in refused.stderr
    assert original.read_bytes() == before
    # A result has the EXIF of its photo, and may be replaced.
    result = photo.with_name(f"result.{suffix}")
    assert manet("upscale", original, "-o", result).code == 0
    assert manet("upscale", photo, "-o", result, "--overwrite").code == 0


def test_an_original_with_its_exif_after_the_pixels(manet: Manet, photo: Path) -> None:
    exif = Image.Exif()
    exif[272] = "EOS 5D"
    block = exif.tobytes()[6:]
    chunk = b"eXIf" + block
    original = photo.with_name("original.png")
    content = photo.read_bytes()
    end = content.rindex(b"\0\0\0\0IEND")
    chunk = len(block).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    original.write_bytes(content[:end] + chunk + content[end:])
    for command in ("upscale", "deblur", "compare", "kernels"):
        option = "--picture" if command == "kernels" else "-o"
        refused = manet(command, photo, option, original, "--overwrite")
        assert "may be an original" in refused.stderr
    folder = photo.with_name("lr") / "LR"
    folder.mkdir(parents=True)
    shutil.copy(original, folder / photo.name)
    degraded = manet("degrade", photo, "-o", folder.parent, "--variances", "4,1,30", "--overwrite")
    assert "may be an original" in degraded.stderr
    assert (folder / photo.name).read_bytes() == original.read_bytes()


def test_why_a_file_is_not_replaced(manet: Manet, photo: Path) -> None:
    output, original = photo.with_name("out.png"), shutil.copy(photo, photo.with_name("original.png"))
    manet("upscale", photo, "-o", output, "--precision", "fp32", "--tile", "64")

    def refused(*arguments: str | Path) -> str:
        outcome = manet(*arguments, "-o", output)
        assert outcome.code == 1
        return outcome.stderr

    said = refused("upscale", photo)
    assert (
        "was made with other settings (precision fp32, not auto; tile 64, not auto): give --overwrite" in said
    )
    assert "was made with other weights" in refused("upscale", photo, "-s", "2")
    assert "was made by 'manet upscale'" in refused("deblur", photo)
    other = shutil.copy(photo, photo.with_name("other.png"))
    assert manet("upscale", other, "-o", output, "--precision", "fp32", "--tile", "64").code == 0
    with Image.open(photo) as image:
        image.transpose(Image.Transpose.ROTATE_180).save(other)
    assert "was made from another picture" in refused("upscale", other)
    shutil.copy(other, photo)
    output.unlink()
    assert manet("upscale", photo, "-o", output).code == 0
    shutil.copy(original, photo)
    assert "was made from another picture or version of it: give" in refused("upscale", photo)
    output.write_bytes(b"notes")
    assert "has no record that this tool made it" in refused("upscale", photo)


def test_a_folder_that_is_named_like_a_file_is_said(manet: Manet, photo: Path) -> None:
    other = shutil.copy(photo, photo.with_name("other.png"))
    outcome = manet("upscale", photo, other, "-o", photo.with_name("one.jpg"), "-n")
    assert "one.jpg is taken as the name of a folder" in outcome.stderr
    for name in ("large.jepg", "result.txt"):
        assert f"{name} is taken as" in manet("upscale", photo, "-o", photo.with_name(name), "-n").stderr
    for output in (f"{photo.with_name('two.jpg')}/", photo.with_name("three"), photo.with_name("v1.2")):
        assert "is taken as" not in manet("upscale", photo, other, "-o", output, "-n").stderr
    outcome = manet("degrade", photo, "-o", photo.with_name("d.npz"), "--variances", "4,1,30")
    assert "d.npz is taken" in outcome.stderr


def test_errors_of_a_batch_name_the_picture(manet: Manet, photo: Path) -> None:
    clear = photo.with_name("clear.png")
    with Image.open(photo) as image:
        image.convert("RGBA").save(clear)
    assert f"manet: {clear}: JPEG" in manet("upscale", photo, clear, "--format", "jpeg", "-n").stderr
    said = manet("upscale", photo, "--size", "7x5", "-n").stderr
    assert f"{photo}: --size 7x5 makes" in said
    assert "7x5 is in pixels" in said


def test_every_size_has_an_estimate(manet: Manet, photo: Path) -> None:
    for size in ("300x", "x7.9", "x1"):
        planned = manet("upscale", photo, "--size", size, "-n", "--json").json[0]
        assert planned["estimated_seconds"] > 0


def test_a_skipped_picture_tells_its_dial(manet: Manet, photo: Path) -> None:
    made = manet("upscale", photo, "--json").json[0]
    for more in ([], ["-n"]):
        again = manet("upscale", photo, "--json", *more).json[0]
        assert (again["status"], again["denoise"]) == ("skipped", made["denoise"])


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
