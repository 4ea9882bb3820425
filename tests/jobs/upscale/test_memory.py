"""The memory estimate of a dry run."""

from __future__ import annotations

import torch

from manet_cli.images import Header, format_by_name
from manet_cli.inference import Engine
from manet_cli.jobs.upscale.memory import needed_memory
from manet_cli.models import BlindConfig, BlindModel, MANetConfig, RRDBSFTConfig

TINY = BlindConfig(
    MANetConfig(channels=(4, 4)), RRDBSFTConfig(features=4, blocks=1, growth=4, transform_width=4)
)


def needed(width: int, height: int, name: str = "png", *, tile: int | None = 256) -> int:
    engine = Engine(BlindModel(TINY), torch.device("cpu"), tile=tile)
    header = Header(width, height, 3, False, 8)
    return needed_memory(engine, header, Header(4 * width, 4 * height, 3, False, 8), format_by_name(name))


def test_lossless_formats_take_the_input_and_a_row_of_tiles() -> None:
    assert needed(12247, 8165) < 2_000_000_000
    assert needed(4000, 12000) - needed(4000, 6000) < 12 * 6000 * 4000
    assert needed(8000, 6000) - needed(4000, 6000) < 0.7 * needed(4000, 6000)


def test_other_formats_and_untiled_runs_take_more() -> None:
    assert needed(2000, 2000, "avif") > 4 * needed(2000, 2000)
    assert needed(2000, 2000, tile=0) > 8 * needed(2000, 2000)
