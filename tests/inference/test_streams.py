"""Tiles put together."""

import torch

from manet_cli.inference.streams import RestoredTile, assembled


def test_tiles_in_any_order_give_the_picture_they_were_cut_from() -> None:
    picture = torch.rand(1, 3, 7, 10, generator=torch.Generator().manual_seed(0))
    corners = [(5, 6), (0, 0), (5, 0), (0, 6)]
    tiles = [RestoredTile(row, left, picture[..., row : row + 5, left : left + 6]) for row, left in corners]
    assert torch.equal(assembled(tiles, 7, 10), picture)
