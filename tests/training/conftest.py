"""Small photos with edges in all directions, and recipes that run in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from manet_cli.training.photos import PhotoCache, open_cache
from manet_cli.training.recipe import Recipe
from manet_cli.training.recipe_files import load_recipe
from tests.commands import conftest as commands

manet = commands.manet  # the fixture that runs the command line

TINY_NETWORK = "[network]\nfeatures = 8\nblocks = 1\ngrowth = 4\ntransform_width = 4\n"


def draw_photo(seed: int, size: tuple[int, int] = (176, 144)) -> Image.Image:
    """Return a picture of many overlapping polygons, (width, height)."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    for _ in range(140):
        centre = rng.uniform(0, size)
        corners = centre + rng.normal(0, 14, (4, 2))
        draw.polygon([tuple(corner) for corner in corners], fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "below").mkdir()
    for seed, name in enumerate(("a.png", "b.png", "below/c.png")):
        draw_photo(seed).save(folder / name)
    return folder


@pytest.fixture(scope="session")
def cache(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> PhotoCache:
    return open_cache(sorted(photos.rglob("*.png")), photos, tmp_path_factory.mktemp("cache"), smallest=84)


@pytest.fixture
def make_recipe(tmp_path: Path) -> Callable[..., Recipe]:
    """Return a function that makes a small recipe from a stage, TOML and top-level options."""

    def make(stage: str = "manet", toml: str = "", scale: int = 4, **options: object) -> Recipe:
        config = tmp_path / "recipe.toml"
        config.write_text(toml, encoding="utf-8")
        small = {"iterations": 8, "batch_size": 4, "patch_size": 64, "precision": "fp32"}
        return load_recipe(stage, scale, config=config, options={**small, **options})

    return make
