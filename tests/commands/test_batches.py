"""Many pictures at once: checks before the run, progress and results, and a second run."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from manet_cli import console, file_identity
from manet_cli.errors import ManetError
from manet_cli.images import read_record
from manet_cli.jobs.outputs import Claims
from manet_cli.jobs.sources import Source
from manet_cli.weights import load_weights, locate_weights
from tests.commands.conftest import Manet, texture
from tests.jobs.conftest import nobody


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three small pictures in the current folder."""
    folder = tmp_path / "three"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(texture(9, 12)).save(folder / name)
    monkeypatch.chdir(folder)
    return folder


def test_a_second_run_over_a_pattern_makes_nothing_new(manet: Manet, three: Path) -> None:
    """A shell expands ``*.png`` to the results of the first run too."""
    first = manet("upscale", *sorted(os.listdir()))
    assert (first.code, first.lines) == (0, ["a_x4.png", "b_x4.png", "c_x4.png"])
    before = {name: Path(name).stat().st_mtime_ns for name in os.listdir()}
    for inputs in (sorted(os.listdir()), ["*.png"]):
        again = manet("upscale", *inputs, "--json")
        assert [line["status"] for line in again.json] == ["skipped"] * 3
        assert "3 inputs left out: this tool made them" in again.stderr
    assert {name: Path(name).stat().st_mtime_ns for name in os.listdir()} == before
    elsewhere = manet("upscale", "a.png", "a_x4.png", "-o", "out/")
    assert elsewhere.lines == ["out/a_x4.png"]
    assert "a_x4.png left out" in elsewhere.stderr
    assert manet("upscale", "a_x4.png", "-n", "-q").stdout.startswith("a_x4.png -> a_x4_x4.png 192x144")


def test_a_summary_for_several(manet: Manet, three: Path) -> None:
    Path("bad.png").write_text("no picture")
    manet("upscale", "a.png")
    outcome = manet("upscale", ".", "--json")
    assert outcome.code == 1
    summary = outcome.stderr.splitlines()[-1]
    assert summary.startswith("2 done, 1 skipped, 1 failed, in ")
    assert manet("upscale", ".", "-q").stderr.count("\n") == 1, "errors only"


