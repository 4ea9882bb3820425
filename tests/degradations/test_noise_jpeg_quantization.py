"""Steps on an LR image after the blur."""

import pytest
import torch
from torch import Tensor

from manet_cli.degradations.jpeg import apply_jpeg
from manet_cli.degradations.noise import apply_noise, sample_noise
from manet_cli.degradations.quantization import apply_quantization
from manet_cli.errors import InputError, UsageError


def textured(channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, channels, 8, 8, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(61, 47), mode="bilinear")


def test_noise_has_the_level_asked_for() -> None:
    noise = sample_noise((1, 3, 200, 200), 15.0, torch.Generator().manual_seed(0))
    assert noise.std().item() * 255 == pytest.approx(15, rel=0.01)
    assert noise.mean().item() * 255 == pytest.approx(0, abs=0.2)
    unit = torch.randn(1, 3, 200, 200, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(noise, unit * (15 / 255))
    channels = noise[0].flatten(1)
    assert torch.corrcoef(channels)[0, 1].abs() < 0.02


def test_each_image_may_have_its_own_level() -> None:
    levels = torch.tensor([0.0, 5.0, 50.0])
    noise = sample_noise((3, 3, 100, 100), levels, torch.Generator().manual_seed(0))
    assert noise[0].abs().max() == 0
    assert noise[1].std().item() * 255 == pytest.approx(5, rel=0.02)
    assert noise[2].std().item() * 255 == pytest.approx(50, rel=0.02)


def test_noise_comes_from_its_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = sample_noise((1, 3, 8, 8), 15, torch.Generator().manual_seed(4))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(first, sample_noise((1, 3, 8, 8), 15, torch.Generator().manual_seed(4)))
    assert not torch.equal(first, sample_noise((1, 3, 8, 8), 15, torch.Generator().manual_seed(5)))


def test_noise_is_added_and_clamped() -> None:
    image = torch.tensor([0.0, 0.5, 1.0]).reshape(1, 1, 1, 3)
    noise = torch.tensor([-0.2, 0.25, 0.1]).reshape(1, 1, 1, 3)
    assert apply_noise(image, noise).flatten().tolist() == [0, 0.75, 1]
    with pytest.raises(UsageError, match="shape"):
        apply_noise(image, noise[..., :2])


@pytest.mark.parametrize("level", [-1.0, 256.0, float("nan")])
def test_wrong_noise_levels_are_refused(level: float) -> None:
    with pytest.raises(UsageError, match="0 to 255"):
        sample_noise((1, 3, 4, 4), level, torch.Generator())


def test_noise_shapes_must_fit() -> None:
    with pytest.raises(UsageError, match="one for each image"):
        sample_noise((2, 3, 4, 4), torch.ones(3), torch.Generator())
    with pytest.raises(UsageError, match=r"\(B, C, H, W\)"):
        sample_noise((3, 4, 4), 1.0, torch.Generator())


def test_quantization_rounds_to_the_nearest_level_and_stays() -> None:
    values = torch.tensor([-0.3, 0.4 / 255, 0.6 / 255, 100.4 / 255, 1.7])
    rounded = apply_quantization(values)
    assert (rounded * 255).round().tolist() == [0, 0, 1, 100, 255]
    assert torch.equal(apply_quantization(rounded), rounded)
    levels = torch.arange(256) / 255
    assert torch.equal(apply_quantization(levels), levels)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_degrades_more_at_lower_quality(channels: int) -> None:
    image = apply_quantization(textured(channels))
    errors = [(apply_jpeg(image, quality) - image).square().mean().item() for quality in (95, 50, 10)]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_jpeg_keeps_shape_dtype_and_8_bit_levels() -> None:
    image = textured().double()
    coded = apply_jpeg(image, 80)
    assert coded.shape == image.shape
    assert coded.dtype == torch.float64
    torch.testing.assert_close(coded, apply_quantization(coded), rtol=0, atol=1e-12)
    assert abs((coded - image).mean().item()) * 255 < 0.3  # rounded, not truncated, before coding


def test_jpeg_halves_the_chroma_resolution() -> None:
    stripes = torch.zeros(1, 3, 32, 32)
    stripes[:, 0, :, ::2] = 1  # red and blue columns in turn
    stripes[:, 2, :, 1::2] = 1
    coded = apply_jpeg(stripes, 100)
    assert (coded[:, 0, :, ::2] - coded[:, 0, :, 1::2]).abs().mean() < 0.5


def test_each_image_may_have_its_own_jpeg_quality() -> None:
    image = textured()
    both = apply_jpeg(image, [90, 20])
    assert torch.equal(both[:1], apply_jpeg(image[:1], 90))
    assert torch.equal(both[1:], apply_jpeg(image[1:], 20))


@pytest.mark.parametrize("quality", [0, 101, -5, True, 70.5])
def test_wrong_jpeg_qualities_are_refused(quality: int) -> None:
    with pytest.raises(UsageError, match="1 to 100"):
        apply_jpeg(textured()[:1], [quality])


def test_images_that_jpeg_cannot_hold_are_refused() -> None:
    with pytest.raises(UsageError, match="one for each"):
        apply_jpeg(textured(), [90])
    with pytest.raises(UsageError, match="1 or 3"):
        apply_jpeg(torch.zeros(1, 4, 8, 8), 90)
    with pytest.raises(InputError, match="65500"):
        apply_jpeg(torch.zeros(1, 1, 1, 65501), 90)
