"""README and docs agree with the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.command_reference import COMMANDS, PAGE, reference
from tests.commands.conftest import Manet

ROOT = Path(__file__).parents[2]
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("examples/*.md"),
    *ROOT.glob("benchmarks/*.md"),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OUTPUTS = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_only_what_exists(page: Path) -> None:
    known = {
        option for command in COMMANDS.values() for parameter in command.params for option in parameter.opts
    }
    known |= {"--help", "--version", "--install-completion", "--show-completion"}
    text = page.read_text(encoding="utf-8")
    for line in re.findall(
        r"^ *(?:\$ )?manet .*$", "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)), re.MULTILINE
    ):
        words = re.split(r" [|&>#]|;", line.replace("$ ", ""))[0].split()
        name = " ".join(words[:3]) if words[1:2] in (["weights"], ["study"]) else " ".join(words[:2])
        assert name in COMMANDS or words[1].startswith("-"), line
        assert {word.split("=")[0] for word in words if word.startswith("--") and word != "--"} <= known, line


def test_the_readme_stays_short_and_shows_every_command() -> None:
    assert len(README.split()) <= 1700
    assert len(README.splitlines()) <= 150
    groups = {" ".join(name.split()[:2]) for name in COMMANDS}
    assert {name for name in groups if name not in README} == {"manet replay", "manet degrade", "manet study"}


def test_every_variable_is_documented_and_read() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "manet_cli").rglob("*.py"))
    read = set(re.findall(r"\"(MANET_[A-Z_]+)\"", source))
    assert read == set(re.findall(r"`(MANET_[A-Z_]+)`", OUTPUTS))


WHAT_NONSENSE_DOES = {
    "MANET_MODEL": (3, "no weights called 'nonsense'"),
    "MANET_DEVICE": (2, "--device nonsense"),
    "MANET_PRECISION": (2, "--precision nonsense"),
    "MANET_TILE": (2, "--tile nonsense"),
}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(MANET_[A-Z]+)`", OUTPUTS)) - {"MANET_DEBUG"}))
def test_every_documented_variable_has_its_effect(
    name: str, manet: Manet, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MANET_DEBUG has a separate test with a real process."""
    code, message = WHAT_NONSENSE_DOES[name]
    monkeypatch.setenv(name, "nonsense")
    for command in (["upscale"], ["kernels"], ["evaluate", "--protocol", "9,1,0"]):
        outcome = manet(*command, photo)
        assert outcome.code == code
        assert message in outcome.stderr


def anchors(page: Path) -> set[str]:
    """The anchors of a page: its headings, as Markdown names them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        place = page.parent / path if path else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


def test_every_page_is_in_the_navigation() -> None:
    named = set(
        re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert named == {page.name for page in ROOT.glob("docs/*.md")}
