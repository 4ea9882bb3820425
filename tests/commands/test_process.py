"""Real processes: streams, signals, kills, and their files."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands.conftest import Manet, texture

MANET = [sys.executable, "-m", "manet_cli"]

SAID = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def run(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*MANET, *map(str, arguments)], input=stdin, capture_output=True, check=False)


def test_standard_input_and_output(photo: Path) -> None:
    piped = run("upscale", "-", "--format", "webp", stdin=photo.read_bytes())
    assert (piped.returncode, piped.stderr) == (0, b"")
    assert piped.stdout[8:12] == b"WEBP"
    output = photo.with_name("out.png")
    named = run("upscale", "-", "-o", output, stdin=photo.read_bytes())
    assert named.stdout.decode() == f"{output}\n"
    bad = run("upscale", "-", stdin=b"hello")
    assert (bad.returncode, bad.stdout) == (1, b"")
    assert bad.stderr.startswith(b"manet: standard input is not")


def test_a_closed_pipe_is_no_traceback(photo: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        ended = subprocess.run(
            [*MANET, "upscale", photo, "-o", "-"], stdout=closed, stderr=subprocess.PIPE, check=False
        )
    assert ended.returncode == 1
    assert b"Traceback" not in ended.stderr


def test_names_of_any_bytes(tmp_path: Path) -> None:
    for name in (b"ph\xc3\xb6to \xe2\x82\xac.png", b"b\xff\xfe.png", b"-dash.png", b"new\nline.png"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        Image.fromarray(texture(8, 8)).save(path)
        ended = run("upscale", path)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout == os.fsencode(path.with_name(f"{path.stem}_x4.png")) + b"\n"


def test_a_traceback_only_when_asked(photo: Path) -> None:
    script = (
        "import sys, manet_cli.cli as cli, manet_cli.jobs.models as models\n"
        "def fail(*a, **k): raise ZeroDivisionError('broken')\n"
        "models.open_upscale = fail\n"
        f"sys.argv = ['manet', 'upscale', {str(photo)!r}]\n"
        "cli.main()\n"
    )
    for debug, expected in (("0", False), ("1", True)):
        ended = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "MANET_DEBUG": debug},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert ended.returncode == 1
        assert ("Traceback" in ended.stderr) is expected
        assert "ZeroDivisionError" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("command", "interrupted", "error"),
    [
        ("upscale", "manet_cli.jobs.models.open_upscale", "ValueError('no shape')"),
        ("upscale", "manet_cli.jobs.models.open_upscale", "manet_cli.errors.WeightsError('damaged')"),
        ("upscale", "PIL.Image.open", "OSError('damaged')"),
        ("degrade -o out -s 4 --kernel 9,1,0", "PIL.Image.open", "OSError('damaged')"),
        ("weights verify", "safetensors.torch.load_file", "safetensors.SafetensorError('damaged')"),
        ("doctor", "manet_cli.jobs.doctor.probes._run", "ValueError('no shape')"),
    ],
)
def test_a_signal_that_the_code_it_interrupts_turns_into_an_error(
    photo: Path, number: signal.Signals, command: str, interrupted: str, error: str
) -> None:
    """The run ends at once, as if no code had caught the signal, and reports no picture or file."""
    module, name = interrupted.rsplit(".", 1)
    pictures = [str(photo.parent)] if command.startswith(("upscale", "degrade")) else []
    script = (
        "import os, sys\n"
        f"import manet_cli.errors, safetensors, {module} as module\n"
        "from manet_cli import cli\n"
        f"original = module.{name}\n"
        "def swallow(*a, **k):\n"
        f"    module.{name} = original\n"
        "    try:\n"
        f"        os.kill(os.getpid(), {int(number)})\n"
        "        sum(range(10))\n"
        "    except BaseException:\n"
        f"        raise {error} from None\n"
        f"module.{name} = swallow\n"
        f"sys.argv = ['manet', *{command.split() + pictures!r}]\n"
        "cli.run()\n"
    )
    before = os.listdir(photo.parent)
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=photo.parent, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (128 + number, "")
    for word in ("unexpected", "damaged", "no shape"):
        assert word not in ended.stderr
    assert ended.stderr.splitlines()[-1] == f"manet: {SAID[number]}"
    assert os.listdir(photo.parent) == before


@pytest.mark.parametrize(
    ("number", "closed"), [(signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGTERM, True)]
)
def test_threads_that_go_on_computing_do_not_abort_the_process(
    tmp_path: Path, number: signal.Signals, closed: bool
) -> None:
    """A signal as the threads start: nobody waits for them, and they meet an interpreter that is gone."""
    Image.fromarray(texture(150, 150)).save(tmp_path / "photo.png")
    script = (
        "import os, sys, time\n"
        "from manet_cli import cli\n"
        "from manet_cli.inference import Engine\n"
        "from manet_cli.jobs.upscale.pipeline import Pipeline\n"
        "from threading import Event\n"
        "enter, restore, computing = Pipeline.__enter__, Engine.restore, Event()\n"
        "def begin(*a, **k):\n"
        "    computing.set()\n"
        "    return restore(*a, **k)\n"
        "def start(pipeline):\n"
        "    enter(pipeline)\n"
        "    computing.wait()\n"
        "    time.sleep(0.2)\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    time.sleep(60)\n"
        "Engine.restore, Pipeline.__enter__ = begin, start\n"
        f"if {closed}: sys.stdout = None  # as after >&-\n"
        "sys.argv = ['manet', 'upscale', 'photo.png']\n"
        "cli.run()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 128 + number, ended.stderr
    assert ended.stderr.splitlines()[-1] == f"manet: {SAID[number]}"
    assert os.listdir(tmp_path) == ["photo.png"]


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """A folder of pictures that takes a while."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(4):
        Image.fromarray(np.roll(texture(150, 200), i, axis=0)).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_run_that_is_stopped(batch: Path, number: signal.Signals, code: int) -> None:
    """No incomplete file has a final name, and the next run writes the same bytes."""
    out = batch.parent / "out"
    originals = {path: path.read_bytes() for path in batch.iterdir()}
    command = [*MANET, "upscale", str(batch), "-o", str(out), "--save-kernels", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while not list(out.glob("*_x4.png")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == code
    assert b"Traceback" not in errors
    if number in SAID:
        *_, summary, last = errors.decode().splitlines()
        assert re.fullmatch(r"\d done, \d not done: run the same command again for the rest", summary)
        assert last == f"manet: {SAID[number]}"
    left = sorted(path.name for path in out.iterdir())
    if number != signal.SIGKILL:
        assert not [name for name in left if name.endswith(".manet-tmp")]
    finished = {name: (out / name).read_bytes() for name in left if not name.startswith(".")}
    assert finished.keys() & {"0_x4.png", "1_x4.png", "2_x4.png", "3_x4.png"}
    assert {path: path.read_bytes() for path in batch.iterdir()} == originals

    assert run("upscale", batch, "-o", out, "--save-kernels", out).returncode == 0
    whole = batch.parent / "whole"
    run("upscale", batch, "-o", whole, "--save-kernels", whole)
    assert sorted(os.listdir(out)) == sorted(os.listdir(whole))
    for path in whole.iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes()
        if path.name in finished:
            assert finished[path.name] == path.read_bytes()


def test_one_picture_that_is_stopped(photo: Path) -> None:
    Image.fromarray(texture(1200, 1600)).save(photo)
    command = [*MANET, "upscale", str(photo), "--tile", "64"]
    environment = {**os.environ, "TTY_COMPATIBLE": "1", "COLUMNS": "100"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stderr is not None
        seen = b""
        while b"photo.png" not in seen:
            seen += os.read(process.stderr.fileno(), 4096)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert b"100%" not in seen + errors
    assert b"nothing was written: run the same command again" in errors
    assert errors.decode().splitlines()[-1].endswith("interrupted")
    assert os.listdir(photo.parent) == [photo.name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_for_standard_output(photo: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*MANET, "upscale", photo, "-o", "-"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert ended.returncode == 1
    assert b"Traceback" not in ended.stderr
    assert ended.stderr.startswith(b"manet: ")


WAITS = {
    "python": """
    told = "ready"
    while True:
        try:
            print(told, flush=True)
            time.sleep(60)
        except BaseException:
            told = "first"
""",
    "C code": """
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", (1 << 31) - 1)
""",
}


@pytest.mark.parametrize("waits", WAITS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(photo: Path, number: signal.Signals, waits: str) -> None:
    """At every moment of the run, and its temporary files are removed."""
    script = f"""
import hashlib, sys, time
from pathlib import Path
import manet_cli.jobs.models as models
from manet_cli import cli
from manet_cli.atomic import atomic_path, exclusive

def wait(): {WAITS[waits]}
def hang(*a, **k):
    with exclusive(Path(".lock.manet-tmp")), atomic_path(Path("out.png")) as temporary:
        temporary.write_text("half")
        wait()

models.open_upscale = hang
sys.argv = ["manet", "upscale", {photo.name!r}]
cli.run()
"""
    before = os.listdir(photo.parent)
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, cwd=photo.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.5)
        process.send_signal(number)
        if waits == "python":
            assert process.stdout.readline() == b"first\n"
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(number)
        try:
            assert process.wait(120) == 128 + number
            words = "interrupted" if number == signal.SIGINT else "terminated"
            assert process.stderr.read().decode() == f"manet: {words}\n"
        finally:
            process.kill()
    assert os.listdir(photo.parent) == before


@pytest.mark.parametrize("room", [0, 1])
def test_a_system_without_room_for_threads(
    tmp_path: Path, manet: Manet, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """As many as can be had do the work; none is a sentence."""
    Image.fromarray(texture(8, 8)).save(tmp_path / "a.png")
    Image.fromarray(texture(8, 8)).save(tmp_path / "b.png")
    start, left = threading.Thread.start, [room]

    def start_if_any_is_left(thread: threading.Thread) -> None:
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_if_any_is_left)
    outcome = manet("upscale", tmp_path, "-o", tmp_path / "out", "--json")
    if room:
        assert [line["status"] for line in outcome.json] == ["done", "done"]
    else:
        assert outcome.code == 1
        assert outcome.stderr.endswith("manet: there is no memory for a thread: close other programs.\n")
