"""The composed degradation."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from manet_cli.degradations.blur import apply_blur_and_subsample, apply_kernel_map
from manet_cli.degradations.gaussian import GaussianParameters
from manet_cli.degradations.jpeg import Jpeg, apply_jpeg
from manet_cli.degradations.noise import Noise, apply_noise, sample_noise
from manet_cli.degradations.protocol import Degradation, crop_to_multiple, published_grid
from manet_cli.degradations.quantization import apply_quantization
from manet_cli.errors import InputError, UsageError

SHAPE = GaussianParameters(5.0, 1.0, math.pi / 4)


def scene() -> Tensor:
    coarse = torch.rand(1, 3, 9, 11, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(coarse, size=(91, 107), mode="bicubic").clamp(0, 1)


def test_the_order_is_blur_subsample_noise_jpeg_8_bits() -> None:
    made = Degradation(4, kernel=SHAPE, steps=(Jpeg(60), Noise(15)), seed=11).apply(scene())
    hr = scene()[..., :88, :104]
    lr = apply_blur_and_subsample(hr, SHAPE.kernel(4), 4)
    assert torch.equal(made.hr, hr)
    assert torch.equal(made.lr_clean, lr)
    noise = sample_noise(lr.shape, 15, torch.Generator().manual_seed(11))
    assert torch.equal(made.lr, apply_quantization(apply_jpeg(apply_noise(lr, noise), 60)))


@pytest.mark.parametrize("mode", [1, 2, 3, 4, 5, 6])
def test_the_true_kernels_explain_the_lr_image(mode: int) -> None:
    made = Degradation(3, mode=mode).apply(scene())
    assert made.hr.shape == (1, 3, 90, 105)
    assert made.lr.shape == (1, 3, 30, 35)
    again = apply_kernel_map(made.hr, made.kernels.lr_rows, 3)
    torch.testing.assert_close(again, made.lr_clean, rtol=0, atol=3e-6)
    assert torch.equal(made.lr, apply_quantization(made.lr_clean))


def test_a_seed_reproduces_whatever_the_global_generator() -> None:
    torch.manual_seed(0)
    first = Degradation(4, mode=5, steps=(Noise(15),), seed=1).apply(scene())
    torch.manual_seed(1)
    again = Degradation(4, mode=5, steps=(Noise(15),), seed=1).apply(scene())
    other = Degradation(4, mode=5, steps=(Noise(15),), seed=2).apply(scene())
    quiet = Degradation(4, mode=5, seed=1).apply(scene())
    assert torch.equal(first.lr, again.lr)
    assert not torch.equal(first.lr, other.lr)
    assert not torch.equal(first.kernels.parameters, other.kernels.parameters)
    assert torch.equal(first.kernels.kernels, quiet.kernels.kernels)
    assert not torch.equal(first.lr, quiet.lr)


def test_half_precision_is_computed_in_float32() -> None:
    made = Degradation(2, kernel=SHAPE).apply(scene().half())
    assert made.lr.dtype == torch.float32
    assert Degradation(2, kernel=SHAPE).apply(scene().double()).lr.dtype == torch.float64


@pytest.mark.parametrize(("scale", "wide"), [(2, 5), (3, 7), (4, 9)])
def test_the_published_grid(scale: int, wide: int) -> None:
    grid = published_grid(scale)
    labels = [shape.label for shape in grid]
    middle = 1 + scale
    assert labels == [
        "1,1,0",
        f"{middle},1,0",
        f"{middle},1,45",
        f"{middle},{middle},0",
        f"{wide},1,0",
        f"{wide},1,45",
        f"{wide},{middle},0",
        f"{wide},{middle},45",
        f"{wide},{wide},0",
    ]


def test_labels() -> None:
    assert Degradation(4, kernel=SHAPE).label == "5,1,45"
    assert (
        Degradation(4, mode=3, steps=(Noise(15, colour=True), Jpeg(70))).label
        == "mode3 noise=15,colour jpeg=70"
    )


def test_cropping_keeps_the_top_left() -> None:
    image = scene()
    assert torch.equal(crop_to_multiple(image, 4), image[..., :88, :104])
    with pytest.raises(InputError, match="at least 4"):
        crop_to_multiple(image[..., :3, :], 4)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "either one kernel or"),
        ({"kernel": SHAPE, "mode": 1}, "either one kernel or"),
        ({"mode": 7}, "from 1 to 6"),
        ({"mode": 1, "seed": -1}, "seed is -1"),
        ({"mode": 1, "scale": 0}, "scale is 0"),
        ({"mode": 1, "scale": 2.5}, "scale is 2.5"),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Degradation(**{"scale": 4, **settings})
