"""The Python interface gives the command line's pixels, for arrays and images of every kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from manet_cli import Model, open_model
from manet_cli.errors import ManetError
from tests.commands.conftest import Manet, manet, texture

__all__ = ["manet"]

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def model() -> Model:
    return open_model(device="cpu", precision="fp32")


def written(manet: Manet, picture: Path, *options: str) -> Array:
    """The command line's result for a picture."""
    output = picture.with_name("written.png")
    assert manet("upscale", picture, "-o", output, "--overwrite", "--precision", "fp32", *options).code == 0
    with Image.open(output) as image:
        return np.asarray(image)


MODES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "L": lambda rgb: rgb.convert("L"),
    "RGB": lambda rgb: rgb,
    "P": lambda rgb: rgb.quantize(16),
    "LA": lambda rgb: Image.merge("LA", (rgb.getchannel(0), rgb.getchannel(1))),
    "RGBA": lambda rgb: Image.merge("RGBA", (*rgb.split(), rgb.getchannel(1))),
    "I;16": lambda rgb: Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257),
}


@pytest.mark.parametrize("mode", MODES)
def test_images_give_what_the_command_line_gives(
    manet: Manet, model: Model, tmp_path: Path, mode: str
) -> None:
    image = MODES[mode](Image.fromarray(texture(18, 23)))
    assert image.mode == mode
    image.save(tmp_path / "photo.png")
    result = model.upscale(image)
    assert result.mode == ("RGB" if mode == "P" else mode)
    assert np.array_equal(np.asarray(result), written(manet, tmp_path / "photo.png"))


def test_a_transparent_colour(manet: Manet, model: Model, tmp_path: Path) -> None:
    pixels = texture(18, 23)
    pixels[5:9, 5:9] = (1, 2, 3)
    Image.fromarray(pixels).save(tmp_path / "photo.png", transparency=(1, 2, 3))
    with Image.open(tmp_path / "photo.png") as image:
        result = model.upscale(image)
    assert result.mode == "RGBA"
    assert "transparency" not in result.info
    assert np.array_equal(np.asarray(result), written(manet, tmp_path / "photo.png"))


