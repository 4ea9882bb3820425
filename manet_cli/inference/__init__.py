"""Run the networks on images of any size: tiles, devices, number formats, memory."""

from manet_cli.inference.device import (
    all_devices,
    choose_device,
    choose_devices,
    choose_precision,
    describe_device,
    explain_auto,
    first_device,
    is_cpu,
    takes_int8,
)
from manet_cli.inference.engine import SMALLEST_TILE, Engine
from manet_cli.inference.memory import available_memory, memory_reported
from manet_cli.inference.runtime import AnyDevice, tensors_of
from manet_cli.inference.runtimes import RUNTIMES
from manet_cli.inference.streams import KernelTile, LowResolution, RestoredTile
from manet_cli.inference.torch_device import PRECISIONS, choose_torch_device

__all__ = [
    "PRECISIONS",
    "RUNTIMES",
    "SMALLEST_TILE",
    "AnyDevice",
    "Engine",
    "KernelTile",
    "LowResolution",
    "RestoredTile",
    "all_devices",
    "available_memory",
    "choose_device",
    "choose_devices",
    "choose_precision",
    "choose_torch_device",
    "describe_device",
    "explain_auto",
    "first_device",
    "is_cpu",
    "memory_reported",
    "takes_int8",
    "tensors_of",
]
