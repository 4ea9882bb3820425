"""The Python interface: a model that takes NumPy arrays and Pillow images. See docs/python.md.

Results and messages are the same as on the command line. Every error is a `ManetError`.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from manet_cli.errors import InputError, OutOfMemoryError, UsageError
from manet_cli.images import DEFAULT_FORMAT, Photo
from manet_cli.images.arrays import array_of, check_array, image_of, photo_of_array, photo_of_image
from manet_cli.inference import SMALLEST_TILE, Engine, LowResolution, available_memory, memory_reported
from manet_cli.jobs import models
from manet_cli.jobs.blur.source import BlurOptions, open_blur
from manet_cli.jobs.denoise import check_denoise, turn_to_photo
from manet_cli.jobs.kernels.map_writer import KernelMapWriter, kernel_map_shape
from manet_cli.jobs.upscale.canvas import PhotoRows
from manet_cli.jobs.upscale.job import UpscaleOptions, result_tiles, upscaled

__all__ = ["Model", "open_model"]

Picture = TypeVar("Picture", npt.NDArray[Any], Image.Image)
Sigma: TypeAlias = float | Sequence[float]


def open_model(
    model: str | os.PathLike[str] = "default",
    *,
    scale: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    tile: int | None = None,
    exact: bool = False,
) -> Model:
    """Load a model. Options and defaults are the same as in ``manet upscale``.

    Args:
        model: a family of weights, or a ``.safetensors`` or ``.pth`` file.
        scale: 2, 3 or 4; None for 4, or for a file the scale it was trained for.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto, fp32, bf16, fp16 or int8.
        tile: largest side of a tile in input pixels, at least 16; 0 for no tiles, None to choose by memory.
        exact: give tiles the full context that they depend on, and compute the blur at every pixel.

    Raises:
        UsageError: an option is invalid.
        DeviceError: there is no such device.
        WeightsError: the weights are missing or damaged.
    """
    if scale not in (None, 2, 3, 4):
        raise UsageError(f"scale={scale}: expected 2, 3 or 4")
    if tile is not None and (tile < 0 or 0 < tile < SMALLEST_TILE):
        raise UsageError(f"tile={tile}: expected None, 0, or a whole number of at least {SMALLEST_TILE}")
    return Model(
        models.open_model(
            models.ModelOptions(os.fspath(model), scale, device, precision, tile, exact, dial=True)
        ),
        os.fspath(model),
    )


class Model:
    """A loaded model; `open_model` returns it.

    Attributes:
        scale: output pixels per input pixel along a side.
        kernel_size: side of the kernels in output pixels.
        precision: number format in use: fp32, bf16, fp16 or int8.
        weights_sha256: digest of the weight file.
    """

    def __init__(self, opened: models.OpenModel, name: str) -> None:
        self._name = name
        self._engine = opened.engine
        self.scale = opened.scale
        self.kernel_size = opened.engine.kernel_size
        self.precision = opened.precision
        self.weights_sha256 = opened.sha256

    @property
    def device(self) -> str:
        """cpu, cuda, mps or openvino; cpu once ``auto`` has given OpenVINO up."""
        return self._engine.device.type

    def __repr__(self) -> str:
        return f"<manet_cli.Model x{self.scale} on {self.device} in {self.precision}>"

    def kernels(self, image: npt.NDArray[Any] | Image.Image, *, stride: int = 1) -> npt.NDArray[np.float32]:
        """Estimate the blur kernel of every pixel. With ``default``, the mix is as for ``denoise="auto"``.

        Args:
            image: a picture, as in `upscale`.
            stride: take every ``stride``-th pixel of every ``stride``-th row.

        Returns:
            (ceil(H / stride), ceil(W / stride), k, k), each kernel summing to 1, on a grid of output pixels
            in the published placement.

        Raises:
            InputError: the input is not a picture, see `upscale`.
            UsageError: the stride is below 1.
            WeightsError: the weights hold no estimator.
            OutOfMemoryError: the array does not fit in the free memory.
        """
        if stride < 1:
            raise UsageError(f"stride={stride}: expected 1 or more")
        self._engine.require(estimator=True)
        lr = _rows_of(image)
        turn_to_photo(self._engine, _photo_of(image))
        shape = kernel_map_shape(lr.height, lr.width, stride, self.kernel_size)
        size = 4 * math.prod(shape)
        if size > available_memory(torch.device("cpu")):
            raise OutOfMemoryError(
                f"the kernels of {lr.width}x{lr.height} pixels need {size / 1e9:.1f} GB, more than is free: "
                "give a larger stride"
            )
        with memory_reported("the picture"):
            kernels = np.empty(shape, np.float32)
            writer = KernelMapWriter(kernels, stride)
            for tile in self._engine.kernels(lr):
                writer.write(tile)
        return kernels

    def upscale(
        self,
        image: Picture,
        *,
        registration: Literal["input", "protocol"] = "input",
        kernel: npt.NDArray[Any] | None = None,
        sigma: Sigma | None = None,
        kernel_map: npt.NDArray[Any] | str | None = None,
        strength: float = 1.0,
        smooth: int = 0,
        flat_sigma: Sigma | None = None,
        denoise: float | Literal["auto"] | None = None,
    ) -> Picture:
        """Upscale a picture.

        Args:
            image: an array (H, W) or (H, W, 1) grey, (H, W, 3) RGB, or (H, W, 4) RGB and straight alpha, in
                uint8, uint16 or floats in [0, 1] (no alpha); or a Pillow image: grey, RGB or
                palette, with or without transparency, or 16-bit grey.
            registration: ``input`` aligns the result with the input; ``protocol`` keeps the published offset
                of (s - 1) pixels.
            kernel: blur kernel (k, k) to use instead of the estimate.
            sigma: Gaussian blur to use instead: one standard deviation in output pixels, or two and an angle
                in degrees.
            kernel_map: kernels to use instead, of every pixel or every n-th: an array from `kernels`, or a
                file written by ``manet kernels``.
            strength: factor on the blur's covariance; below 1, the result is gentler.
            smooth: radius in input pixels of a median filter on the blur; 0 for none.
            flat_sigma: blur to use in flat areas, as in ``sigma``; None to use the estimate.
            denoise: mix of the weights ``default``, from ``clean`` (0) to ``camera`` (1), or ``auto`` (the
                default): measured on the picture; floats are rounded to 8 bits for it.

        Returns:
            The same kind of picture, ``scale`` times as wide and as high: an array of the same type (floats:
            float32, clamped to [0, 1]) and dimensions; or an image with the `info` of the input, in mode L,
            LA, RGB, RGBA or I;16.

        Raises:
            InputError: the input is not a picture, or the kernels belong to another picture.
            UsageError: options are invalid or conflict with each other.
            WeightsError: the weights lack a network.
            OutOfMemoryError: the smallest tile does not fit.
        """
        if registration not in ("input", "protocol"):
            raise UsageError(f"registration={registration!r}: expected 'input' or 'protocol'")
        options = BlurOptions(
            kernel, _numbers(sigma), kernel_map, float(strength), operator.index(smooth), _numbers(flat_sigma)
        )
        blur = open_blur(options, self._engine, self.scale)
        run = UpscaleOptions(
            self.scale,
            DEFAULT_FORMAT,
            None,
            registration == "input",
            blur,
            self.weights_sha256,
            {},
            denoise=check_denoise(denoise, self._engine, self._name, self.scale),
        )
        with memory_reported("the picture"):
            if isinstance(image, Image.Image):
                return image_of(self._upscaled(photo_of_image(image), run), image)
            array = _array(image)
            if array.dtype.kind == "f":
                return self._upscaled_floats(array, run)
            return array_of(self._upscaled(photo_of_array(array), run), array.ndim)

    def _upscaled(self, photo: Photo, run: UpscaleOptions) -> Photo:
        self._turn(photo, run)
        return upscaled(photo, self._engine, run)

    def _upscaled_floats(self, array: npt.NDArray[Any], run: UpscaleOptions) -> npt.NDArray[np.float32]:
        rows = _FloatRows(array)
        if run.denoise is not None:
            self._turn(_photo_of(array), run)
        return _restored_floats(self._engine, run, rows, array.ndim)

    def _turn(self, photo: Photo, run: UpscaleOptions) -> None:
        denoise = run.denoise_of(photo)
        if denoise is not None:
            self._engine.turn(denoise)


def _numbers(sigma: Sigma | None) -> tuple[float, ...] | None:
    if sigma is None:
        return None
    return tuple(float(number) for number in (sigma if isinstance(sigma, Sequence) else (sigma,)))


class _FloatRows:
    """An array of floats as an engine's input (`inference.LowResolution`)."""

    layers = 1

    def __init__(self, array: npt.NDArray[np.floating]) -> None:
        check_array(array)
        pixels = array if array.ndim == 3 else array[..., np.newaxis]
        if pixels.shape[2] == 4:
            raise InputError("the array holds floats with alpha: give uint8 or uint16, or leave alpha out")
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 1):  # also true for NaN
            raise InputError(f"the array holds floats from {low:g} to {high:g}: give numbers in [0, 1]")
        self.height, self.width, self.channels = pixels.shape
        self._pixels = pixels

    def rows(self, start: int, stop: int) -> Tensor:
        """Return rows [start, stop) as (1, 3, stop - start, width), float32 in [0, 1]."""
        rows = np.array(self._pixels[start:stop], np.float32)
        return torch.from_numpy(rows).permute(2, 0, 1)[None].expand(-1, 3, -1, -1)


