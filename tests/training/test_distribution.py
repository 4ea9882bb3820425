"""Several processes by torchrun: the same run as one process, and a clean end if one dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch.distributed as dist

from manet_cli.errors import TrainingError
from manet_cli.training import Photos, Recipe, distribution
from manet_cli.training import run as module
from manet_cli.training.checkpoints import RunFolder
from manet_cli.training.distribution import World, join_world
from manet_cli.weights import Weights, read_weights, write_weights
from tests.commands.conftest import Manet
from tests.training.conftest import TINY_NETWORK
from tests.training.runs import SMALL, small_model

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SLOW = "[report]\nlog_every = 1\ncheckpoint_seconds = 0\nnumber_format = 'float32'\n"
TOLERANCE = 1e-4
"""Largest difference of a weight after this test's steps, in units of its tensor's standard deviation."""


def arguments(photos: Path, folder: Path, config: Path, *more: str) -> list[str]:
    config.write_text(TINY_NETWORK + SLOW + "[optimizer]\nlearning_rate = 1e-3\n", encoding="utf-8")
    fixed = ["-m", "manet_cli", "train", "--stage", "sr", "--data", str(photos), "-o", str(folder)]
    shape = ["--batch-size", "4", "--patch-size", "64", "--precision", "fp32", "--device", "cpu"]
    return [*fixed, *shape, "--config", str(config), "--cache", str(folder.parent / "cache"), *more]


def processes_of(folder: Path) -> list[int]:
    """Return the ranks of a run: the processes with its folder in their arguments, except torchrun."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.fsencode(folder) in words and b"torch.distributed.run" not in words:
                found.append(int(entry.name))
    return found


def wait_for_steps(folder: Path, steps: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        lines = RunFolder(folder).read_log()
        if lines and int(str(lines[-1]["step"])) >= steps:
            return
        time.sleep(0.05)
    raise AssertionError("the run made no progress")


def launch(photos: Path, folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [*TORCHRUN, *arguments(photos, folder, folder.parent / "config.toml", *more)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_train_as_one_with_the_same_batch(photos: Path, tmp_path: Path, manet: Manet) -> None:
    """The stage with two networks."""
    one, two, given = tmp_path / "one", tmp_path / "two", tmp_path / "given.safetensors"
    write_weights(Weights(small_model().state_dict(), SMALL, published=False, sha256=""), given)
    more = ("--stage", "crisp", "--estimator", str(given), "--restorer", str(given), "--iterations", "6")
    assert manet(*arguments(photos, one, tmp_path / "config.toml", *more)[2:]).code == 0
    out, err = launch(photos, two, *more).communicate(timeout=300)
    assert out.splitlines() == [str(two / "weights.safetensors")], err  # from the first process alone
    first, second = (read_weights(folder / "weights.safetensors").tensors for folder in (one, two))
    for name, tensor in first.items():
        scale = max(float(tensor.std()), 1e-3) if tensor.numel() > 1 else 1.0
        assert float((tensor - second[name]).abs().max()) < TOLERANCE * scale, name
    for name in ("loss", "discriminator"):
        losses = [[float(str(line[name])) for line in RunFolder(folder).read_log()] for folder in (one, two)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc to find a rank")
def test_a_run_outlives_a_signal_and_a_killed_process(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = launch(photos, folder, "--iterations", "100000", "--json")
    wait_for_steps(folder, 2)
    run.send_signal(signal.SIGTERM)
    out, err = run.communicate(timeout=300)
    assert out, err
    ended = json.loads(out)
    assert ended["status"] == "interrupted"
    assert newest_step(folder) == ended["step"]  # all processes stopped at the same step

    run = launch(photos, folder, "--iterations", "100000", "--resume")
    wait_for_steps(folder, ended["step"] + 2)
    ranks = processes_of(folder)
    assert len(ranks) == 2
    os.kill(max(ranks), signal.SIGKILL)
    out, _ = run.communicate(timeout=300)
    assert run.returncode != 0
    assert out == ""
    assert processes_of(folder) == []
    assert not [path for path in folder.rglob("*") if path.name.endswith(".manet-tmp")]

    last = newest_step(folder) + 2
    run = launch(photos, folder, "--resume", "--iterations", str(last), "--json")
    out, err = run.communicate(timeout=300)
    assert json.loads(out)["step"] == last, err


def newest_step(folder: Path) -> int:
    checkpoint = RunFolder(folder).newest_checkpoint()
    assert checkpoint is not None
    return checkpoint.step


def test_a_batch_that_cannot_be_shared_is_refused(
    photos: Path, tmp_path: Path, manet: Manet, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def three(device: str) -> Iterator[World]:
        yield World(0, 3)

    monkeypatch.setattr("manet_cli.training.run.join_world", three)
    outcome = manet(*arguments(photos, tmp_path / "run", tmp_path / "config.toml")[2:])
    assert outcome.code == 2
    assert "--batch-size 4 cannot be divided among 3 processes" in outcome.stderr


def test_no_process_leaves_while_another_needs_it(tmp_path: Path) -> None:
    script, marks = tmp_path / "script.py", tmp_path / "marks"
    marks.mkdir()
    script.write_text(
        "import pathlib, sys, time\n"
        "from manet_cli.training.distribution import join_world\n"
        "marks = pathlib.Path(sys.argv[1])\n"
        "with join_world('cpu') as world:\n"
        "    world.wait()\n"
        "    if world.is_first:\n"
        "        time.sleep(1)\n"
        "        (marks / 'last exchange ended').touch()\n"
        "    world.leave()\n"
        "    assert (marks / 'last exchange ended').exists()\n"
        "    (marks / str(world.rank)).touch()\n",
        encoding="utf-8",
    )
    run = subprocess.run([*TORCHRUN, str(script), str(marks)], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert {path.name for path in marks.iterdir()} == {"0", "1", "last exchange ended"}


@pytest.mark.parametrize(("rank", "local_rank", "turn"), [(0, 0, 0), (8, 0, 1), (3, 3, 2), (9, 1, 2)])
def test_photos_are_decoded_by_one_process_of_a_machine_at_a_time(
    rank: int,
    local_rank: int,
    turn: int,
    make_recipe: Callable[..., Recipe],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []
    monkeypatch.setattr(World, "wait", lambda self: events.append("wait"))
    monkeypatch.setattr(module, "open_cache", lambda *given, **named: events.append("open"))
    world = World(rank, 16, local_rank)
    module._decoded(Photos([], tmp_path), tmp_path, make_recipe(), world, lambda share: None)
    assert events.index("open") == turn
    assert events.count("wait") == 3


def test_a_lost_connection_is_one_sentence_wherever_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(distribution, "meet", lambda timeout: None)
    monkeypatch.setattr(dist, "init_process_group", lambda *given, **named: None)
    monkeypatch.setattr(dist, "new_group", lambda *given, **named: None)
    with pytest.raises(TrainingError, match="another process of this run ended"), join_world("cpu"):
        raise RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1")
    with pytest.raises(RuntimeError, match="shapes"), join_world("cpu"):
        raise RuntimeError("shapes do not fit")
