"""Choose and describe devices of PyTorch and of `RUNTIMES`, and their number formats."""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import platform
import sys
import warnings
from pathlib import Path

import torch

from manet_cli.errors import DeviceError, Parameter, UsageError
from manet_cli.inference.runtime import AnyDevice
from manet_cli.inference.runtimes import RUNTIMES
from manet_cli.inference.torch_device import (
    PRECISIONS,
    TORCH_DEVICES,
    choose_torch_device,
    choose_torch_precision,
    explain_torch_auto,
)

__all__ = [
    "all_devices",
    "choose_device",
    "choose_devices",
    "choose_precision",
    "describe_device",
    "explain_auto",
    "first_device",
    "is_cpu",
    "takes_int8",
]

_log = logging.getLogger(__name__)


def choose_device(name: str = "auto") -> AnyDevice:
    """Return the device for ``name``: auto, cpu, cuda, cuda:N, mps, or a device of a runtime.

    ``auto`` is the first available of CUDA, Metal, a runtime that is at least as fast on this CPU, and the
    CPU. A runtime that is broken is left out with a warning.

    Raises:
        UsageError: the name is invalid.
        DeviceError: no such device on this machine, or its runtime is not installed.
    """
    if name == "auto":
        return _auto_device()
    kind, _, part = name.partition(":")
    for runtime in RUNTIMES:
        if runtime.id == kind:
            return runtime.find(part if ":" in name else None)
    if kind not in ("cpu", "cuda", "mps"):
        others = ", ".join(text for runtime in RUNTIMES for text in runtime.names)
        raise UsageError(Parameter("device", name), f": expected {TORCH_DEVICES}, or with an extra: {others}")
    return choose_torch_device(name)


def _auto_device() -> AnyDevice:
    device = choose_torch_device()
    if device.type == "cpu":
        for runtime in RUNTIMES:
            try:
                found = runtime.auto()
            except DeviceError as error:
                _warn_once(f"{error}: going on with PyTorch")
                continue
            if found is not None:
                return found
    return device


@functools.cache
def _warn_once(text: str) -> None:
    _log.warning("%s", text)


def first_device(name: str) -> str:
    """Return the name of the first device in `choose_devices`; ``auto`` stays ``auto``. Errors likewise."""
    return name if name == "auto" else str(choose_devices(name)[0])


def explain_auto() -> str:
    """Explain in a sentence why ``auto`` chooses its device and precision on this machine."""
    device = _auto_device()
    reason = explain_torch_auto()
    return reason if isinstance(device, torch.device) else f"{reason}; the extra {device.type!r} is installed"


def choose_devices(name: str = "auto") -> list[AnyDevice]:
    """Return the devices for ``name``: ``cuda`` is all GPUs, ``cuda:0,2`` these two.

    Any other name is one device, as in `choose_device`.

    Raises:
        UsageError: the name is invalid, or names a GPU twice.
        DeviceError: no such device on this machine, or its runtime is not installed.
    """
    if name == "cuda":
        choose_device(name)  # raises DeviceError if there is none
        return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    kind, _, indices = name.partition(":")
    parts = indices.split(",")
    if kind != "cuda" or len(parts) == 1:
        return [choose_device(name)]
    if not all(part.isdecimal() for part in parts) or len({int(part) for part in parts}) < len(parts):
        raise UsageError(Parameter("device", name), ": expected different GPUs, such as cuda:0,1")
    return [choose_device(f"cuda:{part}") for part in parts]


def choose_precision(device: AnyDevice, name: str = "auto") -> torch.dtype:
    """Return the number format for ``name`` (auto or a key of `PRECISIONS`) on ``device``.

    Raises:
        UsageError: the name is invalid, or the device does not support the format.
    """
    if name not in ("auto", *PRECISIONS):
        raise UsageError(Parameter("precision", name), f": expected auto, {', '.join(PRECISIONS)}")
    if PRECISIONS.get(name) == torch.int8 and not takes_int8(device):
        here = importlib.util.find_spec("openvino") is not None
        extra = "" if here else " (an extra: pip install 'manet-cli[openvino]')"
        raise UsageError(
            *(Parameter("precision", name), f" does not run on {device}: give "),
            *(Parameter("device", "openvino"), extra),
        )
    if isinstance(device, torch.device):
        return choose_torch_precision(device, name)
    return device.choose_precision(name)


def all_devices() -> tuple[list[AnyDevice], list[str]]:
    """Return all devices of this machine, the CPU first, and a sentence for each that does not work."""
    devices: list[AnyDevice] = [torch.device("cpu")]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    problems = [f"PyTorch about CUDA: {str(warning.message).splitlines()[0]}" for warning in caught]
    if not count and torch.version.cuda is None and Path("/proc/driver/nvidia/version").exists():
        problems.append(
            "there is an NVIDIA driver, but this PyTorch was built without CUDA: install a PyTorch with CUDA"
        )
    devices += [torch.device("cuda", index) for index in range(count)]
    if torch.backends.mps.is_available():
        devices.append(torch.device("mps"))
    for runtime in RUNTIMES:
        try:
            devices += runtime.devices()
        except DeviceError as error:
            problems.append(str(error))
    return devices, problems


def is_cpu(device: AnyDevice) -> bool:
    """Whether the device is the CPU."""
    return device.type == "cpu" if isinstance(device, torch.device) else device.is_cpu


def takes_int8(device: AnyDevice) -> bool:
    """Whether the device can run networks in int8."""
    return not isinstance(device, torch.device) and device.takes_int8


def describe_device(device: AnyDevice) -> tuple[str, int | None]:
    """Return the product name, and the memory in bytes (None if unknown)."""
    if not isinstance(device, torch.device):
        return device.product, None
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return properties.name, properties.total_memory
    if device.type == "mps":
        return "Apple GPU", torch.mps.recommended_max_memory()
    total = None
    if sys.platform != "win32":
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return name, total
