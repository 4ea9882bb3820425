"""Running the networks on images of any size: tiles, devices, number formats, memory."""

from manet_cli.inference.device import (
    PRECISIONS,
    choose_device,
    choose_devices,
    choose_precision,
    explain_auto,
)
from manet_cli.inference.engine import SMALLEST_TILE, Engine
from manet_cli.inference.memory import available_memory, memory_reported
from manet_cli.inference.streams import KernelTile, LowResolution, RestoredTile

__all__ = [
    "PRECISIONS",
    "SMALLEST_TILE",
    "Engine",
    "KernelTile",
    "LowResolution",
    "RestoredTile",
    "available_memory",
    "choose_device",
    "choose_devices",
    "choose_precision",
    "explain_auto",
    "memory_reported",
]
