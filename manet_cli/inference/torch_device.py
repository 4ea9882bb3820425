"""PyTorch's devices and their number formats."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from manet_cli.errors import DeviceError, Parameter, UsageError
from manet_cli.shared_setting import SharedSetting

__all__ = [
    "PRECISIONS",
    "TORCH_DEVICES",
    "choose_torch_device",
    "choose_torch_precision",
    "exact_convolutions",
    "explain_torch_auto",
]

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.int8}
"""Number formats by name. int8 applies only to each `Int8Block`; other layers use the format of ``auto``."""

TORCH_DEVICES = "auto, cpu, cuda, cuda:N or mps"
"""The valid names, for messages."""


def choose_torch_device(name: str = "auto") -> torch.device:
    """Return the device for ``name``: auto, cpu, cuda, cuda:N or mps.

    ``auto`` is the first available of CUDA, Metal and the CPU.

    Raises:
        UsageError: the name is invalid.
        DeviceError: no such device on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (":" in name and not (kind == "cuda" and index.isdecimal())):
        raise UsageError(Parameter("device", name), f": expected {TORCH_DEVICES}")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            raise DeviceError(
                Parameter("device", name),
                f": this machine has {count} CUDA devices that PyTorch can use; give ",
                *(Parameter("device", f"cuda:{count - 1}" if count else "cpu"), " or leave it out"),
            )
        return torch.device("cuda", int(index or 0))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(
            Parameter("device", name), ": PyTorch finds no Metal device on this machine; leave it out"
        )
    return torch.device(kind)


def choose_torch_precision(device: torch.device, name: str = "auto") -> torch.dtype:
    """Return the number format for ``name`` (auto, fp32, bf16 or fp16) on ``device``.

    ``auto`` is half precision if the hardware multiplies it natively and ``benchmarks/precision.py`` found no
    harm: bfloat16 on CPUs with AVX512-BF16 or AMX and on CUDA from Ampere on, float16 on older CUDA devices
    with tensor cores. Elsewhere it is float32.

    Raises:
        UsageError: float16 on a CPU, where it is slower than float32.
    """
    if name != "auto":
        if name == "fp16" and device.type == "cpu":
            raise UsageError(Parameter("precision", name), " is for GPUs; on a CPU use bf16 or fp32")
        return PRECISIONS[name]
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if major >= 8 else torch.float16 if major == 7 else torch.float32
    if device.type == "cpu" and _cpu_has_bfloat16():
        return torch.bfloat16
    return torch.float32


def explain_torch_auto() -> str:
    """Explain in a sentence why PyTorch's ``auto`` chooses its device and precision on this machine."""
    device = choose_torch_device()
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        formats = {torch.bfloat16: "multiplies bfloat16", torch.float16: "has tensor cores for float16"}
        why = formats.get(choose_torch_precision(device), "has no fast half precision")
        return f"the CUDA device, of compute capability {major}.{minor}, {why}"
    if device.type == "mps":
        return "there is a Metal device, and only float32 is known to keep the quality on it"
    why = "multiplies bfloat16" if _cpu_has_bfloat16() else "cannot multiply bfloat16"
    return f"PyTorch finds no CUDA or Metal device, and this processor {why} in hardware"


def _cpu_has_bfloat16() -> bool:
    # Newer PyTorch only; an older one gets float32.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _exact_flags() -> AbstractContextManager[None]:
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


exact_convolutions = SharedSetting(_exact_flags)
"""Context: CUDA computes float32 convolutions in full precision, and equal runs give equal bytes."""
