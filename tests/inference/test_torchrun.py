"""Torchrun's variables, which a user may set by hand."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from manet_cli.errors import TrainingError, UsageError
from manet_cli.inference import torchrun
from manet_cli.inference.torchrun import Process, started_by_torchrun, this_process
from manet_cli.jobs.upscale.sharing import join_fleet
from manet_cli.training.distribution import join_world
from tests.commands.conftest import Manet, manet

__all__ = ["manet"]

SOUND = {
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "none",
}
NONSENSE = [
    ("RANK", "abc", "from 0 to 1"),
    ("RANK", "2", "from 0 to 1"),
    ("LOCAL_RANK", "abc", "from 0 to 1"),
    ("LOCAL_RANK", "-1", "from 0 to 1"),
    ("WORLD_SIZE", "two", "from 1"),
    ("WORLD_SIZE", "0", "from 1"),
    ("WORLD_SIZE", "", "from 1"),
    ("WORLD_SIZE", "9" * 5000, "from 1"),
]


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of the second of two processes."""
    for name, value in SOUND.items():
        monkeypatch.setenv(name, value)

    def nobody(timeout: timedelta) -> None:
        raise AssertionError("other processes are waited for")

    monkeypatch.setattr("manet_cli.jobs.upscale.sharing.meet", nobody)
    monkeypatch.setattr("manet_cli.training.distribution.meet", nobody)


def test_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert started_by_torchrun()
    assert this_process() == Process(1, 2, 1)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert this_process() == Process()
    assert join_fleet() is None
    monkeypatch.delenv("WORLD_SIZE")  # a cluster's RANK alone does not mean several processes
    assert this_process() == Process()
    assert not started_by_torchrun()


@pytest.mark.parametrize(("name", "value", "bounds"), NONSENSE)
def test_nonsense_is_a_sentence(
    name: str, value: str, bounds: str, manet: Manet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    expected = f"{name}={value}: expected a whole number {bounds}, as torchrun sets it"
    for arguments in (["upscale", "a.png"], ["train", "--stage", "sr", "--data", "a", "-o", "b"]):
        outcome = manet(*arguments)
        assert (outcome.code, outcome.stdout) == (2, "")
        assert expected in " ".join(outcome.stderr.split())
        assert "Traceback" not in outcome.stderr
    with pytest.raises(UsageError, match=f"^{name}="), join_world("cpu"):
        pass


def test_processes_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manet_cli.jobs.upscale.sharing.meet", torchrun.meet)
    monkeypatch.setattr("manet_cli.training.distribution.meet", torchrun.meet)
    monkeypatch.setenv("MASTER_PORT", "70000")
    with pytest.raises(UsageError, match=r"cannot be reached \(port must have value from 0 to 65535"):
        join_fleet()
    lost = "another process of this run ended or cannot be reached"
    with pytest.raises(TrainingError, match=lost), join_world("cpu"):
        pass
