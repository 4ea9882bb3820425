"""The canvas: from tiles to rows, with little memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from manet_cli.images import CollectedPhoto, Metadata, Photo
from manet_cli.inference import RestoredTile
from manet_cli.inference.tiles import TileGrid
from manet_cli.jobs.upscale.canvas import Canvas, PhotoRows

SCALE = 2


def photo(height: int, width: int, channels: int = 3, *, alpha: bool = False, bits: int = 8) -> Photo:
    generator = np.random.default_rng(height * width)
    dtype = np.uint16 if bits == 16 else np.uint8
    pixels = generator.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)
    mask = generator.integers(0, 256, (height, width)).astype(np.uint8) if alpha else None
    return Photo(pixels, mask, Metadata())


class Rows(CollectedPhoto):
    """Collects rows and counts them."""

    def __init__(self, what: Photo) -> None:
        header = what.header
        super().__init__(replace(header, width=header.width * SCALE, height=header.height * SCALE))
        self.count = 0

    def write(self, pixels: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> None:
        super().write(pixels, alpha)
        self.count += len(pixels)


def repeated(lr: PhotoRows, size: int, start: int, stop: int) -> list[RestoredTile]:
    """Each pixel of rows [start, stop) repeated, in tiles."""
    tiles = []
    for tile in TileGrid(lr.height, lr.width, 0).tiles(size, start, stop):
        part = lr.rows(tile.rows.start, tile.rows.stop)[..., tile.columns.start : tile.columns.stop]
        pixels = part.repeat_interleave(SCALE, 2).repeat_interleave(SCALE, 3)
        tiles.append(RestoredTile(tile.rows.start * SCALE, tile.columns.start * SCALE, pixels))
    return tiles


@pytest.mark.parametrize(
    "what",
    [photo(23, 31), photo(23, 31, 1), photo(23, 31, 1, bits=16), photo(23, 31, alpha=True)],
    ids=["rgb", "grey", "grey16", "rgba"],
)
def test_tiles_become_the_picture(what: Photo) -> None:
    lr, rows = PhotoRows(what), Rows(what)
    canvas = Canvas(what, lr, SCALE, rows)
    # Rows of tiles of different sizes, as when memory runs short.
    for tile in [*repeated(lr, 8, 0, 8), *repeated(lr, 16, 8, 23)]:
        canvas.paint(tile)
    result = rows.photo(Metadata())
    expected = what.pixels.repeat(SCALE, 0).repeat(SCALE, 1)
    if what.alpha is None:
        np.testing.assert_array_equal(result.pixels, expected)
    else:
        assert result.alpha is not None
        np.testing.assert_array_equal(result.alpha, what.alpha.repeat(SCALE, 0).repeat(SCALE, 1))
        visible = result.alpha > 0
        np.testing.assert_allclose(result.pixels[visible], expected[visible], atol=1)


@pytest.mark.parametrize("seed", range(4))
def test_rows_go_out_in_order_whatever_the_order_of_tiles(seed: int) -> None:
    what = photo(24, 31)
    lr, rows = PhotoRows(what), Rows(what)
    canvas = Canvas(what, lr, SCALE, rows)
    tiles = repeated(lr, 8, 0, 8) + repeated(lr, 5, 8, 24)
    for index in torch.randperm(len(tiles), generator=torch.Generator().manual_seed(seed)):
        canvas.paint(tiles[int(index)])
    assert rows.count == 24 * SCALE
    np.testing.assert_array_equal(
        rows.photo(Metadata()).pixels, what.pixels.repeat(SCALE, 0).repeat(SCALE, 1)
    )


def test_a_row_of_tiles_goes_out_as_soon_as_it_is_whole() -> None:
    what = photo(24, 31)
    lr, rows = PhotoRows(what), Rows(what)
    canvas = Canvas(what, lr, SCALE, rows)
    for tile in repeated(lr, 8, 0, 24):
        assert rows.count == tile.row
        canvas.paint(tile)
    assert rows.count == 24 * SCALE


MEMORY_SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from manet_cli.images import Metadata, Photo, format_by_name, open_output
from manet_cli.jobs.upscale.canvas import Canvas, PhotoRows
from tests.jobs.upscale.test_canvas import SCALE, repeated
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

for height in (256, 512, 4096):
    ramp = np.arange(512, dtype=np.uint8)[None, :, None].repeat(height, 0).repeat(3, 2)
    what = Photo(ramp, None, Metadata())
    lr = PhotoRows(what)
    header = replace(what.header, width=512 * SCALE, height=height * SCALE)
    with open_output(Path(sys.argv[2]), format_by_name(sys.argv[1]), header, Metadata()) as rows:
        canvas = Canvas(what, lr, SCALE, rows)
        for start in range(0, height, 64):
            for tile in repeated(lr, 64, start, start + 64):
                canvas.paint(tile)
    status = Path("/proc/self/status").read_text().splitlines()
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a system without /proc")
@pytest.mark.parametrize("name", ["png", "tiff"])
def test_memory_does_not_grow_with_the_result(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", MEMORY_SCRIPT, name, str(tmp_path / "out")]
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=Path(__file__).parents[2])
    _, small, large = (int(line) * 1024 for line in ended.stdout.split())
    input_grows, result_grows = (4096 - 512) * 512 * 3, (4096 - 512) * 512 * 3 * SCALE**2
    assert large - small < input_grows + 4_000_000 < result_grows / 2
