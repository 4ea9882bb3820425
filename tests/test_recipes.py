"""The first recipes of docs/recipes.md run as written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.commands.conftest import texture

ROOT = Path(__file__).parents[1]
RECIPES = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")


def blocks(heading: str) -> list[tuple[str, str]]:
    """Language and text of the blocks below a heading."""
    section = re.split(r"^## ", RECIPES, flags=re.MULTILINE)
    (text,) = (part for part in section if part.startswith(f"{heading}\n"))
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two photos in ``photos`` and a ``manet`` to call."""
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        Image.fromarray(texture(8, 12)).save(tmp_path / "photos" / name)
    command = tmp_path / "bin" / "manet"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m manet_cli "$@"\n')
    command.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("heading", ["find", "xargs", "make"])
def test_a_recipe(photos: Path, heading: str) -> None:
    tool = "bash" if heading == "find" else heading
    if shutil.which(tool) is None:
        pytest.skip(f"needs {tool}")
    if heading != "make":
        (photos / "photos" / "b.jpg").rename(photos / "photos" / "-b c\n.jpg")
    environment = {**os.environ, "PATH": f"{photos / 'bin'}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    script = ""
    for language, text in blocks(heading):
        if language == "make":
            (photos / "Makefile").write_text(text)
        else:
            script += text
    ended = subprocess.run(
        ["bash", "-euc", script], cwd=photos, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    expected = {"a.png", "b.png"} if heading == "make" else {"a_x4.png", "-b c\n_x4.png"}
    assert set(os.listdir(photos / "large")) == expected
    for name in expected:
        with Image.open(photos / "large" / name) as image:
            assert image.size == (48, 32)


def test_every_recipe_names_options_that_exist() -> None:
    import typer.main

    from manet_cli.cli import app

    upscale = typer.main.get_command(app).commands["upscale"]  # type: ignore[attr-defined]
    known = {option for parameter in upscale.params for option in parameter.opts}
    for line in re.findall(r"(?:manet|manet_cli) upscale ([^|<\n]*)", RECIPES):
        used = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", line.split(" #")[0].replace("`", " ")))
        assert used <= known, line