def test_the_time_is_that_of_the_clock(manet: Manet, three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time includes loading the weights."""

    def slowly(*arguments: Any) -> object:  # noqa: ANN401 - passed on
        time.sleep(1.5)
        return load_weights(*arguments)

    monkeypatch.setattr("manet_cli.jobs.models.load_weights", slowly)
    started = time.time()
    summary = manet("upscale", ".", "-o", "out").stderr.splitlines()[-1]
    waited = time.time() - started
    said = re.fullmatch(r"3 done, in ([\d.]+) s", summary)
    assert said is not None
    assert 1.5 <= float(said[1]) <= waited + 0.1


def test_fail_fast(manet: Manet, three: Path) -> None:
    Path("bad.png").write_text("no picture")
    outcome = manet("upscale", "c.png", "bad.png", "a.png", "--fail-fast", "--json")
    assert (outcome.code, [line["status"] for line in outcome.json]) == (1, ["failed"] * 3)
    assert "not a PNG" in outcome.json[1]["error"]
    assert "a.png was not started" in outcome.json[2]["error"]
    assert outcome.stderr.count("manet: ") == 1
    assert "1 failed, 2 not started" in outcome.stderr
    assert not Path("c_x4.png").exists(), "the plan is checked before anything starts"
    # An error found only in decoding stops the pictures after it.
    data = Path("b.png").read_bytes()
    Path("b.png").write_bytes(data[:60] + bytes(40) + data[100:])
    outcome = manet("upscale", "a.png", "b.png", "c.png", "--fail-fast")
    assert outcome.lines == ["a_x4.png"]
    assert "1 done, 1 failed, 1 not started" in outcome.stderr
    outcome = manet("upscale", "c.png", "b.png", "a.png")
    assert outcome.lines == ["c_x4.png"], outcome.stderr
    assert sorted(Path().glob("*_x4.png")) == [Path("a_x4.png"), Path("c_x4.png")]


def test_collisions_are_found_before(manet: Manet, three: Path) -> None:
    Path("sub").mkdir()
    shutil.copy("a.png", "sub/a.png")
    outcome = manet("upscale", "a.png", "sub/a.png", "b.png", "-o", "out", "--dry-run", "--json")
    assert [line["status"] for line in outcome.json] == ["planned", "failed", "planned"]
    assert outcome.json[1]["error"] == (
        "a.png and sub/a.png would both become out/a_x4.png: give -r and the folder above both, ., to keep "
        "the tree, or another -o for one of them."
    )
    followed = manet("upscale", ".", "-r", "-o", "out", "--dry-run", "--json")
    assert sorted(line["output"] for line in followed.json) == [
        *("out/a_x4.png", "out/b_x4.png", "out/c_x4.png", "out/sub/a_x4.png")
    ]
    shutil.copy("a.png", "a.tif")
    beside = manet("upscale", "a.png", "a.tif", "--dry-run", "--json")
    assert beside.json[1]["error"] == (
        "a.png and a.tif would both become a_x4.png: make one of them in a second run with another -o, or "
        "rename it."
    )
    Path("a.tif").unlink()
    assert not Path("out").exists()
    os.link("b.png", "a_x4.png")
    before = Path("b.png").read_bytes()
    outcome = manet("upscale", "a.png", "b.png", "--overwrite", "--json")
    assert "is an input" in outcome.json[0]["error"], "another name of an input"
    assert Path("b.png").read_bytes() == before


def test_names_that_differ_in_case_only(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that ignores case, the second file would replace the first."""
    sources = [Source(name, Path(name)) for name in ("a.png", "A.png", "Ä.png", "A\u0308.png")]
    outputs = [Path("out", f"{name}_x4.png") for name in ("a", "A", "ä", "A\u0308")]

    def failures() -> list[bool]:
        ledger = Claims(sources, overwrite=False)
        found = []
        for source, output in zip(sources, outputs, strict=True):
            try:
                ledger.claim(output, source)
                found.append(False)
            except ManetError as error:
                found.append("ignores case" in str(error))
        return found

    monkeypatch.setattr("manet_cli.file_identity.ignores_case", lambda folder: True)
    assert failures() == [False, True, False, True]
    monkeypatch.setattr("manet_cli.file_identity.ignores_case", lambda folder: False)
    assert failures() == [False] * 4


def test_whether_a_disk_ignores_case(three: Path) -> None:
    Path("CaseProbe").touch()
    truth = Path("cASEpROBE").exists()
    Path("CaseProbe").unlink()
    before = sorted(os.listdir())
    assert file_identity.ignores_case(three) is truth
    assert file_identity.ignores_case(three / "not" / "yet") is truth
    assert sorted(os.listdir()) == before


def test_folders_that_cannot_be_written_are_found_before(three: Path) -> None:
    """Root may write anywhere, so plan as another user."""
    three.chmod(0o555)
    three.parent.chmod(0o755)
    ledger = Claims([], overwrite=False)
    with nobody():
        for output in (Path("a_x4.png"), Path("new", "a_x4.png")):
            with pytest.raises(ManetError, match="cannot be written to"):
                ledger.claim(output, Source("a.png", Path("a.png")))
    # This error comes before the one about an existing file: --overwrite would not help.
    Path("a_x4.png").touch()
    three.chmod(0o555)
    with nobody(), pytest.raises(ManetError, match="cannot be written to"):
        ledger.claim(Path("a_x4.png"), Source("a.png", Path("a.png")))
    # Also in an unreadable folder.
    three.chmod(0o000)
    with nobody(), pytest.raises(ManetError, match="cannot be written to"):
        ledger.claim(three / "new" / "a_x4.png", Source("a.png", Path("a.png")))
    three.chmod(0o755)
    with pytest.raises(ManetError, match="a file is in the way"):
        ledger.claim(Path("a.png", "below", "a_x4.png"), Source("b.png", Path("b.png")))


def test_bmp_says_that_it_holds_no_record(manet: Manet, three: Path) -> None:
    assert manet("upscale", "a.png", "-o", "a.bmp").code == 0
    outcome = manet("upscale", "a.png", "-o", "a.bmp")
    assert outcome.code == 1
    assert "BMP has no place for the record" in outcome.stderr
    assert manet("upscale", "a.png", "-o", "a.bmp", "--overwrite").code == 0


def test_a_folder_can_be_moved(manet: Manet, three: Path) -> None:
    manet("upscale", "a.png", "b.png", "-o", "out")
    moved = three.parent / "moved"
    three.rename(moved)
    os.chdir(moved)
    Path("a.png").rename("renamed.png")
    Path("out", "a_x4.png").rename(Path("out", "renamed_x4.png"))
    outcome = manet("upscale", ".", "-o", "out", "--json")
    assert [line["status"] for line in outcome.json] == ["skipped", "done", "skipped"]


def test_a_dry_run_estimates_the_time(manet: Manet, three: Path) -> None:
    Image.fromarray(texture(60, 90)).save("large.png")
    Path("bad.png").write_text("no picture")
    before = sorted(os.listdir())
    outcome = manet("upscale", "a.png", "large.png", "bad.png", "--dry-run", "--json", "-o", "out")
    small, large, bad = outcome.json
    assert 0 < small["estimated_seconds"] < large["estimated_seconds"]
    assert "estimated_seconds" not in bad
    summary = outcome.stderr.splitlines()[-1]
    assert summary.startswith("2 planned, 1 failed; about ")
    assert re.search("an estimate from [0-9]+x[0-9]+ pixels of large.png measured for", summary)
    assert sorted(os.listdir()) == before
    assert " s\n" in manet("upscale", "a.png", "-n").stdout
    nothing = manet("upscale", "bad.png", "-n")
    assert (nothing.code, nothing.stdout) == (1, "")


def test_a_dry_run_measures_what_can_be_read(manet: Manet, three: Path) -> None:
    """If the best sample is damaged, another is used."""
    Image.fromarray(texture(60, 90)).save("large.png")
    data = Path("large.png").read_bytes()
    Path("large.png").write_bytes(data[:80] + bytes(40) + data[120:])
    outcome = manet("upscale", "large.png", "a.png", "-n", "--json", "--quality", "50", "--format", "jpeg")
    assert [line["status"] for line in outcome.json] == ["planned", "planned"]
    assert outcome.json[0]["estimated_seconds"] > 0
    assert "pixels of a.png" in outcome.stderr


def test_a_dry_run_with_kernels_from_a_file(manet: Manet, three: Path) -> None:
    """Kernel maps fit only whole pictures, but the measurement uses a crop."""
    Image.fromarray(texture(60, 90)).save("large.png")
    manet("kernels", "large.png", "-o", "k.npy")
    (line,) = manet("upscale", "large.png", "--kernel-map", "k.npy", "-n", "--json").json
    assert line["estimated_seconds"] > 0


def test_long_runs_say_how_long(manet: Manet, three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal, progress is a line now and then."""
    monkeypatch.setattr(console, "_LINE_SECONDS", 0.0)
    outcome = manet("upscale", "a.png", "b.png", "c.png", "-o", "out")
    assert outcome.lines == ["out/a_x4.png", "out/b_x4.png", "out/c_x4.png"]
    assert re.search(r"^[12] of 3 pictures, \d+%, about [\d.]+ s left$", outcome.stderr, re.MULTILINE)
    assert manet("upscale", "a.png", "-q", "-o", "quiet.png").stderr == ""


def test_a_bar_on_a_terminal(manet: Manet, three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    outcome = manet("upscale", "a.png", "b.png", "none.png")
    assert outcome.lines == ["a_x4.png", "b_x4.png"]
    # The two overlap, and a bar is drawn ten times a second, so one of them may never show.
    assert re.search(r"[12]/2 [ab]\.png", outcome.stderr)
    assert "2 done, 1 failed" in outcome.stderr
    assert "\x1b[" not in manet("upscale", "c.png", "-q").stderr


def test_a_pictures_bytes_do_not_depend_on_its_company(manet: Manet, tmp_path: Path) -> None:
    folder, alone = tmp_path / "small", tmp_path / "alone"
    folder.mkdir()
    for number in range(18):  # of one size; between them other sizes, alpha, and a damaged file
        sides = (11, 14) if number % 6 == 5 else (17, 13)
        pixels = np.roll(texture(*sides), number, axis=1)
        if number % 6 == 3:
            pixels = np.dstack((pixels, pixels[..., 0]))
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    damaged = bytearray((folder / "06.png").read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    (folder / "07.png").write_bytes(damaged)
    outcome = manet("upscale", folder, "--json")
    made = sorted(folder.glob("*_x4.png"))
    assert (outcome.code, len(made)) == (1, 17)
    assert [Path(line["input"]).name for line in outcome.json] == [f"{number:02}.png" for number in range(18)]
    assert [line["input"] for line in outcome.json if line["error"]] == [str(folder / "07.png")]
    for path in made:
        single = alone / path.name
        manet("upscale", folder / path.name.replace("_x4", ""), "-o", single)
        assert single.read_bytes() == path.read_bytes()

    # A resumed run gives the same bytes too.
    before = {path: path.read_bytes() for path in made}
    for path in (made[0], made[3], made[6], made[-1]):
        path.unlink()
    again = manet("upscale", folder, "--json")
    assert [line["status"] for line in again.json].count("done") == 4
    assert {path: path.read_bytes() for path in made} == before


def test_keeping_the_kernels_changes_no_byte(manet: Manet, three: Path) -> None:
    manet("upscale", "*.png", "-o", "plain/")
    outcome = manet("upscale", "*.png", "-o", "kept/", "--save-kernels", "maps/")
    assert outcome.code == 0
    manet("kernels", "a.png", "-o", "alone.npy")
    for name in "abc":
        assert Path(f"kept/{name}_x4.png").read_bytes() == Path(f"plain/{name}_x4.png").read_bytes()
        kernels = np.load(f"maps/{name}_x4_kernels.npy").astype(float)
        assert kernels.shape == (9, 12, 21, 21)
        assert np.abs(kernels - np.load("alone.npy").astype(float)).max() < 1e-3


def test_a_link_as_output_is_written_through(manet: Manet, three: Path) -> None:
    Path("far").mkdir()
    Path("far/b.png").write_bytes(b"old")
    Path("link.png").symlink_to("far/b.png")
    assert "exists" in manet("upscale", "a.png", "-o", "link.png").stderr
    assert manet("upscale", "a.png", "-o", "link.png", "--overwrite").code == 0
    assert Path("link.png").is_symlink()
    with Image.open("far/b.png") as image:
        assert image.size == (48, 36)
    Path("back.png").symlink_to("a.png")
    outcome = manet("upscale", "a.png", "-o", "back.png", "--overwrite")
    assert "inputs are never overwritten" in outcome.stderr


def test_what_a_run_reads_besides_is_an_input(manet: Manet, three: Path) -> None:
    shutil.copy(locate_weights("default").path, "mine.safetensors")
    weights = Path("mine.safetensors").read_bytes()
    assert manet("kernels", "a.png", "-o", "map.npy").code == 0
    for link, target in (("link.png", "mine.safetensors"), ("map_link.png", "map.npy")):
        os.link(target, link)
    common = ["--overwrite", "--model", "mine.safetensors"]
    for arguments in (
        ["upscale", "a.png", "-o", "link.png"],
        ["upscale", "a.png", "-o", "map_link.png", "--kernel-map", "map.npy"],
        ["upscale", "a.png", "--kernel-map", "map.npy", "--save-kernels", "map.npy"],
        ["kernels", "a.png", "--picture", "link.png"],
    ):
        outcome = manet(*arguments, *common)
        assert outcome.code == 1, arguments
        assert "never overwritten" in outcome.stderr
    photos = ["--data", ".", "-o", ".", "--estimator"]
    os.link("mine.safetensors", "weights.safetensors")
    assert "never overwritten" in manet("train", "--stage", "sr", *photos, "mine.safetensors").stderr
    assert Path("mine.safetensors").read_bytes() == weights


@pytest.mark.parametrize(
    ("suffix", "share"),
    [("png", 0.7), ("png", 0.98), ("jpg", 0.7), ("jpg", 0.98), ("tif", 0.7), ("webp", 0.9), ("avif", 0.9)],
)
def test_a_result_that_was_cut_off_is_made_again(
    manet: Manet, three: Path, suffix: str, share: float
) -> None:
    result = Path(f"r.{suffix}")
    assert manet("upscale", "a.png", "-o", result).code == 0
    whole = result.read_bytes()
    result.write_bytes(whole[: int(len(whole) * share)])
    planned = manet("upscale", "a.png", "-o", result, "--json", "-n")
    assert planned.json[0]["status"] == "planned"
    again = manet("upscale", "a.png", "-o", result, "--json")
    assert again.json[0]["status"] == "done"
    assert "r." in again.stderr
    assert "cut off before its end: it is made again" in again.stderr
    assert result.read_bytes() == whole
    assert manet("upscale", "a.png", "-o", result, "--json").json[0]["status"] == "skipped"


def test_a_result_of_another_size_is_somebodys_work(manet: Manet, three: Path) -> None:
    """Cropped or shrunk by a program that keeps the record, or another picture with this record."""
    assert manet("upscale", "a.png", "-q").code == 0
    whole = Path("a_x4.png").read_bytes()
    record = read_record(Path("a_x4.png"))
    text = PngInfo()
    text.add_itxt("manet_cli", record or "")
    Image.new("RGB", (3, 3)).save("a_x4.png", pnginfo=text)
    edited = Path("a_x4.png").read_bytes()
    outcome = manet("upscale", "a.png", "b.png", "--json")
    assert [line["status"] for line in outcome.json] == ["failed", "done"]
    assert "then changed from 48x36 to 3x3 pixels: give --overwrite" in outcome.json[0]["error"]
    Path("a_x4.png").write_bytes(edited[:-4])
    assert "3x3 pixels" in manet("upscale", "a.png").stderr, "cut off too: still somebody's work"
    assert manet("upscale", "a.png", "--overwrite").lines == ["a_x4.png"]
    assert Path("a_x4.png").read_bytes() == whole


def test_a_cut_result_with_a_kernel_map(manet: Manet, three: Path) -> None:
    assert manet("upscale", "a.png", "--save-kernels", "k/").code == 0
    kernels = Path("k/a_x4_kernels.npy")
    before, stamp = Path("a_x4.png").read_bytes(), kernels.stat().st_mtime_ns
    Path("a_x4.png").write_bytes(before[:-30])
    assert manet("upscale", "a.png", "--save-kernels", "k/", "--json").json[0]["status"] == "done"
    assert Path("a_x4.png").read_bytes() == before
    assert kernels.stat().st_mtime_ns == stamp
