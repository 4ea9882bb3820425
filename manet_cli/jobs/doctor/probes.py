"""Test the networks on a device, in each number format: do they work, how exact, how fast."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from manet_cli.errors import ManetError, Parameter, WeightsError
from manet_cli.evaluation.pictures import ImageRows
from manet_cli.inference import (
    PRECISIONS,
    AnyDevice,
    Engine,
    available_memory,
    choose_precision,
    describe_device,
    is_cpu,
    takes_int8,
    tensors_of,
)
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.jobs.doctor.findings import PHOTO, Device, Probe
from manet_cli.jobs.speed import measure_speed
from manet_cli.models import RESTORERS, BlindConfig, BlindModel, MANetConfig
from manet_cli.stopping import end_if_stopped
from manet_cli.weights import DEFAULT_FAMILY, Weights, build_int8, load_weights

__all__ = ["NewEngine", "default_model", "examine_device"]

_SIDE = 32  # of the test picture, LR pixels
# Largest error of any value, in levels of 255. On the test picture, half precision is off by 1 to 3 levels.
_TOLERANCE = 12.0

NewEngine = Callable[..., Engine]  # of a device, and perhaps a number format and a tile

_FULL_SIZE = BlindConfig(MANetConfig(), RESTORERS[0].config())


def default_model() -> tuple[NewEngine, int | None]:
    """Return a factory of engines to test, and their scale; None without the default weights."""
    for scale in (4, 2, 3):
        try:
            weights, _ = load_weights(DEFAULT_FAMILY, scale)
        except ManetError:  # not in the manifest, not at this scale, or not here; damage is reported already
            end_if_stopped()
            continue
        return functools.partial(_engine, functools.partial(_built, weights), weights.code_stride), scale
    return functools.partial(_engine, _unshipped, 1), None


def _built(weights: Weights, precision: torch.dtype) -> BlindModel:
    return build_int8(weights) if precision == PRECISIONS["int8"] else weights.build()


def _unshipped(precision: torch.dtype) -> BlindModel:
    if precision == PRECISIONS["int8"]:
        raise WeightsError("there are no default weights, with which int8 could be tried")
    return BlindModel(_FULL_SIZE).eval().requires_grad_(False)


def _engine(
    build: Callable[[torch.dtype], BlindModel],
    code_stride: int,
    device: AnyDevice,
    precision: torch.dtype = torch.float32,
    tile: int | None = None,
) -> Engine:
    return Engine(build(precision), device, precision, tile=tile, code_stride=code_stride)


def examine_device(
    device: AnyDevice, new_engine: NewEngine, reference: Tensor | None
) -> tuple[Device, Tensor | None]:
    """Try all number formats on a device; return the findings and the float32 result."""
    try:
        free = available_memory(tensors_of(device))
        name, total = describe_device(device)
    except Exception as error:  # noqa: BLE001 - a broken driver can raise anything
        end_if_stopped()
        name, free, total = f"unknown ({type(error).__name__})", 0, None
    probes = []
    for precision, dtype in PRECISIONS.items():
        if dtype == torch.int8 and not takes_int8(device):
            continue
        probed, result = _probed(new_engine, device, precision, reference)
        probes.append(probed)
        if reference is None:
            reference = result
    untiled = new_engine(torch.device("cpu"), tile=0)
    bytes_per_pixel = untiled.working_memory(1000, 1000, layers=1) / 1e6
    side = math.isqrt(int(free / 2 / bytes_per_pixel))
    threads = torch.get_num_threads() if is_cpu(device) else None
    return Device(str(device), name, threads, free, total, side, tuple(probes)), reference


def _probed(
    new_engine: NewEngine, device: AnyDevice, precision: str, reference: Tensor | None
) -> tuple[Probe, Tensor | None]:
    """Try a number format on a device.

    Args:
        new_engine: makes an engine.
        device: where to run it.
        precision: a name of `PRECISIONS`.
        reference: the result to compare with; None if there is none yet.

    Returns:
        The findings, and the values of the result if it is correct.
    """
    try:
        dtype = choose_precision(device, precision)
        result = _run(new_engine(device, dtype, tile=0), _SIDE)
        difference = None if reference is None else float((result - reference).abs().max()) * 255
        if difference is not None and difference > _TOLERANCE:
            error = f"its result is wrong: off by {difference:.0f} of 255 levels"
            return Probe(precision, error, difference), None
        return Probe(precision, None, difference, _photo_seconds(new_engine(device, dtype))), result
    except Exception as error:  # noqa: BLE001 - a broken driver can raise anything
        end_if_stopped()
        return Probe(precision, _reason(error)), None


def _reason(error: Exception) -> str:
    """Return the first line of an error; parameters become plain words."""
    words = [
        str(part) if not isinstance(part, Parameter) else part.name if part.value is None else f"{part.value}"
        for part in error.args
    ]
    text = "".join(words) if isinstance(error, ManetError) else str(error)
    return (text.strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _photo_seconds(engine: Engine) -> tuple[float, float]:
    width, height = PHOTO
    pixels = engine.computed_pixels(height, width, layers=1)

    def run(side: int) -> int:
        _run(engine, side)
        return engine.computed_pixels(side, side, layers=1)

    tile, _ = engine.restorer_tiles()
    speed = measure_speed(run, tile or max(PHOTO), pixels)
    return speed.fastest * pixels, speed.slowest * pixels


def _run(engine: Engine, side: int) -> Tensor:
    """Return the values of the result's first tile."""
    lr = ImageRows(_picture(side))
    tiles = list(engine.restore(lr, EstimatedCodes(engine, lr, None), registered=False))
    return tiles[0].pixels


def _picture(side: int) -> Tensor:
    """Return a test picture of waves in all directions, (1, 3, side, side), in [0, 1]."""
    y, x = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    waves = [torch.sin(x / 2), torch.sin((x + y) / 3), torch.cos(torch.hypot(x - side / 2, y) / 2)]
    return torch.stack(waves)[None] * 0.4 + 0.5
