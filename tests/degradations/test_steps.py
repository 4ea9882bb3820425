"""The steps after the blur: common properties of all entries, and the effect of each step."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from manet_cli.degradations.jpeg import Jpeg, apply_jpeg
from manet_cli.degradations.noise import Noise, apply_noise, sample_noise
from manet_cli.degradations.registry import DEGRADATIONS, camera_steps
from manet_cli.degradations.sharpening import Sharpening, apply_sharpening
from manet_cli.degradations.step import DegradationKind, DegradationStep, apply_steps
from manet_cli.errors import UsageError

EVERY_KIND = pytest.mark.parametrize("kind", DEGRADATIONS, ids=lambda kind: kind.name)


def scene(height: int = 48, width: int = 40) -> Tensor:
    coarse = torch.rand(1, 3, 7, 6, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)


def drawn(kind: DegradationKind, count: int = 200) -> list[DegradationStep]:
    recipe, source = dataclasses.replace(kind.camera, share=1.0), random.Random(5)
    steps = [recipe.sample(source) for _ in range(count)]
    return [step for step in steps if step is not None]


@EVERY_KIND
def test_settings_survive_their_text(kind: DegradationKind) -> None:
    steps = drawn(kind)
    assert len(steps) == 200
    assert len(set(steps)) > 100
    assert all(kind.parse(step.text) == step for step in steps)


@EVERY_KIND
def test_a_step_keeps_shape_range_and_type_and_depends_on_its_generator_alone(kind: DegradationKind) -> None:
    image = scene().double()
    for step in drawn(kind, 8):
        torch.manual_seed(0)
        first = step.apply(image, torch.Generator().manual_seed(1))
        torch.manual_seed(1)
        again = step.apply(image, torch.Generator().manual_seed(1))
        assert torch.equal(first, again)
        assert first.shape == image.shape
        assert first.dtype == image.dtype
        assert 0 <= float(first.min()) <= float(first.max()) <= 1


@EVERY_KIND
def test_the_share_is_the_share_of_patches(kind: DegradationKind) -> None:
    source = random.Random(1)
    quarter = dataclasses.replace(kind.camera, share=0.25)
    found = sum(quarter.sample(source) is not None for _ in range(2000)) / 2000
    assert found == pytest.approx(0.25, abs=0.03)
    assert dataclasses.replace(kind.camera, share=0.0).sample(source) is None


@EVERY_KIND
@pytest.mark.parametrize("text", ["", "much", "nan", "-1", "1e9", "75,oops", "0.8,0.5,x=1", "10,", "1,2,3,4"])
def test_a_wrong_text_is_refused_with_a_sentence(kind: DegradationKind, text: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        kind.parse(text)


@EVERY_KIND
def test_a_recipe_out_of_range_is_refused(kind: DegradationKind) -> None:
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(UsageError, match="share"):
            kind.recipe(share=wrong)


def test_names_are_different() -> None:
    names = [kind.name for kind in DEGRADATIONS]
    assert len(set(names)) == len(names)


def test_steps_are_applied_in_their_order_whatever_the_order_given() -> None:
    image = scene()
    steps = (Jpeg(60), Sharpening(1.0, 0.8), Noise(9))
    made = apply_steps(image, steps, torch.Generator().manual_seed(2))
    noisy = apply_noise(image, sample_noise(image.shape, 9, torch.Generator().manual_seed(2)))
    assert torch.equal(made, apply_jpeg(apply_sharpening(noisy, 1.0, 0.8), 60))
    before = apply_steps(image, (Noise(9), Sharpening(1.0, 0.8, before_noise=True)), torch.Generator())
    sharp = apply_sharpening(image, 1.0, 0.8)
    assert torch.equal(before, apply_noise(sharp, sample_noise(image.shape, 9, torch.Generator())))


def noise_of(step: Noise, level: float = 0.5) -> Tensor:
    grey = torch.full((1, 3, 200, 200), level)
    return step.apply(grey, torch.Generator().manual_seed(0)) - grey


@pytest.mark.parametrize("correlation", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("colour", [False, True])
def test_the_level_of_noise_holds_whatever_its_kind(correlation: float, colour: bool) -> None:
    noise = noise_of(Noise(10, correlation, colour, signal=True)) * 255
    assert noise.std().item() == pytest.approx(10, rel=0.05)
    grey = noise.mean(dim=1).std().item()
    assert grey == pytest.approx(0.3 * 10 / 3**0.5 if colour else 10 / 3**0.5, rel=0.1)


def test_correlated_noise_is_alike_in_neighbours() -> None:
    def likeness(correlation: float) -> float:
        noise = noise_of(Noise(10, correlation))[0, 0]
        return float(torch.corrcoef(torch.stack((noise[:, :-1].flatten(), noise[:, 1:].flatten())))[0, 1])

    assert abs(likeness(0.0)) < 0.02
    # The correlation of neighbours after smoothing by a Gaussian is exp(-1 / (4 sigma^2)).
    assert likeness(1.0) == pytest.approx(0.78, abs=0.03)


def test_noise_that_grows_with_the_signal_is_least_in_the_dark() -> None:
    levels = [noise_of(Noise(10, signal=True), brightness).std().item() * 255 for brightness in (0.125, 0.5)]
    assert levels == pytest.approx([5, 10], rel=0.03)


def test_sharpening_leaves_flat_areas_and_makes_rims() -> None:
    edge = torch.full((1, 3, 32, 32), 0.25)
    edge[..., 16:] = 0.75
    sharp = apply_sharpening(edge, 1.0, 0.5)
    assert torch.equal(apply_sharpening(edge, 1.0, 0.0), edge)
    torch.testing.assert_close(sharp[..., :8], edge[..., :8])
    # Of the step of 0.5, 0.15 lies across the edge within a Gaussian of one pixel; half of that is added.
    assert float(sharp[..., 16].mean()) - 0.75 == pytest.approx(0.075, abs=0.01)
    assert 0.25 - float(sharp[..., 15].mean()) == pytest.approx(0.075, abs=0.01)
    wide = apply_sharpening(edge, 3.0, 0.5)
    assert float((wide - edge).abs()[..., 20].mean()) > 10 * float((sharp - edge).abs()[..., 20].mean())


def test_jpeg_on_another_grid_is_that_of_a_larger_picture() -> None:
    larger = scene(64, 64)
    part = Jpeg(40, grid=(11, 6)).apply(larger[..., 5:, 10:], torch.Generator())
    whole = apply_jpeg(larger, 40)[..., 5:, 10:]
    # Two pixels more, since chroma is interpolated across the blocks' borders.
    assert torch.equal(part[..., 13:, 8:], whole[..., 13:, 8:])


def test_a_second_compression_adds_its_own_damage() -> None:
    image = scene()
    once = Jpeg(60).apply(image, torch.Generator())
    twice = Jpeg(60, first=40, first_grid=(3, 5)).apply(image, torch.Generator())
    assert (twice - image).square().mean() > 1.2 * (once - image).square().mean()
    first = Jpeg(40, grid=(3, 5)).apply(image, torch.Generator())
    assert torch.equal(twice, apply_jpeg(first, 60))


def test_full_chroma_keeps_colours_apart() -> None:
    stripes = torch.zeros(1, 3, 32, 32)
    stripes[:, 0, :, ::2] = 1
    stripes[:, 2, :, 1::2] = 1
    assert (Jpeg(100, "4:4:4").apply(stripes, torch.Generator()) - stripes).abs().max() < 0.1
    assert (Jpeg(100).apply(stripes, torch.Generator()) - stripes).abs().max() > 0.3


def test_the_camera_mixture_has_the_shares_and_qualities_it_promises() -> None:
    source = random.Random(0)
    images = [camera_steps(source) for _ in range(4000)]
    noise = [step for steps in images for step in steps if isinstance(step, Noise)]
    jpeg = [step for steps in images for step in steps if isinstance(step, Jpeg)]
    sharpening = [step for steps in images for step in steps if isinstance(step, Sharpening)]
    assert [len(found) / 4000 for found in (noise, sharpening, jpeg)] == pytest.approx(
        [0.65, 0.33, 0.55], abs=0.03
    )
    assert max(step.level for step in noise) == pytest.approx(15, abs=0.3)
    assert sorted(step.level for step in noise)[len(noise) // 2] == pytest.approx(15 / 4, abs=0.5)
    assert sum(step.correlation > 0 for step in noise) / len(noise) == pytest.approx(0.5, abs=0.05)
    assert sum(step.quality < 60 for step in jpeg) / len(jpeg) == pytest.approx(0.2, abs=0.04)
    assert (min(step.quality for step in jpeg), max(step.quality for step in jpeg)) == (30, 98)
    assert sum(step.first is not None for step in jpeg) / len(jpeg) == pytest.approx(0.1, abs=0.03)
    assert sum(step.before_noise for step in sharpening) / len(sharpening) == pytest.approx(0.2, abs=0.05)


def test_the_list_imports_no_torch() -> None:
    script = (
        "import sys\n"
        "from manet_cli.degradations.registry import DEGRADATIONS\n"
        "assert DEGRADATIONS\n"
        "slow = {'torch', 'numpy', 'PIL'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
