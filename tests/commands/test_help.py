"""Help and lists on a terminal of 80 columns."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.command_reference import COMMANDS
from tests.commands.conftest import Manet

_FRAME = "\u2502\u256d\u256e\u2570\u256f\u2500"
_GROUPS = ("Input and output", "Quality", "Blur", "Degradation", "Training", "Speed", "Scripts")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("name", COMMANDS)
def test_help_breaks_at_words(manet: Manet, name: str) -> None:
    outcome = manet(*name.split()[1:], "--help")
    assert outcome.code == 0
    assert max(map(len, outcome.lines)) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in outcome.stdout
    assert not re.search(r"<bool>|list\[|\{", outcome.stdout), "types and braces of the library"
    shown = set(outcome.stdout.translate(dict.fromkeys(map(ord, _FRAME))).split())
    for parameter in COMMANDS[name].params:
        if not getattr(parameter, "hidden", False):
            words = (parameter.help or "").split() + (parameter.metavar or "").split()
            assert set(words) <= shown, parameter.name


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("name", COMMANDS)
def test_options_stand_in_groups_of_one_order(manet: Manet, name: str) -> None:
    shown = manet(*name.split()[1:], "--help").stdout
    panels = [line.strip(_FRAME + " ") for line in shown.splitlines() if line.startswith("\u256d")]
    panels = [panel for panel in panels if panel != "Arguments"]
    assert panels
    assert panels == [group for group in _GROUPS if group in panels]


def test_weights_list_has_a_line_each(manet: Manet) -> None:
    """On a terminal, where a table has the terminal's width."""
    lines = on_terminal("weights", "list").splitlines()
    assert len(lines) == len(manet("weights", "list").lines)
    assert max(map(len, lines)) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in "".join(lines)
    assert lines[0].split() == ["name", "scale", "size", "where", "quality"]
    ours = [line for line in manet("weights", "show", "default").lines if line.startswith("summary")]
    assert "published" not in ours[0]


def on_terminal(*arguments: str) -> str:
    """The output of a command on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    process = subprocess.Popen(
        [sys.executable, "-m", "manet_cli", *arguments], stdout=theirs, env=environment
    )
    os.close(theirs)
    printed = io.BytesIO()

    def read() -> None:
        with contextlib.suppress(OSError):  # the end of a terminal on Linux
            while data := os.read(ours, 4096):
                printed.write(data)

    reader = threading.Thread(target=read)
    reader.start()
    assert process.wait(120) == 0
    reader.join()
    os.close(ours)
    return printed.getvalue().decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x4", "type -s 4"),
        ("3x", "type -s 3"),
        ("2.0", "type -s 2"),
        ("2.5", "type manet upscale --size x2.5"),
        ("8", "type manet upscale --size x8"),
        ("16", "expected 2, 3 or 4"),
        ("-1", "expected 2, 3 or 4"),
        ("four", "expected 2, 3 or 4"),
    ],
)
def test_a_scale_that_is_none(manet: Manet, text: str, sentence: str) -> None:
    for command in ("upscale", "kernels", "explore"):
        outcome = manet(command, "photo.png", f"--scale={text}")
        assert (outcome.code, outcome.stdout) == (2, "")
        assert outcome.stderr.startswith(f"manet: -s {text}: ")
        assert sentence in outcome.stderr


def test_a_gpu_that_is_not_there(manet: Manet) -> None:
    outcome = manet("upscale", "photo.png", "--device", "cuda:99")
    assert outcome.code == 4
    assert "CUDA devices that PyTorch can use; give --device c" in outcome.stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["upscale", "--variances", "9,1,45", "photo.png"], "--sigma"),
        (["upscale", "--out", "x.png", "photo.png"], "type -o"),
        (["upscale", "--outscale", "4", "photo.png"], "type -s"),
        (["upscale", "--denoise_strength", "1", "photo.png"], "type --denoise"),
        (["upscale", "photo.png", "-q", "80"], "type --quality 80"),
        (["deblur", "photo.png", "-qn", "80"], "type --quality 80"),
        (["kernels", "Two", "words.png"], 'quotes, "Two words.png"'),
        (["train", "--resume", "-o", "run"], "Repeat the command of the run, with --resume"),
        (["train", "--resume", "-o", "run", "--iterations", "abc"], "valid integer"),
        (["upscale", "photo.png", "\N{EN DASH}size", "300x"], "two short ones, --size"),
        (["upscale", "photo.png", "-o", "notes.txt"], ".txt cannot be written; use .png"),
        (["upscale", "photo.png", "-dash.png", "-o", "notes.txt"], "./-dash.png"),
        (["upscale", "photo.png", "Two words.png", "-o", "notes.txt"], "several inputs need a folder"),
        (["train", "--data", ".", "-o", ".", "--stage", "sr"], "is the folder of the photos"),
        (["help"], "type manet --help"),
        (["enlarge", "photo.png"], "type manet upscale"),
        (["pull", "published"], "type manet weights pull"),
        (["Two", "words.png"], 'type manet upscale "Two words.png"'),
        (["deblur", "-s", "2", "photo.png"], "manet upscale"),
        (["degrade", "--sigma", "3", "photo.png"], "--variances"),
        (["compare", "photo.png", "other.png"], "--with FILE"),
        (["kernels", "photo.png", "-o", "k.png"], "--picture FILE.png"),
        (["photo.png"], "manet upscale photo.png"),
        (["upscale", "-dash.png"], "./-dash.png"),
    ],
)
def test_a_near_miss_says_what_to_type(
    manet: Manet, photo: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], hint: str
) -> None:
    for name in ("-dash.png", "Two words.png"):
        shutil.copy(photo, photo.with_name(name))
    photo.with_name("notes.txt").touch()
    monkeypatch.chdir(photo.parent)
    outcome = manet(*words)
    assert outcome.code == 2
    assert hint in " ".join(outcome.stderr.translate(dict.fromkeys(map(ord, _FRAME))).split())
