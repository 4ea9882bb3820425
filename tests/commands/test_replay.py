"""`manet replay`: from a result to its command."""

from __future__ import annotations

import json
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from manet_cli.images import read_record
from manet_cli.jobs.record import SETTINGS, Record
from manet_cli.weights import locate_weights
from tests.commands.conftest import Manet, texture


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with one small picture."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(texture(8, 11)).save("a.png")
    return tmp_path


def forged(name: str, **fields: object) -> None:
    """Make a picture with a foreign record."""
    record = Record("a.png", "0" * 64, "1" * 64, {"scale": 4}).fields() | fields
    text = PngInfo()
    text.add_itxt("manet_cli", json.dumps(record))
    Image.new("RGB", (8, 8)).save(name, pnginfo=text)


@pytest.mark.parametrize(
    ("source", "output", "options"),
    [
        ("a.png", "out.png", ["--sigma", "1.23456789,0.7,33.3", "--precision", "fp32"]),
        ("it's a $x.png", "new folder/ö.jpg", ["--quality", "71"]),
        ("-dash.png", "-out.webp", ["--tile", "16", "--exact"]),
        ("new\nline.png", "out.tif", ["--registration", "protocol", "--size", "x40"]),
        ("a.png", "out.avif", ["--kernel", "k.npy"]),
        pytest.param(
            *("a.png", "out.png", ["--precision", "int8", "--device", "openvino"]),
            marks=pytest.mark.skipif(not find_spec("openvino"), reason="the extra openvino is not installed"),
        ),
    ],
)
def test_the_command_makes_it_again(
    manet: Manet, here: Path, source: str, output: str, options: list[str]
) -> None:
    np.save("k.npy", np.full((21, 21), 1 / 441))
    if source != "a.png":
        Path("a.png").rename(source)
    if "/" in output:
        Path(output).parent.mkdir()
    # A measured dial is replayed as a number: the same pixels, and a record that says so.
    assert manet("upscale", *options, "--denoise", "0.2", "-o", f"./{output}", "--", source).code == 0
    extra = ["--kernel", "k.npy"] if "--kernel" in options else []
    told = manet("replay", *extra, "--", output)
    assert (told.code, told.stderr) == (0, "")
    words = shlex.split(told.stdout)
    assert words == manet("replay", *extra, "--json", "--", output).json[0]["command"]
    assert manet(*words[1:], "--json").json[0]["status"] == "skipped"
    made = Path(output).read_bytes()
    Path(output).unlink()
    assert manet(*words[1:]).code == 0
    assert Path(output).read_bytes() == made


def test_standard_input_too(manet: Manet, here: Path) -> None:
    digest = json.loads(manet_record(manet, "a.png"))["input_sha256"]
    weights = json.loads(manet_record(manet, "a.png"))["weights_sha256"]
    forged("out.png", input="stdin", input_sha256=digest, weights_sha256=weights)
    assert shlex.split(manet("replay", "out.png").stdout)[2] == "a.png"


def manet_record(manet: Manet, name: str) -> str:
    """The record of a picture's result, with one set of weights."""
    manet("upscale", name, "-q", "--model", "clean")
    record = read_record(Path(f"{Path(name).stem}_x4.png"))
    assert record is not None
    return record


def test_the_input_is_found_by_content(manet: Manet, here: Path) -> None:
    manet("upscale", "a.png", "-o", "out/")
    found = manet("replay", "out/a_x4.png", "--json").json[0]
    assert found["input"] == "a.png", "in the folder above"
    Path("photos", "deep").mkdir(parents=True)
    Path("a.png").rename("photos/deep/renamed.png")
    Image.fromarray(texture(8, 11)[::-1]).save("a.png")
    lost = manet("replay", "out/a_x4.png", "--json")
    assert (lost.code, lost.json[0]["command"]) == (1, None)
    assert "made from a.png (sha256 " in lost.json[0]["error"]
    assert "--input" in lost.json[0]["error"]
    for where in ("photos", "photos/deep/renamed.png"):
        found = manet("replay", "out/a_x4.png", "--input", where, "--json").json[0]
        assert found["input"] == "photos/deep/renamed.png"
    assert manet("replay", "out/a_x4.png", "-i", "a.png").code == 1
    shutil.move("photos/deep/renamed.png", "out/b.png")
    assert manet("replay", "out/a_x4.png", "--json").json[0]["input"] == "out/b.png", "beside it"


