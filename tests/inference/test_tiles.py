"""Tile geometry: every division of every small image follows the rules."""

import itertools

import pytest

from manet_cli.inference.tiles import Span, Tile, TileGrid


def check(grid: TileGrid, tiles: list[Tile], top: int = 0, bottom: int | None = None, left: int = 0) -> None:
    """Cores cover rows [top, bottom) exactly once; outer parts follow the rules."""
    bottom = grid.height if bottom is None else bottom
    seen: set[tuple[int, int]] = set()
    halo = -(-grid.halo // grid.multiple) * grid.multiple
    for tile in tiles:
        for span, side in ((tile.rows, grid.height), (tile.columns, grid.width)):
            assert 0 <= span.outer_start <= span.start < span.stop <= span.outer_stop <= side
            assert span.outer_start == max(span.start - halo, 0)
            assert span.outer_stop == min(span.stop + halo, side)
            for edge in (span.start, span.stop, span.outer_start, span.outer_stop):
                assert edge % grid.multiple == 0
        core = set(
            itertools.product(
                range(tile.rows.start, tile.rows.stop), range(tile.columns.start, tile.columns.stop)
            )
        )
        assert not core & seen
        seen |= core
    assert seen == set(itertools.product(range(top, bottom), range(left, grid.width)))


@pytest.mark.parametrize("halo", [0, 1, 3, 20])
def test_every_small_image_at_every_tile_size(halo: int) -> None:
    for height, width, size in itertools.product((1, 2, 5, 8, 13), (1, 3, 7, 12), range(15)):
        grid = TileGrid(height, width, halo)
        tiles = grid.tiles(size)
        check(grid, tiles)
        if size:
            assert max(max(tile.rows.size, tile.columns.size) for tile in tiles) <= size
        else:
            assert len(tiles) == 1


@pytest.mark.parametrize("multiple", [2, 4, 8])
def test_multiples(multiple: int) -> None:
    for rows, columns, size, halo in itertools.product((1, 2, 5), (1, 4), (0, 1, 7, 8, 9, 20), (0, 1, 11)):
        grid = TileGrid(rows * multiple, columns * multiple, halo, multiple)
        tiles = grid.tiles(size)
        check(grid, tiles)
        if size:
            largest = max(max(tile.rows.size, tile.columns.size) for tile in tiles)
            assert largest <= max(size, multiple)


def test_a_range_of_rows_keeps_its_context() -> None:
    for start, stop, size in itertools.product((0, 8, 16), (24, 32, 40), (0, 8, 16)):
        grid = TileGrid(48, 16, 11, 8)
        check(grid, grid.tiles(size, start, stop), start, stop)


def test_tiles_come_row_by_row() -> None:
    tiles = TileGrid(20, 30, 3).tiles(7)
    order = [(tile.rows.start, tile.columns.start) for tile in tiles]
    assert order == sorted(order)


def test_cores_have_about_equal_sizes() -> None:
    sizes = [tile.columns.size for tile in TileGrid(1, 257, 8).tiles(128)]
    assert sizes == [86, 86, 85]


def test_splitting_keeps_the_coverage() -> None:
    for size, part, multiple in itertools.product((8, 16, 40), (4, 8, 10, 16), (1, 8)):
        grid = TileGrid(40, 24, 5, multiple)
        tiles = [half for tile in grid.tiles(size) for half in grid.split(tile, part)]
        check(grid, tiles)
        largest = max(max(tile.rows.size, tile.columns.size) for tile in tiles)
        assert largest <= max(part, multiple)


@pytest.mark.parametrize("multiple", [1, 8])
def test_half_a_core_makes_two(multiple: int) -> None:
    for units in range(2, 40):
        size = units * multiple
        grid = TileGrid(size, multiple, 3, multiple)
        (whole,) = grid.tiles(0)
        assert len(grid.split(whole, grid.half(size))) == 2


def test_slices_cut_the_core_out_of_the_outer_part() -> None:
    span = Span(start=10, stop=16, outer_start=7, outer_stop=20)
    assert span.size == 6
    values = list(range(100))
    outer = values[span.outer]
    assert outer[span.inner()] == values[10:16]
    enlarged = [3 * value + part for value in outer for part in range(3)]
    assert enlarged[span.inner(3)] == list(range(30, 48))
