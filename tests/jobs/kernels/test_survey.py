"""The data for pictures of the blur, gathered from tiles."""

from __future__ import annotations

import pytest
import torch

from manet_cli.degradations.gaussian import anisotropic_kernels
from manet_cli.degradations.kernel_shape import KernelShapes, kernel_shapes
from manet_cli.inference import KernelTile
from manet_cli.jobs.kernels.shaped_tiles import ShapedTile
from manet_cli.jobs.kernels.survey import KernelSurvey

HEIGHT, WIDTH = 24, 37


def tile_of(row: int, column: int, height: int, width: int) -> ShapedTile:
    """A piece of a scene whose blur grows from left to right, flat below row 16."""
    y, x = torch.meshgrid(
        torch.arange(row, row + height), torch.arange(column, column + width), indexing="ij"
    )
    kernels = anisotropic_kernels(1 + x.double() / 5, 1 + x.double() / 10, y.double() / 10, scale=4)
    flattened = kernels.reshape(height, width, 441).permute(2, 0, 1)
    texture = torch.where(y < 16, 9.0, 1.0)
    return ShapedTile(
        KernelTile(row, column, flattened, flattened[:0]), kernels, kernel_shapes(kernels, 4), texture
    )


def survey_of(*places: tuple[int, int, int, int], largest: int = 10) -> KernelSurvey:
    survey = KernelSurvey(HEIGHT, WIDTH, 4, kernel_size=21, largest=largest, cell=2)
    for place in places:
        survey.add(tile_of(*place))
    return survey


def test_the_map_is_the_mean_over_squares() -> None:
    survey, whole = survey_of((0, 0, HEIGHT, WIDTH)), tile_of(0, 0, HEIGHT, WIDTH)
    assert survey.factor == 4
    assert survey.size.shape == (6, 10)
    square = whole.shapes.size[4:8, 8:12]
    assert float(survey.size[1, 2]) == pytest.approx(float(square.log().mean().exp()), rel=1e-5)
    # The last column of squares is one pixel wide.
    assert float(survey.size[0, 9]) == pytest.approx(float(whole.shapes.size[:4, 36].mean()), rel=1e-3)
    assert survey.trust[:4].min() == 1
    assert survey.trust[4:].max() == 0


def test_tiles_of_any_size_give_the_same() -> None:
    whole = survey_of((0, 0, HEIGHT, WIDTH))
    tiles = survey_of((0, 0, 9, 20), (0, 20, 9, 17), (9, 0, 15, 5), (9, 5, 15, 32))
    assert torch.allclose(tiles.size, whole.size)
    assert torch.equal(tiles.trust, whole.trust)
    assert torch.equal(tiles.kernels, whole.kernels)
    assert torch.equal(tiles.trusted, whole.trusted)
    assert all(torch.allclose(a, b) for a, b in zip(tiles.shapes, whole.shapes, strict=True))
    assert tiles.summary.fields() == whole.summary.fields()


def test_the_grid_holds_the_kernels_of_its_pixels() -> None:
    survey, whole = survey_of((0, 0, HEIGHT, WIDTH)), tile_of(0, 0, HEIGHT, WIDTH)
    assert survey.rows.tolist() == [4, 12, 20]
    assert survey.columns.tolist() == [4, 13, 23, 32]
    assert torch.equal(survey.kernels[1, 2], whole.kernels[12, 23])
    expected = KernelShapes(*(values[12, 23] for values in whole.shapes))
    assert survey.shape(1, 2) == tuple(map(float, expected))
    assert survey.trusted.tolist() == [[True] * 4, [True] * 4, [False] * 4]


def test_a_small_image_is_not_averaged() -> None:
    survey = survey_of((0, 0, HEIGHT, WIDTH), largest=400)
    assert survey.factor == 1
    assert torch.allclose(survey.size[:16].float(), tile_of(0, 0, HEIGHT, WIDTH).shapes.size[:16])
