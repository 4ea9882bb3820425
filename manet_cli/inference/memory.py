"""Free memory, and errors from running out of memory."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from manet_cli.errors import OutOfMemoryError

__all__ = ["available_memory", "is_out_of_memory", "memory_reported", "release_memory"]

# Messages of the CPU allocator, CUDA, Metal and oneDNN; oneDNN gives no reason when it lacks memory for a
# convolution's machine code or scratch space.
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "bad allocation",
    "could not create a primitive",
    "could not execute a primitive",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def available_memory(device: torch.device) -> int:
    """Return the available memory in bytes on ``device`` without swapping."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return max(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory(), 0)
    if sys.platform == "win32":
        return _windows_memory()
    host, container = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
    return min(_host_memory(host), _container_memory(container), _address_space(Path("/proc/self/statm")))


def _host_memory(meminfo: Path) -> int:
    try:
        lines = meminfo.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        # Not Linux: there is no portable way to read the free memory; guess half of the installed memory.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _container_memory(cgroup: Path) -> int:
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        # Cached files count as used, but the system frees them on demand.
        details = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        used -= int(details.get("inactive_file", 0))
        return sys.maxsize if limit == "max" else max(int(limit) - used, 0)
    except (OSError, ValueError):
        return sys.maxsize


def _address_space(statm: Path) -> int:
    """Return the bytes that this process may still map, as `ulimit -v` and batch systems set it."""
    import resource  # not on Windows

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    try:
        used = int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return limit
    return max(limit - used, 0)


def _windows_memory() -> int:
    class MemoryStatus(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            ("total", ctypes.c_ulonglong),
            ("available", ctypes.c_ulonglong),
            ("rest", ctypes.c_ulonglong * 5),
        )

    status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined, unused-ignore]
    kernel.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.available)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that a device ran out of memory."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def release_memory(device: torch.device) -> None:
    """Free memory that a failed attempt left in caches."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


@contextmanager
def memory_reported(name: str) -> Iterator[None]:
    """Turn out-of-memory errors of the block into an `OutOfMemoryError` about the picture ``name``."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"{name} does not fit in memory: close other programs or cut the picture into smaller ones"
        ) from error
