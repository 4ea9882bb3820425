"""Open models as the user's options ask."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from manet_cli.errors import DeviceError, Parameter, UsageError
from manet_cli.evaluation.runs import TestedModel, check_models
from manet_cli.images import MAX_PIXELS, ImageFormat
from manet_cli.inference import (
    PRECISIONS,
    Engine,
    choose_device,
    choose_devices,
    choose_precision,
    first_device,
)
from manet_cli.inference.dial import AUTO, Denoise, Dial
from manet_cli.jobs.blur.source import BlurOptions, open_blur
from manet_cli.jobs.denoise import check_denoise
from manet_cli.jobs.upscale.job import UpscaleOptions
from manet_cli.jobs.upscale.size import parse_size
from manet_cli.weights import (
    DEFAULT_FAMILY,
    Downloads,
    Weights,
    build_int8,
    load_pair,
    load_weights,
    pair_digest,
)
from manet_cli.weights.resolve import is_weight_file

__all__ = ["ModelOptions", "OpenModel", "open_model", "open_models", "open_on_devices", "open_upscale"]


@dataclass(frozen=True)
class ModelOptions:
    """The user's options of a model and its run.

    Attributes:
        model: family, entry or file of weights.
        scale: 2, 3 or 4; None for the scale of the weights.
        device: auto, cpu, cuda, cuda:N, mps, or the name of a runtime, such as openvino.
        precision: auto, fp32, bf16, fp16 or int8.
        tile: largest side of a tile in LR pixels; None for auto, 0 for no tiles.
        exact: give tiles the full receptive field, and compute the blur of every pixel.
        dial: for the default family, load both sets of weights, to mix their results.
        downloads: shows the progress of downloads of missing weights; None to download nothing.
    """

    model: str
    scale: int | None
    device: str
    precision: str
    tile: int | None
    exact: bool = False
    dial: bool = False
    downloads: Downloads | None = None

    @property
    def tile_text(self) -> str:
        """``auto``, or the largest side of a tile."""
        return "auto" if self.tile is None else str(self.tile)


@dataclass(frozen=True)
class OpenModel:
    """A model that is ready to run.

    Attributes:
        engine: runs the model.
        scale: HR pixels per LR pixel along a side.
        sha256: digest of the weights, or of the pair.
        precision: number format in use: fp32, bf16, fp16 or int8.
    """

    engine: Engine
    scale: int
    sha256: str
    precision: str

    @property
    def device(self) -> str:
        """cpu, cuda, mps or openvino; cpu once ``auto`` has given OpenVINO up."""
        return self.engine.device.type


def open_model(options: ModelOptions) -> OpenModel:
    """Choose the device and load the weights on it.

    Raises:
        UsageError: an option is invalid, or the weights lack data for int8.
        DeviceError: there is no such device.
        WeightsError: the weights are missing or damaged.
    """
    device = choose_device(options.device)
    precision = choose_precision(device, options.precision)
    pair = load_pair(options.scale) if options.dial and options.model == DEFAULT_FAMILY else None
    weights, scale = load_weights(options.model, options.scale, options.downloads)
    build = build_int8 if precision == PRECISIONS["int8"] else Weights.build
    dial = Dial(*(build(one) for one in pair)) if pair else None
    model = dial.model if dial else build(weights)
    try:
        engine = Engine(
            model,
            device,
            precision,
            tile=options.tile,
            exact=options.exact,
            dial=dial,
            code_stride=weights.code_stride,
        )
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(
            f"{device} cannot hold the model ({reason}): choose another ", Parameter("device")
        ) from error
    name = next(name for name, dtype in PRECISIONS.items() if dtype == precision)
    digest = pair_digest(scale) if pair else None
    return OpenModel(engine, scale, digest or weights.sha256, name)


def open_models(
    names: Sequence[str], options: ModelOptions, denoise: Denoise | None = None
) -> list[tuple[TestedModel, OpenModel]]:
    """Open models for a comparison, each with a unique name.

    Args:
        names: families, entries or files of weights.
        options: options of all models; without a scale, the first model sets it.
        denoise: position of the dial, for models with a dial; None for ``auto``.

    Raises:
        UsageError: an option is invalid, two models have the same weights, or the scales differ.
        DeviceError: there is no such device.
        WeightsError: weights are missing or damaged.
    """
    files = [Path(name).name for name in names]
    models = []
    for name, file in zip(names, files, strict=True):
        opened = open_model(dataclasses.replace(options, model=name))
        options = dataclasses.replace(options, scale=opened.scale)
        label = file if files.count(file) == 1 else name
        dial = (AUTO if denoise is None else denoise) if opened.engine.has_dial else None
        models.append((TestedModel(label, opened.engine, opened.sha256, dial), opened))
    check_models([model for model, _ in models])
    if not any(model.denoise is not None for model, _ in models):
        check_denoise(denoise, models[0][1].engine, names[0], models[0][1].scale)
    return models


def open_upscale(
    options: ModelOptions,
    *,
    format: ImageFormat,
    quality: int | None,
    registration: str,
    blur: BlurOptions,
    denoise: Denoise | None = None,
    size: str | None = None,
    check: bool = False,
    max_pixels: int = MAX_PIXELS,
    depth: int | None = None,
) -> tuple[Engine, UpscaleOptions]:
    """Open a run's engine on its first device, and resolve its options.

    Args:
        options: the model and its run.
        format: format of the outputs.
        quality: 1 to 100, for formats with a quality; None for the format's default.
        registration: ``input`` or ``protocol``.
        blur: the user's options for the blur.
        denoise: 0 (clean weights) to 1 (camera weights), or ``auto``; None for the default of the weights.
        size: size of the results, as in ``--size``; None for ``scale`` times the input's.
        check: compare each result with its input.
        max_pixels: larger inputs raise an error.
        depth: largest bit depth of the outputs; None for the input's depth.

    Raises:
        UsageError: options are invalid or conflict with each other.
        WeightsError: the weights are missing, damaged, or lack a network.
    """
    if quality is not None and format.default_quality is None:
        raise UsageError(
            Parameter("quality"),
            f" has no effect on {format.name.upper()}, which is lossless; leave it out",
        )
    result_size = None if size is None else parse_size(size)
    if result_size is not None and options.scale is None and not is_weight_file(options.model):
        options = dataclasses.replace(options, scale=result_size.scale)
    opened = open_model(dataclasses.replace(options, device=first_device(options.device), dial=True))
    engine = opened.engine
    denoise = check_denoise(denoise, engine, options.model, opened.scale)
    opened_blur = open_blur(blur, engine, opened.scale)
    settings: dict[str, object] = {
        "scale": opened.scale,
        "registration": registration,
        **opened_blur.settings,
        "precision": options.precision,
        "tile": "auto" if options.tile is None else options.tile,
        "exact": options.exact,
    }
    if denoise is not None:
        settings["denoise"] = denoise if denoise == AUTO else f"{denoise:g}"
    if format.default_quality is not None:
        settings["quality"] = quality or format.default_quality
    if result_size is not None and result_size.factor == opened.scale:
        result_size = None  # the networks' own size
    if result_size is not None:
        settings["size"] = str(result_size)
    if depth is not None:
        settings["depth"] = depth
    registered = registration == "input"
    settled = UpscaleOptions(
        opened.scale,
        format,
        quality,
        registered,
        opened_blur,
        opened.sha256,
        settings,
        result_size,
        check,
        max_pixels,
        denoise,
        depth,
    )
    return engine, settled


def open_on_devices(engine: Engine, scale: int, options: ModelOptions, pictures: int) -> list[Engine]:
    """Return one engine per device in ``options``, the first as given.

    Args:
        engine: engine on the first device.
        scale: 2, 3 or 4.
        options: the model and its run.
        pictures: number of pictures; no more devices than that are used.

    Raises:
        DeviceError: a device cannot hold the model.
        WeightsError: the weights are missing or damaged.
    """
    devices = choose_devices(options.device)[: max(pictures, 1)]
    if len(devices) == 1:
        return [engine]
    # All devices use the first one's number format, so that results do not depend on the device.
    dtype = choose_precision(devices[0], options.precision)
    precision = next(name for name, known in PRECISIONS.items() if known == dtype)
    same = dataclasses.replace(options, scale=scale, precision=precision, dial=True)
    others = (open_model(dataclasses.replace(same, device=str(device))) for device in devices[1:])
    return [engine, *(other.engine for other in others)]
