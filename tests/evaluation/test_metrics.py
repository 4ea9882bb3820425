"""The metrics: agreement with reference figures, and properties by definition."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from manet_cli.degradations.gaussian import GaussianParameters, sample_kernels
from manet_cli.degradations.noise import Noise
from manet_cli.degradations.protocol import Degradation
from manet_cli.degradations.spatially_variant import uniform_kernels
from manet_cli.errors import UsageError
from manet_cli.evaluation.metrics import (
    best_registered_bicubic,
    compare_kernel_maps,
    kernel_psnr,
    lr_psnr,
    psnr_y,
    ssim_y,
)

GOLDEN = Path(__file__).parents[1] / "golden"
FIGURES: list[dict[str, Any]] = json.loads((GOLDEN / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN / "degradation.safetensors")


def as_image(pixels: Tensor) -> Tensor:
    return pixels.permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def scene(golden: dict[str, Tensor]) -> Tensor:
    return as_image(golden["scene.hr"])


@pytest.mark.parametrize("figure", [f for f in FIGURES if "image" in f])
def test_image_figures(figure: dict[str, Any], golden: dict[str, Tensor]) -> None:
    image, reference = as_image(golden[figure["image"]]), as_image(golden[figure["reference"]])
    border = figure["crop_border"]
    assert psnr_y(image, reference, border=border) == pytest.approx(figure["psnr_y"], abs=1e-9)
    assert ssim_y(image, reference, border=border) == pytest.approx(figure["ssim_y"], abs=1e-9)


@pytest.mark.parametrize("figure", [f for f in FIGURES if "kernel_a" in f])
def test_kernel_figures(figure: dict[str, Any], golden: dict[str, Tensor]) -> None:
    measured = kernel_psnr(golden[figure["kernel_a"]], golden[figure["kernel_b"]])
    assert float(measured) == pytest.approx(figure["kernel_psnr"], abs=1e-9)


def test_images_are_rounded_to_8_bits_first(scene: Tensor) -> None:
    assert psnr_y(scene + 0.4 / 255, scene, border=4) == math.inf
    assert ssim_y(scene - 0.4 / 255, scene, border=4) == pytest.approx(1, abs=1e-12)
    one_level = (scene.clamp(0, 0.9) * 255).round() / 255
    shifted = one_level + 1 / 255
    # One level in R, G and B is (65.481 + 128.553 + 24.966) / 255 in Y.
    assert psnr_y(shifted, one_level, border=0) == pytest.approx(20 * math.log10(255**2 / 219), abs=1e-6)


def test_the_border_is_left_out(scene: Tensor) -> None:
    spoiled = scene.clone()
    spoiled[..., :4, :] = 0
    spoiled[..., -4:] = 1
    assert psnr_y(spoiled, scene, border=4) == math.inf
    assert psnr_y(spoiled, scene, border=3) < 40


def test_ssim_does_not_depend_on_the_bands_it_is_computed_in() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 300, 20, generator=generator)
    other = (image + 0.1 * torch.rand(1, 3, 300, 20, generator=generator)).clamp(0, 1)
    turned = ssim_y(image.transpose(2, 3), other.transpose(2, 3), border=0)  # one band, not two
    assert ssim_y(image, other, border=0) == pytest.approx(turned, abs=1e-12)
    assert 0 < turned < 1


def test_wrong_images_are_refused_with_a_sentence(scene: Tensor) -> None:
    with pytest.raises(UsageError, match="expected the same"):
        psnr_y(scene, scene[..., 1:], border=0)
    with pytest.raises(UsageError, match="border of 64"):
        psnr_y(scene, scene, border=64)
    with pytest.raises(UsageError, match="border of -1"):
        ssim_y(scene, scene, border=-1)
    with pytest.raises(UsageError, match="11x11"):
        ssim_y(scene[..., :18, :], scene[..., :18, :], border=4)
    with pytest.raises(UsageError, match="one RGB image"):
        psnr_y(scene[:, :1], scene[:, :1], border=0)
    with pytest.raises(UsageError, match="one RGB image"):
        psnr_y((scene * 255).byte(), (scene * 255).byte(), border=0)


def test_kernel_psnr_is_per_kernel_and_infinite_for_equal_ones() -> None:
    kernels, _ = sample_kernels(6, 4, torch.Generator().manual_seed(0))
    measured = kernel_psnr(kernels.reshape(2, 3, 21, 21), kernels[0])
    assert measured.shape == (2, 3)
    assert measured[0, 0] == math.inf
    rmse = (kernels[4].double() - kernels[0].double()).square().mean().sqrt()
    assert measured[1, 1].item() == pytest.approx(-20 * math.log10(rmse), abs=1e-9)
    with pytest.raises(UsageError, match="same k"):
        kernel_psnr(kernels, kernels[:, 1:, 1:])


def test_kernel_maps_are_compared_per_pixel_and_as_means() -> None:
    estimated, _ = sample_kernels(35, 4, torch.Generator().manual_seed(1))
    estimated = estimated.reshape(5, 7, 21, 21)
    true = uniform_kernels(GaussianParameters(5, 1, 0.3), 20, 28, 4)
    kernel = true.kernels[0, 0]
    agreement = compare_kernel_maps(estimated, true.lr_rows, 5, 7)
    assert agreement.per_pixel == pytest.approx(kernel_psnr(estimated, kernel).mean().item(), abs=1e-9)
    mean = estimated.double().mean((0, 1))
    assert agreement.mean_kernel == pytest.approx(float(kernel_psnr(mean, kernel)), abs=1e-9)

    def bands() -> Iterator[Tensor]:
        yield from (estimated[:2], estimated[2:])

    assert compare_kernel_maps(bands(), true.lr_rows, 5, 7, max_rows=3) == agreement
    with pytest.raises(UsageError, match="5 rows"):
        compare_kernel_maps(estimated[:4], true.lr_rows, 5, 7)


@pytest.mark.parametrize("mode", [None, 4])
def test_lr_psnr_knows_the_true_kernels_from_wrong_ones(mode: int | None, scene: Tensor) -> None:
    shape = GaussianParameters(9, 1, 0.4) if mode is None else None
    made = Degradation(4, kernel=shape, mode=mode, steps=(Noise(15),)).apply(scene)
    right = lr_psnr(made.hr, made.lr_clean, made.kernels.lr_rows, 4)
    assert right > 70  # 100 unless float order turned a rounding
    height, width = made.hr.shape[-2:]
    wrong = uniform_kernels(GaussianParameters(1, 1), height, width, 4)
    assert lr_psnr(made.hr, made.lr_clean, wrong.lr_rows, 4) < 40


def test_lr_psnr_is_capped(scene: Tensor) -> None:
    delta = torch.zeros(21, 21)
    delta[10, 10] = 1
    hr = scene[..., :128, :128]
    assert lr_psnr(hr, hr[..., ::4, ::4], delta.expand(32, 32, 21, 21), 4) == 100


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_is_registered_to_the_published_placement(scale: int, scene: Tensor) -> None:
    made = Degradation(scale, kernel=GaussianParameters(1, 1)).apply(scene)
    found = best_registered_bicubic(made.lr, made.hr, scale)
    assert (found.shift_y, found.shift_x) == (scale - 1, scale - 1)
    upscaled = F.interpolate(made.lr, scale_factor=scale, mode="bicubic")
    assert found.psnr_y > psnr_y(upscaled, made.hr, border=scale) + 1


def test_the_registered_psnr_is_the_plain_one_where_nothing_is_shifted(scene: Tensor) -> None:
    hr = scene[..., :128, :128]
    lr = F.interpolate(hr, scale_factor=0.25, mode="area")
    found = best_registered_bicubic(lr, hr, 4)
    assert (found.shift_y, found.shift_x) == (0, 0)
    upscaled = F.interpolate(lr, scale_factor=4, mode="bicubic")
    assert found.psnr_y == pytest.approx(psnr_y(upscaled, hr, border=4), abs=1e-9)


def test_bicubic_needs_images_that_belong_together(scene: Tensor) -> None:
    with pytest.raises(UsageError, match="4 times as large"):
        best_registered_bicubic(scene[..., :32, :30], scene[..., :128, :128], 4)
    with pytest.raises(UsageError, match="no pixel"):
        best_registered_bicubic(scene[..., :2, :2], scene[..., :8, :8], 4)
