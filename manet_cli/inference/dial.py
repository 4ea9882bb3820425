"""A dial that mixes two sets of weights: for clean pictures, and for photos from cameras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

from manet_cli.errors import WeightsError
from manet_cli.images import Photo
from manet_cli.images.damage import denoise_of, measure_damage, names_camera
from manet_cli.models import BlendedRestorer, BlindModel, KernelCode, MANet, Range, Restorer, int8_blocks

__all__ = ["AUTO", "Denoise", "Dial", "position"]

AUTO: Literal["auto"] = "auto"

Denoise: TypeAlias = float | Literal["auto"]
"""Position of the dial: 0 (clean weights) to 1 (camera weights), or ``auto`` to measure each picture."""


class Dial:
    """Mixes two sets of weights with the same kernel code.

    It mixes the results of the restorers. Of the estimators it mixes the weights, since they differ little
    (Wang et al., Deep Network Interpolation, CVPR 2019); this costs no time.

    Args:
        start: the model for 0, with all networks. Its restorer is replaced by a `BlendedRestorer`.
        end: the model for 1, with the same configuration.

    Attributes:
        model: the model to run.

    Raises:
        WeightsError: a set lacks a network, or the sets differ in configuration or kernel code.
    """

    def __init__(self, start: BlindModel, end: BlindModel) -> None:
        first, second = _whole(start), _whole(end)
        if start.config != end.config:
            raise WeightsError("the two sets of weights have different networks: install manet-cli again")
        if not torch.equal(first.kernel_code.basis, second.kernel_code.basis):
            raise WeightsError("the two sets of weights have different kernel codes: install manet-cli again")
        ends = first.estimator.state_dict(), second.estimator.state_dict()
        self._ends = {name: (tensor.clone(), ends[1][name]) for name, tensor in ends[0].items()}
        self._estimator = first.estimator
        blocks = int8_blocks(first.estimator), int8_blocks(second.estimator)
        self._ranges = {
            name: (block.input_range, blocks[1][name].input_range) for name, block in blocks[0].items()
        }
        self._restorer = BlendedRestorer(first.restorer, second.restorer)
        start.restorer = self._restorer
        self.model = start

    def turn(self, amount: float) -> None:
        """Set the mix; the model may be on any device and in any number format.

        Args:
            amount: weight of the second set, 0 to 1. At 0 and 1 the result is exactly one set's.
        """
        self._restorer.amount = amount
        tensors = self._estimator.state_dict()
        with torch.no_grad():
            for name, (start, end) in self._ends.items():
                tensors[name].copy_(torch.lerp(start, end, amount))
        for name, block in int8_blocks(self._estimator).items():
            block.input_range = _between(*self._ranges[name], amount)


@dataclass(frozen=True)
class _Networks:
    estimator: MANet
    restorer: Restorer
    kernel_code: KernelCode


def _whole(model: BlindModel) -> _Networks:
    """Return the networks of a complete model."""
    if model.estimator is None or model.restorer is None or model.kernel_code is None:
        raise WeightsError("one of the two sets of weights lacks a network: install manet-cli again")
    return _Networks(model.estimator, model.restorer, model.kernel_code)


def _between(start: Range | None, end: Range | None, amount: float) -> Range | None:
    """Return a block's input range for a mix; None if the block runs in floating point in one of the sets."""
    if amount in (0, 1):
        return end if amount else start
    if start is None or end is None:
        return None
    low, high = (first + (second - first) * amount for first, second in zip(start, end, strict=True))
    return low, high


def position(denoise: Denoise, photo: Photo) -> float:
    """Return the position of the dial for a photo, 0 to 1; if measured, rounded to 0.01."""
    if denoise != AUTO:
        return denoise
    from_camera = photo.header.bits == 8 and names_camera(photo.metadata.exif)
    damage = measure_damage(photo.pixels, photo.jpeg_quality)
    return round(denoise_of(damage, from_camera=from_camera), 2)
