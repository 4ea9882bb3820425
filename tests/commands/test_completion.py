"""Shell completion, in real shells."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment with `manet` on the path that reports imports of PyTorch."""
    command = tmp_path / "bin" / "manet"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -X importtime -m manet_cli "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash(environment: dict[str, str]) -> None:
    """The script of --show-completion works in its shell."""
    script = """
        source <(manet --show-completion 2>/dev/null)
        complete_words() {
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
            "$(complete -p manet | sed 's/.*-F \\([^ ]*\\).*/\\1/')" manet 2>>errors
            echo "${COMPREPLY[@]}"
        }
        complete_words manet up
        complete_words manet weights pu
        complete_words manet doctor --js
    """
    ended = subprocess.run(
        ["bash", "-c", script],
        env=environment,
        cwd=environment["HOME"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.splitlines() == ["upscale", "pull", "--json"], ended.stderr
    imported = (Path(environment["HOME"]) / "errors").read_text(encoding="utf-8")
    assert "typer" in imported
    assert "torch" not in imported, "pressing Tab must not take seconds"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(environment: dict[str, str], shell: str) -> None:
    """Their scripts name our command, and the command answers."""
    shown = subprocess.run(
        ["manet", "--show-completion", shell],
        env={**environment, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_MANET_COMPLETE=complete_" + shell in shown.stdout
    answered = subprocess.run(
        ["manet"],
        env={
            **environment,
            "_MANET_COMPLETE": f"complete_{shell}",
            "_TYPER_COMPLETE_ARGS": "manet weights ve",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "verify" in answered.stdout
    assert "convert" not in answered.stdout
