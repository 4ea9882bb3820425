"""What a device can do, found out by doing it: a small picture through the networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from manet_cli.evaluation.pictures import ImageRows
from manet_cli.inference import Engine, choose_precision
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.jobs.speed import measure_speed
from manet_cli.models import BlindModel
from manet_cli.stopping import end_if_stopped

__all__ = ["PHOTO", "Probe", "probe"]

PHOTO = (4000, 3000)
"""Width and height of a typical photo: 12 megapixels."""

_SIDE = 32  # of the picture that results are compared on, LR pixels
# The largest error of any value, in levels of 255. Half precision is off by 1 to 3 of them on this picture.
_TOLERANCE = 12.0


@dataclass(frozen=True)
class Probe:
    """How the networks do on a device in a number format.

    Attributes:
        precision: fp32, bf16 or fp16.
        error: why it does not work; None if it does.
        difference: largest difference of any value from float32 on the CPU, in levels of 255.
        photo_seconds: seconds of computing that a photo of `PHOTO` pixels takes, at least and at most.
    """

    precision: str
    error: str | None = None
    difference: float | None = None
    photo_seconds: tuple[float, float] | None = None


def probe(
    build: Callable[[], BlindModel], device: torch.device, precision: str, reference: Tensor | None
) -> tuple[Probe, Tensor | None]:
    """Try a number format on a device.

    Args:
        build: makes the model.
        device: where to run it.
        precision: fp32, bf16 or fp16.
        reference: the result to compare with; None if there is none yet.

    Returns:
        How it went, and the result if it is one: values of the picture.
    """
    try:
        dtype = choose_precision(device, precision)
        result = _run(Engine(build(), device, dtype, tile=0), _SIDE)
        difference = None if reference is None else float((result - reference).abs().max()) * 255
        if difference is not None and difference > _TOLERANCE:
            error = f"its result is wrong: off by {difference:.0f} of 255 levels"
            return Probe(precision, error, difference), None
        return Probe(precision, None, difference, _photo_seconds(Engine(build(), device, dtype))), result
    except Exception as error:  # noqa: BLE001 - a broken driver can raise anything, and is what is looked for
        end_if_stopped()
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        return Probe(precision, reason), None


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
    """Return the values of the enlarged picture's first tile."""
    lr = ImageRows(_picture(side))
    tiles = list(engine.restore(lr, EstimatedCodes(engine, lr, None), registered=False))
    return tiles[0].pixels


def _picture(side: int) -> Tensor:
    """Return waves of all directions, (1, 3, side, side), in [0, 1]."""
    y, x = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    waves = [torch.sin(x / 2), torch.sin((x + y) / 3), torch.cos(torch.hypot(x - side / 2, y) / 2)]
    return torch.stack(waves)[None] * 0.4 + 0.5
