"""Impossible file names in every option: a clear message, and no other file is lost."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from manet_cli.evaluation.measuring import FIGURES
from manet_cli.weights import locate_weights
from manet_cli.weights.cache import source_folder
from manet_cli.weights.sources import parse_source
from tests.commands.conftest import Manet, texture

LONG = "x" * 300
DEEP = "/".join(["y" * 200] * 30)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two small pictures in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        Image.fromarray(texture(8, 8)).save(name)
    return tmp_path


@pytest.mark.parametrize("long", [LONG, DEEP], ids=["name", "path"])
def test_one_input_costs_no_other(manet: Manet, here: Path, long: str) -> None:
    outcome = manet("upscale", "a.png", f"{long}.png", "b.png", "--json")
    assert outcome.code == 1
    assert [line["status"] for line in outcome.json] == ["done", "failed", "done"]
    assert "File name too long" in outcome.json[1]["error"]


def test_one_line_of_a_list_costs_no_other(manet: Manet, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = f"a.png\n{LONG}.png\n{LONG}/c.png\nb.png\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(names.encode())))
    outcome = manet("upscale", "@-", "-n", "--json")
    assert [line["status"] for line in outcome.json] == ["planned", "failed", "failed", "planned"]


def test_a_result_whose_name_would_be_too_long(manet: Manet, here: Path) -> None:
    """The names of the input and the result are just short enough; the kernel map's name is too long."""
    name = "z" * 251 + ".png"
    Path("b.png").rename(name)
    outcome = manet("upscale", "a.png", name, "--json")
    assert [line["status"] for line in outcome.json] == ["done", "failed"]
    assert "more than 255 bytes" in outcome.json[1]["error"]
    assert manet("upscale", name, "-o", "short.png").code == 0
    Path(name).rename("z" * 245 + ".png")
    outcome = manet("upscale", "a.png", "z" * 245 + ".png", "--save-kernels", "k", "--json")
    assert [line["status"] for line in outcome.json] == ["done", "failed"]
    assert "more than 255 bytes" in outcome.json[1]["error"]
    assert len(os.listdir("k")) == 1


@pytest.mark.parametrize(
    "command",
    [
        *("upscale a.png -o LONG.png", "upscale a.png b.png -o LONG", "upscale a.png -o LONG/LONG/"),
        *("upscale LONG", "upscale @LONG", "upscale LONG*", "upscale **/LONG.png"),
        *("upscale a.png --save-kernels LONG.npy", "upscale a.png --save-kernels LONG"),
        *("upscale a.png --kernel LONG.npy", "upscale a.png --kernel-map LONG.npy"),
        *("upscale a.png --model LONG.pth", "upscale a.png --model ~nobody_of_that_name/x.pth"),
        *("kernels LONG.png", "kernels a.png -o LONG.npy", "kernels a.png --picture LONG.png"),
        *("explore LONG.png", "explore a.png -o LONG.html"),
        *("degrade LONG.png -o out --kernel 9,1,0", "degrade a.png -o LONG --kernel 9,1,0"),
        *("evaluate LONG.png --protocol 9,1,0", "evaluate a.png --protocol 9,1,0 -o LONG.jsonl"),
        *("study consecutive LONG.png -o out", "study compare a.png -o LONG"),
        *("train --stage sr --data LONG -o run", "train --stage sr --data . -o LONG --iterations 1"),
        "train --stage sr --data . -o run --config LONG.toml",
        "train --stage sr --data . -o run --val LONG",
        *(
            "weights show LONG.pth",
            "weights convert LONG.pth a.pth",
            "weights convert SHIPPED LONG.pth",
        ),
        *("replay LONG.png", "replay a_x4.png --input LONG", "replay a_x4.png -o LONG.png"),
        "replay a_x4.png --model LONG.pth",
    ],
)
@pytest.mark.parametrize("long", [LONG, DEEP], ids=["name", "path"])
def test_a_sentence_wherever_a_file_is_named(manet: Manet, here: Path, command: str, long: str) -> None:
    words = command.replace("SHIPPED", str(locate_weights("default").path)).replace("LONG", long).split()
    before = sorted(os.listdir())
    outcome = manet(*words)
    assert outcome.code in (1, 2, 3), outcome
    assert "bug" not in outcome.stderr
    assert outcome.stderr.startswith("manet: ")
    assert [name for name in sorted(os.listdir()) if name not in before and name not in ("run", "out")] == []


@pytest.mark.parametrize("settings", [[], {}, None, "text", {"scale": [[]]}])
def test_results_of_another_shape(manet: Manet, here: Path, settings: object) -> None:
    fields = dict.fromkeys(FIGURES)
    texts = dict.fromkeys(("image", "image_sha256", "kernel", "model", "weights_sha256"), "\ud800\x1b[31m")
    line = {**texts, "width": 1, "height": 1, **fields, "settings": settings}
    for content in (json.dumps(line), '{"image":' + "[" * 100_000):
        Path("results.jsonl").write_text(content + "\n")
        outcome = manet("evaluate", "a.png", "--protocol", "9,1,0", "-o", "results.jsonl")
        assert outcome.code == 1
        assert outcome.stderr.startswith(
            ("manet: results.jsonl does not hold ", "manet: results.jsonl has results of other settings")
        )
        assert Path("results.jsonl").read_text() == content + "\n"


@pytest.mark.parametrize(
    "fields",
    [
        {"file": "a\0b"},
        {"file": "\ud800"},
        {"file": "x" * 300},
        {"source": "\x1b[31m\ud800"},
        {"sha256": "\ud800"},
        "[" * 100_000,
        "[]",
        "{",
    ],
)
def test_receipts_of_another_shape(
    manet: Manet, here: Path, fields: dict[str, str] | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(here))
    source = parse_source("https://127.0.0.1:9/x.safetensors")
    folder = source_folder(source)
    folder.mkdir(parents=True)
    sound = {
        "source": source.text,
        "sha256": "0" * 64,
        "file": "weights.safetensors",
        "file_sha256": "0" * 64,
    }
    text = fields if isinstance(fields, str) else json.dumps(sound | fields)
    (folder / "receipt.json").write_text(text)
    for arguments in (["list"], ["list", "--json"], ["verify"], ["show", source.text], ["path", source.text]):
        outcome = manet("weights", *arguments)
        assert "bug" not in outcome.stderr, arguments
        assert outcome.code in (0, 3), arguments
        assert "\x1b" not in outcome.stdout + outcome.stderr


def test_a_cache_whose_name_is_too_long(manet: Manet, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", f"/{LONG}")
    found = manet("doctor", "--json")
    assert found.code == 0
    assert LONG in json.loads(found.stdout)["cache"]["folder"]
    assert manet("weights", "list").code == 0
    assert manet("weights", "path", "https://127.0.0.1:9/x.safetensors").code == 3
