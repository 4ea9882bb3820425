"""Quality of the shipped weights on a photo that they were not trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from manet_cli.degradations.gaussian import GaussianParameters
from manet_cli.degradations.jpeg import Jpeg
from manet_cli.degradations.noise import Noise
from manet_cli.degradations.protocol import Degradation, published_grid
from manet_cli.degradations.sharpening import Sharpening
from manet_cli.degradations.step import DegradationStep
from manet_cli.evaluation.measuring import bicubic_figure, measure
from manet_cli.evaluation.pictures import ImageRows, hr_tensor
from manet_cli.images import read_photo
from manet_cli.inference import Engine
from manet_cli.weights import load_manifest, load_weights

PHOTO = Path(__file__).parent / "sharp.webp"
"""Part of *Chelsea the cat* by Stefan van der Walt, CC0, from the data of the Python package scikit-image."""
SHIPPED = [entry for entry in load_manifest() if entry.file]
SCALES = sorted({entry.scale for entry in SHIPPED})


@pytest.fixture(scope="module")
def hr() -> torch.Tensor:
    return hr_tensor(read_photo(PHOTO.read_bytes(), PHOTO.name), PHOTO.name)


@pytest.fixture(scope="module", params=SCALES, ids=lambda scale: f"x{scale}")
def engine(request: pytest.FixtureRequest) -> Engine:
    weights, _ = load_weights("default", request.param)
    return Engine(weights.build(), torch.device("cpu"), torch.float32)


def test_every_scale_works_out_of_the_box() -> None:
    assert {entry.scale for entry in SHIPPED if entry.family == "clean"} == {2, 3, 4}


def test_the_blind_result_beats_bicubic_and_is_near_the_true_kernels(
    engine: Engine, hr: torch.Tensor
) -> None:
    scale = engine.restorer.config.scale
    gains = []
    for kernel in published_grid(scale)[::2]:
        degraded = Degradation(scale, kernel).apply(hr)
        figures = measure(engine, degraded, scale, bicubic=bicubic_figure(degraded, scale))
        assert figures.psnr_y is not None
        assert figures.bicubic_psnr_y is not None
        assert figures.nonblind_psnr_y is not None
        gains.append(figures.psnr_y - figures.bicubic_psnr_y)
        assert gains[-1] > 0, kernel.label
        assert figures.psnr_y > figures.nonblind_psnr_y - 1, kernel.label
    assert sum(gains) > len(gains)


def test_the_estimator_tells_orientations_apart(engine: Engine, hr: torch.Tensor) -> None:
    scale = engine.restorer.config.scale
    shapes = [GaussianParameters.from_degrees(1 + 2 * scale, 1, degrees) for degrees in (0, 45, 90, 135)]
    kernels = torch.stack([shape.kernel(scale).flatten() for shape in shapes])
    for number, shape in enumerate(shapes):
        lr = ImageRows(Degradation(scale, shape).apply(hr).lr)
        tiles = [tile.kernels.flatten(1) for tile in engine.kernels(lr)]
        estimate = torch.cat(tiles, dim=1).mean(dim=1)
        distances = (kernels - estimate).square().sum(dim=1)
        assert int(distances.argmin()) == number, shape.label


@pytest.mark.parametrize(
    "steps", [(Noise(10),), (Jpeg(60),), (Noise(6, 0.7), Sharpening(0.8, 0.5), Jpeg(80))]
)
def test_camera_weights_beat_bicubic_and_clean_on_what_cameras_give(
    hr: torch.Tensor, steps: tuple[DegradationStep, ...]
) -> None:
    degraded = Degradation(4, GaussianParameters(3.0, 3.0), steps=steps).apply(hr)
    bicubic = bicubic_figure(degraded, 4)
    figures = {}
    for family in ("clean", "camera"):
        engine = Engine(load_weights(family, 4)[0].build(), torch.device("cpu"), torch.float32)
        figures[family] = measure(engine, degraded, 4, bicubic=bicubic).psnr_y or 0.0
    assert bicubic is not None
    assert figures["camera"] > bicubic + 0.1
    assert figures["camera"] > figures["clean"] + 0.1
