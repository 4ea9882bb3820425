"""The interface of runtimes: programs other than PyTorch that run the networks."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch

from manet_cli.inference.fallback import FallbackNetworks
from manet_cli.inference.networks import Networks, TorchNetworks
from manet_cli.models import BlindModel

__all__ = ["AnyDevice", "Runtime", "RuntimeDevice", "networks_on", "tensors_of"]


class RuntimeDevice(ABC):
    """A device of a runtime; ``str`` gives its name for ``--device``.

    Attributes:
        type: its name in records, without a number.
        takes_int8: whether it computes an `Int8Block` in int8.
        optional: whether ``auto`` chose it, so that PyTorch goes on if it fails.
    """

    type: str
    takes_int8 = False
    optional = False

    @property
    @abstractmethod
    def product(self) -> str:
        """Product name of the hardware."""

    @property
    @abstractmethod
    def is_cpu(self) -> bool:
        """Whether it is the processor that PyTorch calls ``cpu``."""

    @abstractmethod
    def choose_precision(self, name: str) -> torch.dtype:
        """Return the number format for ``name``; `UsageError` if the device does not support it."""

    @abstractmethod
    def networks(self, model: BlindModel, precision: torch.dtype) -> Networks:
        """Load a model's networks; `DeviceError` if they cannot run, here or at their first use."""


@dataclass(frozen=True)
class Runtime:
    """An entry of the list `RUNTIMES`.

    Attributes:
        id: start of its devices' names; also the name of the extra that installs it.
        names: device names, for messages and help.
        find: returns the device for the text after the colon; None means no colon. Raises `UsageError` for an
            invalid name, and `DeviceError` if the device or the runtime is missing.
        devices: returns all devices of this machine; none if the runtime is not installed. Raises
            `DeviceError` if the runtime is broken.
        auto: returns the device that ``auto`` takes instead of PyTorch's CPU, marked as ``optional``; None to
            leave it to PyTorch. Errors as in ``devices``.
    """

    id: str
    names: tuple[str, ...]
    find: Callable[[str | None], RuntimeDevice]
    devices: Callable[[], Sequence[RuntimeDevice]]
    auto: Callable[[], RuntimeDevice | None] = lambda: None


AnyDevice: TypeAlias = torch.device | RuntimeDevice
"""A device of PyTorch or of a runtime."""


def networks_on(model: BlindModel, device: AnyDevice, precision: torch.dtype) -> Networks:
    """Load a model's networks onto a device."""
    if isinstance(device, torch.device):
        return TorchNetworks(model, device, precision)
    if device.optional and precision != torch.int8:  # PyTorch has no fast int8 here
        start = functools.partial(device.networks, model, precision)
        return FallbackNetworks(model, start, precision, str(device))
    return device.networks(model, precision)


def tensors_of(device: AnyDevice) -> torch.device:
    """Return the device of the networks' input tensors; a runtime reads them from the CPU."""
    return device if isinstance(device, torch.device) else torch.device("cpu")
