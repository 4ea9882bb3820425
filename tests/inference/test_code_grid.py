"""Interpolated codes: the restorer's input does not depend on tiles."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from manet_cli.inference import Engine, KernelTile
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.models import BlindModel, interpolated_codes
from manet_cli.weights import load_weights, locate_weights
from tests.inference.conftest import CPU, KernelMap, Picture, estimate, noise, restore, small_model

SIZES = [(1, 1), (3, 5), (8, 8), (9, 31), (32, 17), (61, 45)]


def codes_of(engine: Engine, picture: Picture, *, stripe: int | None = None) -> Tensor:
    """The codes (1, L, H, W) for the restorer, read in stripes."""
    codes = EstimatedCodes(engine, picture)
    stripe = stripe or picture.height
    starts = range(0, picture.height, stripe)
    return torch.cat([codes.rows(row, min(row + stripe, picture.height)) for row in starts], dim=2)


def expected_codes(model: BlindModel, picture: Picture, stride: int) -> Tensor:
    """The same by definition: from the codes of every n-th pixel."""
    assert model.estimator is not None
    assert model.kernel_code is not None
    lr = picture.pixels[:1]
    codes = model.kernel_code(model.estimator.kernels_of_padded(model.estimator.pad(lr)))
    *_, height, width = codes.shape
    rows, columns = torch.arange(picture.height), torch.arange(picture.width)
    found = torch.zeros(*codes.shape[:2], picture.height, picture.width)
    for down in (0, 1):
        for right in (0, 1):
            row, column = rows // stride * stride + down * stride, columns // stride * stride + right * stride
            weight_row = (rows % stride) / stride if down else 1 - (rows % stride) / stride
            weight_column = (columns % stride) / stride if right else 1 - (columns % stride) / stride
            row, column = row.clamp(max=height - stride), column.clamp(max=width - stride)
            found += codes[:, :, row[:, None], column] * weight_row[:, None] * weight_column
    return found


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("stride", [2, 4, 8])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_codes_follow_the_definition(height: int, width: int, stride: int) -> None:
    picture, model = noise(height, width), small_model()
    expected = expected_codes(model, picture, stride)
    close(codes_of(Engine(model, CPU, tile=0, code_stride=stride), picture), expected, 1e-5)


@pytest.mark.parametrize("tile", [8, 16, 24, 64])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_codes_do_not_depend_on_tiles(height: int, width: int, tile: int) -> None:
    picture = noise(height, width)
    whole = codes_of(Engine(small_model(), CPU, tile=0, code_stride=4), picture)
    close(codes_of(Engine(small_model(), CPU, tile=tile, code_stride=4), picture), whole, 1e-6)
    close(codes_of(Engine(small_model(), CPU, tile=tile, code_stride=4), picture, stripe=8), whole, 1e-6)


def test_other_tiles_give_the_same_image_in_8_bits() -> None:
    picture = noise(72, 56)
    weights, _ = load_weights()
    images = [
        (restore(Engine(weights.build(), CPU, tile=tile, code_stride=4), picture).clamp(0, 1) * 255).round()
        for tile in (0, 24, 40)
    ]
    for image in images[1:]:
        difference = (image - images[0]).abs()
        assert float(difference.max()) <= 1
        assert float((difference > 0).float().mean()) < 1e-3


@pytest.mark.parametrize("tile", [0, 16])
def test_kernels_on_the_way_change_no_code(tile: int) -> None:
    picture, engine = noise(45, 29), Engine(small_model(), CPU, tile=tile, code_stride=4)
    met = KernelMap(picture, engine.kernel_size)
    found = restore(engine, picture, on_kernels=met)
    assert torch.equal(found, restore(engine, picture)), "the very same numbers"
    assert torch.equal(met.kernels, estimate(engine, picture)), "of every pixel"


def test_codes_on_the_way_are_those_of_the_kernels() -> None:
    picture, engine = noise(21, 30), Engine(small_model(), CPU, tile=16, code_stride=4)
    met: list[KernelTile] = []
    restore(engine, picture, on_kernels=met.append)
    for tile in met:
        close(tile.code, engine.code_of(tile.kernels), 1e-6)


def test_without_kernels_none_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(small_model(), CPU, tile=16, code_stride=4)
    whole, made = engine.estimator.kernels_of_features, []

    def watched(features: Tensor, stride: int = 1) -> Tensor:
        made.append(stride)
        return whole(features, stride)

    monkeypatch.setattr(engine.estimator, "kernels_of_features", watched)
    tiles = list(engine.codes(noise(21, 30), 0, 21))
    assert set(made) == {4}
    assert sum(tile.code[0].numel() for tile in tiles) == 21 * 30


def test_exact_computes_every_pixel() -> None:
    picture = noise(33, 25)
    every = restore(Engine(small_model(), CPU, tile=0), picture)
    close(restore(Engine(small_model(), CPU, tile=0, exact=True, code_stride=4), picture), every, 1e-6)
    some = restore(Engine(small_model(), CPU, tile=0, code_stride=4), picture)
    assert float((some - every).abs().max()) > 1e-3, "random networks show the difference"


@pytest.mark.parametrize("stride", [2, 4])
def test_slopes_are_interpolated_exactly(stride: int) -> None:
    height, width = 5, 7
    rows, columns = torch.arange(height * stride), torch.arange(width * stride)
    plane = (rows[:, None] * 3.0 + columns)[None, None]
    found = interpolated_codes(plane[..., ::stride, ::stride], stride)
    inside = (..., slice(None, (height - 1) * stride + 1), slice(None, (width - 1) * stride + 1))
    assert torch.equal(found[inside], plane[inside])
    assert torch.equal(found[..., -1, -1], plane[..., (height - 1) * stride, (width - 1) * stride])


def test_only_shipped_weights_are_known_to_do_with_less() -> None:
    for family, scale in (("default", 2), ("default", 3), ("default", 4), ("camera", 4)):
        assert load_weights(family, scale)[0].code_stride == 4
        file = str(locate_weights(family, scale).path)
        assert load_weights(file, scale)[0].code_stride == 1, "a file that the user names"
