"""README and the command line say the same."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from manet_cli.cli import app
from tests.commands.conftest import Manet

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(group: Any, name: str = "manet") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer's own classes
    for child in getattr(group, "commands", {}).values():
        if hasattr(child, "commands"):
            yield from commands(child, f"{name} {child.name}")
        else:
            yield f"{name} {child.name}", child


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    assert f"`{name}" in README
    command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        options = [option for option in parameter.opts if option.startswith("--")]
        assert parameter.help or not options, f"{name} {parameter.name} has no help"
        for option in options:
            assert f"`{option}" in README, f"{name} {option} is not in the README"


def test_the_readme_names_only_what_exists() -> None:
    known = {
        option for command in COMMANDS.values() for parameter in command.params for option in parameter.opts
    }
    known |= {"--help", "--version", "--install-completion", "--show-completion"}
    for line in re.findall(r"^ *(?:\$ )?manet .*$", README, re.MULTILINE):
        words = line.replace("$ ", "").split("#")[0].split()
        name = " ".join(words[:3]) if words[1:2] in (["weights"], ["study"]) else " ".join(words[:2])
        assert name in COMMANDS or words[1].startswith("-"), line
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, line
    assert set(re.findall(r"`(--[a-z-]+)", README)) <= known


def test_every_variable_is_documented_and_read() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "manet_cli").rglob("*.py"))
    read = set(re.findall(r"\"(MANET_[A-Z_]+)\"", source))
    assert read == set(re.findall(r"`(MANET_[A-Z_]+)`", README))


WHAT_NONSENSE_DOES = {
    "MANET_MODEL": (3, "no weights called 'nonsense'"),
    "MANET_DEVICE": (2, "--device nonsense"),
    "MANET_PRECISION": (2, "--precision nonsense"),
    "MANET_TILE": (2, "--tile nonsense"),
}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(MANET_[A-Z]+)`", README)) - {"MANET_DEBUG"}))
def test_every_documented_variable_has_its_effect(
    name: str, manet: Manet, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MANET_DEBUG has a test of its own, with a process of its own."""
    code, message = WHAT_NONSENSE_DOES[name]
    monkeypatch.setenv(name, "nonsense")
    for command in (["upscale"], ["kernels"], ["evaluate", "--protocol", "9,1,0"]):
        outcome = manet(*command, photo)
        assert outcome.code == code
        assert message in outcome.stderr


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert os.path.exists(ROOT / target), target  # noqa: PTH110 - a path relative to the README
