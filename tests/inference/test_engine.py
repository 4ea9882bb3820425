"""Tiled runs against untiled ones, registration, and memory."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from manet_cli.errors import WeightsError
from manet_cli.inference import Engine, KernelTile
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.models import BlindConfig, BlindModel, MANetConfig, RRDBSFTConfig

from .conftest import (
    CPU,
    KernelMap,
    Picture,
    estimate,
    noise,
    registered_by_recipe,
    restore,
    scene,
    shipped_model,
    small_model,
)

SIZES = [(1, 1), (1, 30), (30, 1), (7, 9), (8, 8), (9, 17), (33, 41), (50, 24)]
TILES = [6, 8, 9, 16, 20, 64]


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def levels(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * 255).round()


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_tiled_kernels_are_the_untiled_ones(height: int, width: int, tile: int) -> None:
    picture, model = noise(height, width), small_model()
    assert model.estimator is not None
    expected = model.estimator(picture.pixels)[0]
    close(estimate(Engine(model, CPU, tile=tile), picture), expected, 1e-6)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_exact_tiles_give_the_untiled_image(height: int, width: int, tile: int) -> None:
    picture, model = noise(height, width), small_model()
    _, expected = model(picture.pixels)
    engine = Engine(model, CPU, tile=tile, exact=True)
    close(restore(engine, picture, registered=False), expected, 1e-5)


@pytest.mark.parametrize("tile", [0, 12, 16])
def test_the_tolerance_means_something(tile: int) -> None:
    picture, model = noise(40, 50), small_model()
    _, expected = model(picture.pixels)
    default = restore(Engine(model, CPU, tile=tile), picture, registered=False)
    difference = float((default - expected).abs().max())
    # With less than the whole radius, tiles differ with these weights; without tiles there is no difference.
    assert difference < 1e-5 if tile == 0 else difference > 1e-4


@pytest.mark.parametrize("tile", [0, 8, 16, 64])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 19), (7, 9), (17, 24), (33, 20)])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_registered_result_follows_the_recipe(scale: int, height: int, width: int, tile: int) -> None:
    picture, model = noise(height, width), small_model(scale)
    expected = registered_by_recipe(model, picture)
    assert expected.shape[-2:] == (scale * height, scale * width)
    close(restore(Engine(model, CPU, tile=tile, exact=True), picture), expected, 1e-5)


def test_default_halo_on_the_shipped_weights() -> None:
    picture = Picture(scene()[..., :88, :104].contiguous())
    model = shipped_model()
    whole = levels(restore(Engine(model, CPU, tile=0), picture))
    tiled = levels(restore(Engine(model, CPU, tile=32), picture))
    difference = (tiled - whole).abs()
    assert float((difference > 1).float().mean()) <= 1e-4
    exact = levels(restore(Engine(model, CPU, tile=64, exact=True), picture))
    assert float((exact - whole).abs().max()) <= 1


def shift_against(image: Tensor, reference: Tensor) -> tuple[float, float]:
    """Subpixel shift (down, right) of ``image`` against ``reference``, (H, W) each, by phase correlation.

    The slope of the phase over the low frequencies, where both images have content.
    """
    height, width = image.shape
    window = torch.hann_window(height, periodic=False)[:, None] * torch.hann_window(width, periodic=False)
    first, second = (torch.fft.fft2((part - part.mean()) * window) for part in (image, reference))
    cross = first * second.conj()
    rows = torch.fft.fftfreq(height)[:, None].expand(height, width)
    columns = torch.fft.fftfreq(width)[None].expand(height, width)
    weight = cross.abs() * ((rows**2 + columns**2).sqrt() < 0.06)
    phase = torch.angle(cross)
    a, b, d = ((weight * p * q).sum() for p, q in ((rows, rows), (rows, columns), (columns, columns)))
    u, v = ((weight * p * phase).sum() for p in (rows, columns))
    determinant = a * d - b * b
    down, right = (d * u - b * v) / determinant, (a * v - b * u) / determinant
    return float(-down / (2 * math.pi)), float(-right / (2 * math.pi))


def bicubic(image: Tensor, scale: int) -> Tensor:
    return F.interpolate(image, scale_factor=scale, mode="bicubic", align_corners=False)


def test_the_measure_of_shifts_measures_shifts() -> None:
    image = scene()[0].mean(0)
    for down, right in ((0, 0), (1, 0), (0, -2), (-3, -3)):
        found = shift_against(image.roll((down, right), (0, 1)), image)
        assert found == pytest.approx((down, right), abs=0.2)


def test_registered_result_lies_on_its_input() -> None:
    # Small enough to be quick; an ordinary photo's LR pixel is the mean of the HR pixels it covers.
    lr = F.avg_pool2d(scene(), 2)[..., :72, :72]
    picture = Picture(lr.contiguous())
    engine = Engine(shipped_model(), CPU, tile=0)
    reference = bicubic(lr, 4)[0].mean(0)
    aligned = shift_against(restore(engine, picture)[0].mean(0), reference)
    assert max(abs(part) for part in aligned) < 0.25, aligned
    # The published placement is three pixels further up and left: the measure would show it.
    published = shift_against(restore(engine, picture, registered=False)[0].mean(0), reference)
    assert published == pytest.approx((-3, -3), abs=0.25)


@pytest.mark.parametrize("tile", [0, 16])
def test_layers_are_restored_with_the_kernels_of_the_first(tile: int) -> None:
    picture, model = noise(20, 27, layers=2), small_model()
    expected = registered_by_recipe(model, picture)
    close(restore(Engine(model, CPU, tile=tile, exact=True), picture), expected, 1e-5)
    swapped = Picture(picture.pixels.flip(0))
    assert float((registered_by_recipe(model, swapped).flip(0) - expected).abs().max()) > 1e-4


@pytest.mark.parametrize("tile", [0, 16])
def test_one_kernel_for_the_whole_image(tile: int) -> None:
    picture, model = noise(18, 35), small_model(3)
    assert model.kernel_code is not None
    assert model.restorer is not None
    kernel = torch.rand(5, 5)
    code = model.kernel_code.of_kernel(kernel[None]).expand(-1, -1, 18, 35)
    expected = model.restorer(picture.pixels, code)
    engine = Engine(model, CPU, tile=tile, exact=True)
    codes = engine.constant_code(kernel / 1, picture.width)
    close(restore(engine, picture, codes, registered=False), expected, 1e-5)


def test_kernels_met_on_the_way_are_those_of_the_estimator() -> None:
    picture, engine = noise(61, 45), Engine(small_model(), CPU, tile=16)
    met = KernelMap(picture, engine.kernel_size)
    restore(engine, picture, on_kernels=met)
    assert not bool(met.kernels.isnan().any())
    close(met.kernels, estimate(engine, picture), 1e-6)


def test_a_range_of_rows_of_kernels() -> None:
    picture, engine = noise(45, 20), Engine(small_model(), CPU, tile=16)
    whole = estimate(engine, picture)
    for start, stop in ((0, 8), (8, 24), (40, 45), (16, 45)):
        tiles: list[KernelTile] = list(engine.kernels(picture, start, stop))
        covered = sorted({row for t in tiles for row in range(t.row, t.row + t.kernels.shape[1])})
        assert covered[0] == start
        assert covered[-1] + 1 >= stop
        for tile in tiles:
            _, height, width = tile.kernels.shape
            part = whole[:, tile.row : tile.row + height, tile.column : tile.column + width]
            close(tile.kernels, part, 1e-6)


def test_rows_are_read_and_codes_kept_band_by_band(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, model = noise(400, 24), small_model()
    engine = Engine(model, CPU, tile=16)
    codes = EstimatedCodes(engine, picture)
    kept: list[int] = []
    whole: Callable[[int, int], Tensor] = codes.rows

    def watched(start: int, stop: int) -> Tensor:
        found = whole(start, stop)
        kept.append(codes._kept.shape[2])
        assert codes._kept.untyped_storage().nbytes() <= codes._kept.numel() * 4
        return found

    monkeypatch.setattr(codes, "rows", watched)
    restore(engine, picture, codes)
    halo = engine.restorer.footprint.practical_radius
    assert len(kept) > 20
    assert max(kept) <= 17 + 2 * halo + 16
    assert picture.most_rows <= max(17 + 2 * halo, 16 + 2 * 16)


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the shapes of all tensors returned by operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shapes: set[tuple[int, ...]] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operation gives
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(value, Tensor):
                self.shapes.add(tuple(value.shape))
        return result


def test_neither_the_enlarged_kernel_map_nor_the_product_is_ever_built() -> None:
    torch.manual_seed(0)
    model = BlindModel(
        BlindConfig(
            MANetConfig(channels=(8, 12)), RRDBSFTConfig(features=8, blocks=1, growth=4, transform_width=4)
        )
    ).requires_grad_(False)
    picture = noise(96, 80)
    engine = Engine(model.eval(), CPU, tile=16)
    with Watch() as watch:
        restore(engine, picture)
    maps = [shape for shape in watch.shapes if 441 in shape and len(shape) > 2 and shape[-2:] != (3, 3)]
    # The watch sees kernels of at most one tile with its context on multiples of 8.
    largest = max(math.prod(shape) for shape in maps)
    assert 441 * 16 * 16 < largest <= 441 * (16 + 2 * 16) ** 2
    assert not [shape for shape in maps if 15 in shape and math.prod(shape) > 441 * 15]
    # No tensor is as large as the kernel map of the whole image.
    assert max(math.prod(shape) for shape in watch.shapes) < 441 * 96 * 80


def test_parts_that_are_not_there_are_weights_errors() -> None:
    whole = small_model().config
    only_restorer = Engine(BlindModel(BlindConfig(None, RRDBSFTConfig(features=4, blocks=1))), CPU)
    with pytest.raises(WeightsError, match=r"no estimator: give the blur with kernel or sigma"):
        next(only_restorer.kernels(noise(8, 8)))
    only_estimator = Engine(BlindModel(BlindConfig(whole.estimator, None)), CPU)
    assert estimate(only_estimator, noise(9, 9)).shape == (25, 9, 9)
    for ask in (lambda: only_estimator.restorer, lambda: only_estimator.kernel_code):
        with pytest.raises(WeightsError, match="no restorer"):
            ask()


def test_bfloat16_is_harmless_on_the_shipped_weights() -> None:
    lr = F.avg_pool2d(scene(), 2)[..., :64, :64].contiguous()
    kernels, images = [], []
    for precision in (torch.float32, torch.bfloat16):
        engine = Engine(shipped_model(), CPU, precision, tile=0)
        picture = Picture(lr)
        met = KernelMap(picture, 21)
        images.append(levels(restore(engine, picture, on_kernels=met)))
        kernels.append(met.kernels)
    kernel_psnr = -10 * math.log10(float(((kernels[0] - kernels[1]) ** 2).mean()))
    assert kernel_psnr > 70
    difference = (images[0] - images[1]).abs()
    assert float((difference > 1).float().mean()) < 1e-3
    assert float((difference > 0).float().mean()) < 0.2
