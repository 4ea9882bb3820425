"""README and the command line say the same."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.command_reference import COMMANDS, PAGE, reference
from tests.commands.conftest import Manet

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_page_of_commands_is_that_of_the_command_line() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run python -m tests.command_reference"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        assert parameter.help or not parameter.opts[0].startswith("--"), (
            f"{name} {parameter.name} has no help"
        )


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
