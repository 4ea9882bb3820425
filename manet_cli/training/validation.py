"""Validation on separate photos, with the code and a protocol of `manet evaluate`."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from manet_cli.degradations.protocol import DegradedImage
from manet_cli.errors import InputError, ManetError, Parameter
from manet_cli.evaluation.measuring import measure
from manet_cli.evaluation.pictures import hr_tensor
from manet_cli.evaluation.protocols import parse_protocol
from manet_cli.images import read_content, read_photo
from manet_cli.inference import Engine
from manet_cli.models import BlindModel
from manet_cli.stopping import end_if_stopped
from manet_cli.training.recipe import ValidationRecipe

__all__ = ["Validation"]

_log = logging.getLogger(__name__)


class Validation:
    """A fixed set of degraded crops.

    Args:
        paths: paths of the photos; unusable photos are reported and left out.
        recipe: the protocol, the size of a crop, the number of photos.
        scale: 2, 3 or 4.

    Raises:
        InputError: no photo can be used.
    """

    def __init__(self, paths: Sequence[Path], recipe: ValidationRecipe, scale: int) -> None:
        protocol = parse_protocol(recipe.protocol, scale)
        self._scale = scale
        self._images: list[DegradedImage] = []
        taken = 0
        for path in paths:
            if taken == recipe.limit:
                break
            try:
                hr = _middle(
                    hr_tensor(read_photo(read_content(path, path.name), path.name), path.name), recipe.crop
                )
                self._images += [degradation.apply(hr) for degradation in protocol.degradations]
                taken += 1
            except ManetError as error:
                end_if_stopped()
                _log.warning("left out of the validation: %s", error)
        if not taken:
            raise InputError(
                "no validation photo can be used: give ", Parameter("validation"), " another folder"
            )

    def measure(
        self,
        model: BlindModel,
        device: torch.device,
        precision: torch.dtype,
        stopped: Callable[[], bool] = lambda: False,
    ) -> dict[str, float]:
        """Return the mean figures of a model in evaluation mode, by name, as far as its networks allow.

        Empty if `stopped` returns true meanwhile.
        """
        engine = Engine(model, device, precision)
        lines = []
        for image in self._images:
            if stopped():
                return {}
            lines.append(dataclasses.asdict(measure(engine, image, self._scale, bicubic=None)))
        sums: dict[str, float] = {}
        for name in lines[0]:
            values = [line[name] for line in lines if line[name] is not None]
            if values:
                sums[name] = sum(values) / len(values)
        return sums


def _middle(hr: Tensor, size: int) -> Tensor:
    height, width = hr.shape[-2:]
    top, left = max(0, (height - size) // 2), max(0, (width - size) // 2)
    return hr[..., top : top + size, left : left + size]
