"""``manet evaluate -o``: the file of results is continued, and never damaged."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.commands.conftest import Manet, texture
from tests.commands.test_evaluate import GRID_LINES, KERNEL, options, write_model, write_pictures


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "small.safetensors")


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "hr")


def test_a_finished_file_is_not_measured_again(
    manet: Manet, hr: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "deep/results.jsonl"
    command = ("evaluate", hr, *options(model, "--protocol", KERNEL, "-o", results, "--json"))
    first = manet(*command)
    content = results.read_bytes()
    assert [json.loads(line) for line in content.splitlines()] == first.json[:-1]
    monkeypatch.setattr("manet_cli.evaluation.runs.measure", pytest.fail)
    again = manet(*command)
    assert again.stdout == first.stdout
    assert results.read_bytes() == content


def test_more_pictures_and_models_are_added(manet: Manet, hr: Path, model: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    other = write_model(tmp_path / "other.safetensors", seed=1)
    common = ["--protocol", "mode5", "--json"]
    assert manet("evaluate", hr, *options(model, *common, "-o", results, "--limit", "1")).code == 0
    added = manet("evaluate", hr, *options(model, "--model", other, *common, "-o", results))
    assert added.stdout == manet("evaluate", hr, *options(model, "--model", other, *common)).stdout
    assert len(results.read_bytes().splitlines()) == 4


@pytest.mark.parametrize("rest", [b"{", b'{"image": "a.png", "image_sha', b'{"image": "x"}'])
def test_a_half_written_line_is_done_again(
    manet: Manet, hr: Path, model: Path, tmp_path: Path, rest: bytes
) -> None:
    results = tmp_path / "results.jsonl"
    command = ("evaluate", hr, *options(model, "--protocol", KERNEL, "-o", results))
    assert manet(*command).code == 0
    content = results.read_bytes()
    results.write_bytes(content[: content.index(b"\n") + 1] + rest)
    assert manet(*command).code == 0
    assert results.read_bytes() == content


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_killed_run_goes_on(manet: Manet, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(3):
        Image.fromarray(texture(160 + 4 * index, 176)).save(folder / f"{index}.png")
    results = tmp_path / "results.jsonl"
    common = ["evaluate", str(folder), *map(str, options(model, "--json"))]
    process = subprocess.Popen(
        [sys.executable, "-m", "manet_cli", *common, "-o", str(results)],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    deadline = time.monotonic() + 60
    while not (results.exists() and results.read_bytes().count(b"\n") >= 2):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = results.read_bytes()
    kept = kept[: kept.rindex(b"\n") + 1]
    assert 2 <= kept.count(b"\n") < 3 * GRID_LINES
    resumed = manet(*common, "-o", results)
    assert resumed.code == 0
    assert results.read_bytes().startswith(kept)
    assert resumed.stdout == manet(*common).stdout
    assert results.read_text().splitlines() == resumed.lines[:-1]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--protocol", "9,1,0"], "protocol"),
        (["--noise", "2"], "steps"),
        (["--jpeg", "70,4:4:4"], "steps"),
        (["--seed", "1"], "seed"),
        (["--tile", "16"], "tile"),
        (["--precision", "bf16"], "precision"),
    ],
)
def test_a_file_of_other_settings(
    manet: Manet, hr: Path, model: Path, tmp_path: Path, more: list[str], said: str
) -> None:
    results = tmp_path / "results.jsonl"
    command = ("evaluate", hr, *options(model, "--protocol", KERNEL, "--limit", "1", "-o", results))
    assert manet(*command).code == 0
    content = results.read_bytes()
    outcome = manet(*command, *more)
    assert outcome.code == 1
    assert f"other settings ({said} " in outcome.stderr
    assert results.read_bytes() == content


@pytest.mark.parametrize(
    "content",
    [b"notes", b"notes\n", b"{}\n", b'{"mean": {}}\n', b'{"image": 1, "settings": {}}\n', b"\xff\n", b"\n"],
)
def test_a_file_of_something_else(
    manet: Manet, hr: Path, model: Path, tmp_path: Path, content: bytes
) -> None:
    results = tmp_path / "results.jsonl"
    results.write_bytes(content)
    outcome = manet("evaluate", hr, *options(model, "-o", results))
    assert outcome.code == 1
    assert "does not hold results" in outcome.stderr
    assert results.read_bytes() == content


def test_outputs_that_cannot_be_written(manet: Manet, hr: Path, model: Path, tmp_path: Path) -> None:
    outcome = manet("evaluate", hr, *options(model, "-o", tmp_path))
    assert outcome.code == 1
    assert "is a folder" in outcome.stderr
    if Path(os.devnull).is_char_device():
        outcome = manet("evaluate", hr, *options(model, "-o", os.devnull))
        assert outcome.code == 1
        assert "not a regular file" in outcome.stderr
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / "held.jsonl").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        outcome = manet("evaluate", hr, *options(model, "-o", tmp_path / "held.jsonl"))
    assert outcome.code == 1
    assert "another run is writing" in outcome.stderr


def test_a_full_disk_ends_the_run(
    manet: Manet, hr: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("manet_cli.evaluation.results.os.fsync", full)
    outcome = manet("evaluate", hr, *options(model, "--protocol", KERNEL, "-o", tmp_path / "results.jsonl"))
    assert outcome.code == 1
    assert "cannot be written" in outcome.stderr
    assert outcome.stderr.count("manet:") == 1
