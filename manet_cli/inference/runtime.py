"""What all runtimes have in common: programs other than PyTorch that run its networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch

from manet_cli.inference.networks import Networks, TorchNetworks
from manet_cli.models import BlindModel

__all__ = ["AnyDevice", "Runtime", "RuntimeDevice", "networks_on", "tensors_of"]


class RuntimeDevice(ABC):
    """A device of a runtime. As text it is what ``--device`` takes.

    Attributes:
        type: as it is recorded, without a number.
        takes_int8: whether it computes an `Int8Block` in int8.
    """

    type: str
    takes_int8 = False

    @property
    @abstractmethod
    def product(self) -> str:
        """Name of the product."""

    @property
    @abstractmethod
    def is_cpu(self) -> bool:
        """Whether it is the processor that PyTorch calls ``cpu``."""

    @abstractmethod
    def choose_precision(self, name: str) -> torch.dtype:
        """Return the number format that ``name`` stands for; `UsageError` for one that it does not have."""

    @abstractmethod
    def networks(self, model: BlindModel, precision: torch.dtype) -> Networks:
        """Put a model's networks there; `DeviceError` if they cannot be run, here or when they are first."""


@dataclass(frozen=True)
class Runtime:
    """An entry of the list `RUNTIMES`.

    Attributes:
        id: what its devices' names begin with; also the extra that installs it.
        names: of devices, as messages and help list them.
        find: returns the device of what follows the colon, None for no colon. Raises `UsageError` for what is
            no name, and `DeviceError` where the device or the runtime is missing.
        devices: returns all that are here; none where the runtime is not installed. Raises `DeviceError` if
            it is broken.
    """

    id: str
    names: tuple[str, ...]
    find: Callable[[str | None], RuntimeDevice]
    devices: Callable[[], Sequence[RuntimeDevice]]


AnyDevice: TypeAlias = torch.device | RuntimeDevice
"""Where networks are run: a device of PyTorch or of a runtime."""


def networks_on(model: BlindModel, device: AnyDevice, precision: torch.dtype) -> Networks:
    """Put a model's networks on a device."""
    if isinstance(device, torch.device):
        return TorchNetworks(model, device, precision)
    return device.networks(model, precision)


def tensors_of(device: AnyDevice) -> torch.device:
    """Return where tensors lie that are computed with on a device: a runtime takes them from the CPU."""
    return device if isinstance(device, torch.device) else torch.device("cpu")
