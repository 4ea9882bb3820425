"""Wrong results raise an error; plausible results pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from manet_cli.errors import ManetError
from manet_cli.inference import RestoredTile
from manet_cli.jobs.upscale.checks import sound_tiles
from tests.inference.conftest import Picture


def run(lr: Tensor, *tiles: Tensor) -> int:
    """Pass tiles (3, h, w) side by side, at scale 2, and return how many passed."""
    column, made = 0, []
    for pixels in tiles:
        made.append(RestoredTile(0, column, pixels[None]))
        column += pixels.shape[2]
    return len(list(sound_tiles(iter(made), Picture(lr[None]), 2)))


def picture(width: int = 20) -> Tensor:
    return torch.rand(3, 10, width, generator=torch.Generator().manual_seed(1))


def large(lr: Tensor) -> Tensor:
    return lr.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)


def flat(value: float, width: int = 40) -> Tensor:
    return torch.full((3, 20, width), value)


@pytest.mark.parametrize(("value", "words"), [(0.0, "black"), (-3.0, "black"), (0.5, "of one colour")])
def test_one_colour_for_a_picture_is_refused(value: float, words: str) -> None:
    with pytest.raises(ManetError, match=words):
        run(picture(), flat(value))


def test_a_black_tile_is_refused() -> None:
    lr = picture()
    with pytest.raises(ManetError, match="black"):
        run(lr, large(lr)[..., :20], flat(0.0, 20))


def test_a_picture_that_vanishes_is_refused() -> None:
    lr = torch.ones(3, 10, 20)
    lr[:, 4, 4] = 0
    with pytest.raises(ManetError, match="of one colour"):
        run(lr, flat(1.0))


def test_black_for_white_is_refused() -> None:
    with pytest.raises(ManetError, match="black"):
        run(torch.ones(3, 10, 20), flat(0.0))


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_flat_pictures_may_stay_flat(value: float) -> None:
    assert run(torch.full((3, 10, 20), value), flat(value)) == 1


def test_nearly_flat_pictures_may_become_flat() -> None:
    assert run(0.5 + (picture() - 0.5) * 0.06, flat(0.5)) == 1


def test_flat_parts_of_a_picture_may_stay_flat() -> None:
    lr = picture()
    lr[..., 10:] = 0
    assert run(lr, large(lr)[..., :20], flat(0.0, 20)) == 2