def _array(image: object) -> npt.NDArray[Any]:
    if not isinstance(image, np.ndarray):
        raise InputError(f"the picture is a {type(image).__name__}: give a NumPy array or a Pillow image")
    return image


def _rows_of(image: object) -> LowResolution:
    if isinstance(image, Image.Image):
        return PhotoRows(photo_of_image(image))
    array = _array(image)
    return _FloatRows(array) if array.dtype.kind == "f" else PhotoRows(photo_of_array(array))


def _photo_of(image: Image.Image | npt.NDArray[Any]) -> Photo:
    """Return a picture as a photo; floats are rounded to 8 bits."""
    if isinstance(image, Image.Image):
        return photo_of_image(image)
    return photo_of_array(np.round(image * 255).astype(np.uint8) if image.dtype.kind == "f" else image)


def _restored_floats(
    engine: Engine, options: UpscaleOptions, lr: _FloatRows, ndim: int
) -> npt.NDArray[np.float32]:
    """Upscale an array of floats. Return float32, (s H, s W) if ``ndim`` is 2, else (s H, s W, C)."""
    scale = options.scale
    result = np.empty((scale * lr.height, scale * lr.width, lr.channels), np.float32)
    for tile in result_tiles(lr, engine, options):
        colours = tile.pixels[0].permute(1, 2, 0).numpy().clip(0, 1)
        if lr.channels == 1:
            colours = colours.mean(axis=2, keepdims=True)
        result[tile.area] = colours
    return result[..., 0] if ndim == 2 else result
