"""Output on a terminal, in a log and in a pipe: file names cannot steer a terminal."""

from __future__ import annotations

import json
import logging
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from manet_cli.console import Reporter, print_json, print_table, printable
from tests.commands.conftest import Manet, texture

MANET = [sys.executable, "-m", "manet_cli"]
HOSTILE = (
    b"[red]x",
    b"[link=http:x]y",
    b"e\x1b[31mr\x1b]0;T\x07",
    b"nl\nmanet: forged",
    b"bad\xff\xfe",
    b":bomb:",
    b"cr\rx",
    b"c1\xc2\x9b31m",
    b"del\x7f",
    "rtl\u202egnp.exe".encode(),
    "line\u2028end".encode(),
)


def on_a_terminal(*arguments: str | Path, cwd: Path) -> tuple[int, bytes]:
    """Run with both streams on a terminal; return the exit code and the terminal's output."""
    terminal, process_end = pty.openpty()
    got = bytearray()

    def read() -> None:
        while True:
            try:
                part = os.read(terminal, 1 << 16)
            except OSError:  # on Linux the end of a terminal
                return
            if not part:
                return
            got.extend(part)

    reading = threading.Thread(target=read)
    reading.start()
    environment = {**os.environ, "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "200"}
    command = [*MANET, *map(str, arguments)]
    ended = subprocess.run(
        command,
        stdin=process_end,
        stdout=process_end,
        stderr=process_end,
        env=environment,
        cwd=cwd,
        check=False,
    )
    os.close(process_end)
    reading.join()
    os.close(terminal)
    return ended.returncode, bytes(got)


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder of pictures whose names could steer a terminal, and as many damaged ones."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in HOSTILE:
        path = folder / os.fsdecode(name + b".png")
        Image.fromarray(texture(8, 8)).save(path)
        damaged = path.with_name(f"broken {path.name}")
        damaged.write_bytes(path.read_bytes()[:60])
    return folder


def test_names_do_not_steer_a_terminal(hostile: Path) -> None:
    code, got = on_a_terminal("upscale", ".", "-o", "../out", cwd=hostile)
    assert code == 1
    assert b"Traceback" not in got
    lines = got.replace(b"\r\n", b"\n").decode().split("\n")
    assert all(printable(line) == line for line in lines), lines
    for shown in (r"e\x1b[31mr\x1b]0;T\x07", r"nl\x0amanet: forged", r"bad\xff\xfe", r"rtl\u202egnp.exe"):
        assert any(line.startswith(f"../out/{shown}") and line.endswith("_x4.png") for line in lines), shown
        assert any(line.startswith(f"manet: broken {shown}.png ") for line in lines), shown
    assert b":bomb:_x4.png" in got
    assert b"[red]x_x4.png" in got
    assert not [line for line in lines if line.startswith("manet: forged")]


def test_a_pipe_gets_names_byte_for_byte(hostile: Path) -> None:
    ended = subprocess.run(
        [*MANET, "upscale", hostile, "-o", hostile.with_name("out")], capture_output=True, check=False
    )
    written = sorted(os.fsencode(path) for path in hostile.with_name("out").iterdir())
    assert len(written) == len(HOSTILE)
    assert all(path + b"\n" in ended.stdout for path in written)
    assert len(ended.stdout) == sum(len(path) + 1 for path in written)
    errors = ended.stderr.decode().splitlines()
    assert len([line for line in errors if line.startswith("manet: ")]) == len(HOSTILE), "one line each"


def test_complaints_about_the_command_line(
    manet: Manet, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for arguments in (
        ["upscale", photo, "--\x1b[31mred"],
        ["--\x1b[31mred"],
        ["\x1b[31mred"],
        ["upscale", photo, "-s", "\x1b[31mred"],
        ["upscale", photo, "--device", "\x1b[31mred\x9b"],
        ["weights", "show", "\x1b[31mred"],
        ["weights", "path", "--\x1b[31mred"],
        ["weights", "\x1b[31mred"],
    ):
        outcome = manet(*arguments)
        assert outcome.code in (2, 3)
        assert "red" in outcome.stderr or "-s" in arguments
        assert "\x1b" not in outcome.stderr + outcome.stdout, arguments


def test_what_is_logged_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    Reporter()
    long = "/a folder/with a long name" * 20
    logging.getLogger("manet_cli.test").warning("%s: :bomb: [red]\x1b[31m\nmanet: forged", long)
    assert capfd.readouterr().err == f"{long}: :bomb: [red]\\x1b[31m\\x0amanet: forged\n"


def test_tables_and_json(capfd: pytest.CaptureFixture[str]) -> None:
    print_table(["name"], [["\x1b[31mred\n:bomb: [bold]"]])
    assert capfd.readouterr().out.splitlines()[1].rstrip() == r"\x1b[31mred\x0a:bomb: [bold]"
    print_json({"name": "\x7f\x1b\x9b\udcff\u202e"})
    printed = capfd.readouterr().out
    assert printed.rstrip("\n").isprintable()
    assert json.loads(printed) == {"name": "\x7f\x1b\x9b\udcff\u202e"}


def test_what_people_read_is_left_alone() -> None:
    for name in (
        "photo.png",
        "فایل\u200cها.png",
        "👩\u200d💻.jpg",
        "写真\u3000一.png",
        "a\u0308.png",
        "C:\\x",
    ):
        assert printable(name) == name
    assert printable("\U000e0041") == "\\U000e0041"


def test_the_bar_shows_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    reporter = Reporter()
    with reporter.batch([1.0, 1.0]) as batch:
        with batch.picture("a\x1b[31m\nb", 1.0) as advance:
            advance(0.5)
        assert reporter._bars is not None
        assert [task.description for task in reporter._bars.tasks] == [r"1/2 a\x1b[31m\x0ab"]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_reader_that_leaves_early_stops_no_work(tmp_path: Path, as_json: bool) -> None:
    """As in ``manet upscale ... | head -n1``."""
    for number in range(4):
        Image.fromarray(texture(8 + number, 8)).save(tmp_path / f"{number}.png")
    command = [*MANET, "upscale", *map(str, sorted(tmp_path.iterdir())), *(["--json"] if as_json else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 0, errors
    assert errors.startswith(b"4 done")
    assert len(list(tmp_path.glob("*_x4.png"))) == 4


def test_a_reader_that_leaves_early_hides_no_failure(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        ended = subprocess.run(
            [*MANET, "upscale", tmp_path, "--json"], stdout=closed, stderr=subprocess.PIPE, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith(b"manet: ")
