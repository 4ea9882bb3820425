"""Networks of a runtime, replaced by PyTorch's if the runtime fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from manet_cli.errors import DeviceError, OutOfMemoryError
from manet_cli.inference.networks import Networks, TorchNetworks
from manet_cli.models import BlindModel

__all__ = ["FallbackNetworks"]

_log = logging.getLogger(__name__)
_CPU = torch.device("cpu")

T = TypeVar("T")


class FallbackNetworks(Networks):
    """The networks of a runtime on the CPU; PyTorch's from its first `DeviceError` or lack of memory on.

    Args:
        model: in float32; converted in place.
        start: puts the model's networks on the runtime's device.
        precision: number format of the networks' inner parts, in PyTorch too.
        name: of the runtime's device, for the warning.
    """

    def __init__(
        self, model: BlindModel, start: Callable[[], Networks], precision: torch.dtype, name: str
    ) -> None:
        self._model = model
        self._precision = precision
        self._name = name
        self.device = _CPU
        # A runtime puts modules of its own in their places.
        self._parts = [(module, dict(module._modules)) for module in model.modules()]
        self._now = start()

    def kernels(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the kernels and the codes of every pixel; see `Networks`."""
        return self._run(lambda networks: networks.kernels(image))

    def codes(self, image: Tensor, stride: int, *, kernels: bool) -> tuple[Tensor, ...]:
        """Return interpolated codes; see `Networks`."""
        return self._run(lambda networks: networks.codes(image, stride, kernels=kernels))

    def restore(self, image: Tensor, code: Tensor) -> Tensor:
        """Super-resolve; see `Networks`."""
        return self._run(lambda networks: networks.restore(image, code))

    def turned(self, amount: float) -> None:
        """Use the estimator's new weights; see `Networks`."""
        self._now.turned(amount)

    def _run(self, run: Callable[[Networks], T]) -> T:
        try:
            return run(self._now)
        except (DeviceError, OutOfMemoryError) as error:
            if self.instead is not None:
                raise
            lack = isinstance(error, OutOfMemoryError)
            reason = "it ran out of memory" if lack else str(error.__cause__ or error.args[0]).strip()
            _log.warning(
                "%s failed (%s): going on with PyTorch", self._name, reason.splitlines()[0].rstrip(".")
            )
        for module, parts in self._parts:
            module._modules.update(parts)
        self._now = TorchNetworks(self._model, _CPU, self._precision)
        self.instead = _CPU
        return run(self._now)