def test_where_the_command_writes(manet: Manet, here: Path) -> None:
    manet("upscale", "a.png", "-o", "x.jpg")
    manet("upscale", "a.png", "-o", "y.png")
    assert shlex.split(manet("replay", "x.jpg", "-o", "z.jpg").stdout)[4] == "z.jpg"
    lines = manet("replay", "x.jpg", "y.png", "-o", "again/").lines
    assert [shlex.split(line)[4] for line in lines] == ["again/x.jpg", "again/y.png"]
    assert manet("replay", "x.jpg", "y.png", "-o", "z.png").code == 2


def test_weights_of_no_family(manet: Manet, here: Path) -> None:
    copy = here / "mine.safetensors"
    shutil.copy(locate_weights("clean").path, copy)
    digest = json.loads(manet_record(manet, "a.png"))["input_sha256"]
    forged("out.png", input_sha256=digest)
    assert "--model" in manet("replay", "out.png").stderr
    assert "no such weight file" in manet("replay", "out.png", "--model", "none.pth").stderr
    outcome = manet("replay", "out.png", "--model", copy)
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "other weights" in outcome.stderr
    words = shlex.split(manet("replay", "a_x4.png", "--model", copy).stdout)
    assert words[words.index("--model") + 1] == str(copy)


def test_what_holds_no_record(manet: Manet, here: Path) -> None:
    Image.new("RGB", (8, 8)).save("b.bmp")
    Path("text.png").write_text("hello")
    outcome = manet("replay", "a.png", "b.bmp", "text.png", "none.png", "--json")
    assert outcome.code == 1
    errors = [line["error"] for line in outcome.json]
    assert ["no record" in error for error in errors] == [True, True, True, False]
    assert "BMP" in errors[1]


@pytest.mark.parametrize(
    "settings",
    [
        {"output": "/etc/passwd", "overwrite": True},
        {"scale": ["4", "--overwrite"]},
        {"scale": 4, "strange": 1},
        {"scale": 4, "blur": "guessed"},
        {"scale": 4, "blur": "sigma 1 --overwrite $(touch x)"},
        {"scale": 4, "precision": "$(touch x); --overwrite"},
        {"scale": 4, "tile": "\x1b]0;title\x07\n16"},
        {"scale": 4, "tile": "\udcff\ud800"},
        {"scale": True},
        {"scale": 4, "strength": float("inf")},
        {"scale": 4, "exact": 1},
        {"scale": 4, "size": "x" * 300},
        {"\x1b[31m" * 99: 1},
    ],
)
def test_a_record_cannot_name_other_options(manet: Manet, here: Path, settings: dict[str, object]) -> None:
    """A record may come with any picture, and the command may be piped into a shell."""
    real = json.loads(manet_record(manet, "a.png"))
    forged("evil.png", **(real | {"settings": settings}))
    outcome = manet("replay", "evil.png")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert len(outcome.stderr.splitlines()) == 1
    assert outcome.stderr.rstrip("\n").isprintable()
    assert len(outcome.stderr) < 400
    forged("way_out.png", **(real | {"input": "../../a.png"}))
    assert shlex.split(manet("replay", "way_out.png").stdout)[2] == "a.png"


def test_a_record_of_another_shape_is_none(manet: Manet, here: Path) -> None:
    real = json.loads(manet_record(manet, "a.png"))
    for number, (field, value) in enumerate(
        [
            ("tool", "\x1b[2Jmanet_cli 0.1.0"),
            ("weights_sha256", "\x1b]0;title\x07"),
            ("input_sha256", "1" * 63),
            ("input", "a" * 300),
            ("settings", []),
        ]
    ):
        forged(f"{number}.png", **(real | {field: value}))
        assert "holds no record" in manet("replay", f"{number}.png").stderr, field
    lost_input = {"input": "\x1b]0;title\x07\ud800\nmanet: all fine", "input_sha256": "1" * 64}
    forged("lost.png", **(real | lost_input))
    lost = manet("replay", "lost.png")
    assert r"made from \x1b]0;title\x07\ud800\x0amanet: all fine" in lost.stderr
    assert len(lost.stderr.splitlines()) == 1


def test_every_setting_is_an_option_or_has_its_own_words() -> None:
    import typer.main

    from manet_cli.cli import app

    group = typer.main.get_command(app)
    options = {
        option
        for command in ("upscale", "deblur", "compare", "kernels")
        for parameter in group.commands[command].params  # type: ignore[attr-defined]
        for option in parameter.opts
    }
    assert {f"--{name}" for name in SETTINGS} - options == {"--blur", "--coarse-weights"}
    with pytest.raises(ValueError, match="strange"):
        Record.of("a.png", b"", "1" * 64, {"strange": 1})