def test_arrays(model: Model) -> None:
    rgb = texture(18, 23)
    result = model.upscale(Image.fromarray(rgb))
    assert np.array_equal(model.upscale(rgb), np.asarray(result))
    grey = rgb[..., 0]
    once = model.upscale(grey)
    assert once.shape == (72, 92)
    assert once.dtype == np.uint8
    assert np.array_equal(model.upscale(grey[..., None]), once[..., None])
    deep = model.upscale(grey.astype(">u2") * 257)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - once).max() <= 0.51
    colours = model.upscale(rgb.astype(np.uint16) * 257)
    assert np.abs(colours / 257 - np.asarray(result)).max() <= 0.51
    alpha = np.full((18, 23, 1), 255, np.uint8)
    assert np.array_equal(model.upscale(np.dstack((rgb, alpha)))[..., :3], np.asarray(result))
    half = model.upscale(np.dstack((rgb, alpha // 2)).astype(np.uint16) * 257)
    assert half.dtype == np.uint16
    assert (half[..., 3] == 127 * 257).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_not_rounded(model: Model, dtype: type[np.floating]) -> None:
    rgb = texture(18, 23)
    floats = model.upscale((rgb / 255).astype(dtype))
    assert floats.dtype == np.float32
    assert floats.min() >= 0
    assert floats.max() <= 1
    assert np.abs(floats * 255 - model.upscale(rgb)).max() < (3 if dtype == np.float16 else 0.51)
    assert model.upscale((rgb[..., 0] / 255).astype(dtype)).shape == (72, 92)


def test_inputs_are_left_alone(model: Model) -> None:
    rgb = texture(18, 23)
    rgb.setflags(write=False)
    before = rgb.copy()
    model.upscale(rgb)
    model.kernels(rgb / 255)
    assert np.array_equal(rgb, before)


def test_the_info_of_an_image_is_kept(model: Model) -> None:
    image = Image.fromarray(texture(18, 23))
    image.info = {"icc_profile": b"profile", "dpi": (72, 72)}
    assert model.upscale(image).info == image.info


def test_kernels_are_those_of_the_command_line(manet: Manet, model: Model, tmp_path: Path) -> None:
    Image.fromarray(texture(18, 23)).save(tmp_path / "photo.png")
    output = tmp_path / "kernels.npy"
    options = ("--dtype", "float32", "--precision", "fp32")
    assert manet("kernels", tmp_path / "photo.png", "--out", output, *options).code == 0
    found = model.kernels(texture(18, 23))
    assert np.array_equal(found, np.load(output))
    assert np.array_equal(model.kernels(texture(18, 23), stride=5), found[::5, ::5])
    assert np.array_equal(model.kernels(texture(18, 23) / 255), found)


def test_the_blur_can_be_given(manet: Manet, model: Model, tmp_path: Path) -> None:
    rgb = texture(18, 23)
    Image.fromarray(rgb).save(tmp_path / "photo.png")
    wanted = written(manet, tmp_path / "photo.png", "--sigma", "3,1,45")
    assert np.array_equal(model.upscale(rgb, sigma=(3, 1, 45)), wanted)
    kernel = model.kernels(rgb)[3, 5]
    np.save(tmp_path / "kernel.npy", kernel)
    wanted = written(manet, tmp_path / "photo.png", "--kernel", str(tmp_path / "kernel.npy"))
    assert np.array_equal(model.upscale(rgb, kernel=kernel), wanted)
    wanted = written(manet, tmp_path / "photo.png", "--registration", "protocol")
    assert np.array_equal(model.upscale(rgb, registration="protocol"), wanted)


RGB = texture(18, 23)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model: model.upscale(RGB / 1.0), "floats from"),
        (lambda model: model.upscale(RGB[..., :2]), "(18, 23, 2)"),
        (lambda model: model.upscale(RGB.transpose(2, 0, 1)), "(3, 18, 23)"),
        (lambda model: model.upscale(RGB[:0]), "(0, 23, 3)"),
        (lambda model: model.upscale(RGB.astype(np.int64)), "int64"),
        (lambda model: model.upscale(np.full((18, 23), np.nan)), "nan"),
        (lambda model: model.upscale(np.zeros((18, 23, 4))), "floats with alpha"),
        (lambda model: model.upscale("photo.png"), "is a str"),
        (lambda model: model.upscale(Image.fromarray(RGB).convert("CMYK")), "CMYK"),
        (lambda model: model.upscale(RGB, registration="x"), "registration='x'"),
        (lambda model: model.upscale(RGB, sigma=0), "above 0"),
        (lambda model: model.upscale(RGB, sigma=2, kernel=np.ones((21, 21)) / 441), "give one"),
        (lambda model: model.upscale(RGB, kernel=np.ones((21, 21))), "sum to 441"),
        (lambda model: model.kernels(RGB, stride=0), "stride=0"),
        (lambda model: open_model(scale=5), "scale=5"),
        (lambda model: open_model(tile=7), "tile=7"),
        (lambda model: open_model("missing.safetensors"), "missing.safetensors"),
    ],
)
def test_what_makes_no_sense_is_refused(model: Model, call: Callable[[Model], object], words: str) -> None:
    with pytest.raises(ManetError) as error:
        call(model)
    assert words in str(error.value)


@pytest.mark.parametrize("given", ["array", "file"])
def test_a_kernel_centred_in_its_array_counts_as_the_same_blur(
    manet: Manet, model: Model, tmp_path: Path, given: str, caplog: pytest.LogCaptureFixture
) -> None:
    positions = np.arange(21) - 10.0
    line = np.exp(-0.5 * (positions / 2) ** 2)
    centred = np.outer(line, line) / line.sum() ** 2
    rgb = texture(18, 23)
    wanted = model.upscale(rgb, sigma=2.0)
    assert not caplog.records
    if given == "array":
        result = model.upscale(rgb, kernel=centred)
        assert "kernel is centred in its array" in caplog.text
    else:
        np.save(tmp_path / "k.npy", centred)
        Image.fromarray(rgb).save(tmp_path / "a.png")
        result = written(manet, tmp_path / "a.png", "--kernel", str(tmp_path / "k.npy"))
    assert np.abs(result.astype(int) - wanted).max() <= 1
