"""Which device to compute on, and in which number format: PyTorch's own devices and those of `RUNTIMES`."""

from __future__ import annotations

import torch

from manet_cli.errors import Parameter, UsageError
from manet_cli.inference.runtime import AnyDevice
from manet_cli.inference.runtimes import RUNTIMES
from manet_cli.inference.torch_device import (
    PRECISIONS,
    TORCH_DEVICES,
    choose_torch_device,
    choose_torch_precision,
)

__all__ = ["choose_device", "choose_devices", "choose_precision"]


def choose_device(name: str = "auto") -> AnyDevice:
    """Return the device that ``name`` (auto, cpu, cuda, cuda:N, mps, or of a runtime) stands for.

    ``auto`` is the first of CUDA, Metal and the CPU that is there.

    Raises:
        UsageError: not a device's name.
        DeviceError: no such device on this machine, or its runtime is not installed.
    """
    kind, _, part = name.partition(":")
    for runtime in RUNTIMES:
        if runtime.id == kind:
            return runtime.find(part if ":" in name else None)
    if kind not in ("auto", "cpu", "cuda", "mps"):
        others = ", ".join(text for runtime in RUNTIMES for text in runtime.names)
        raise UsageError(Parameter("device", name), f": expected {TORCH_DEVICES}, or of an extra: {others}")
    return choose_torch_device(name)


def choose_devices(name: str = "auto") -> list[AnyDevice]:
    """Return the devices that ``name`` stands for: ``cuda`` is all GPUs, ``cuda:0,2`` are those two.

    Anything else is the one device of `choose_device`.

    Raises:
        UsageError: not devices' names, or one twice.
        DeviceError: no such device on this machine, or its runtime is not installed.
    """
    if name == "cuda":
        choose_device(name)  # says so if there is none
        return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    kind, _, indices = name.partition(":")
    parts = indices.split(",")
    if kind != "cuda" or len(parts) == 1:
        return [choose_device(name)]
    if not all(part.isdecimal() for part in parts) or len({int(part) for part in parts}) < len(parts):
        raise UsageError(Parameter("device", name), ": expected different GPUs, such as cuda:0,1")
    return [choose_device(f"cuda:{part}") for part in parts]


def choose_precision(device: AnyDevice, name: str = "auto") -> torch.dtype:
    """Return the number format that ``name`` (auto, fp32, bf16, fp16) stands for on ``device``.

    Raises:
        UsageError: not a precision's name, or one that the device does not compute in.
    """
    if name not in ("auto", *PRECISIONS):
        raise UsageError(Parameter("precision", name), f": expected auto, {', '.join(PRECISIONS)}")
    if isinstance(device, torch.device):
        return choose_torch_precision(device, name)
    return device.choose_precision(name)
