"""The blur that a user states instead of having it estimated."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from manet_cli.degradations import GaussianParameters
from manet_cli.errors import UsageError
from manet_cli.inference import KernelTile

__all__ = ["GivenBlur", "constant_kernels", "given_kernel", "read_kernel", "sigma_kernel"]

_SUM_TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class GivenBlur:
    """A kernel (k, k) in float32 that sums to 1, in the published placement, and how the record names it."""

    kernel: Tensor
    description: str


def read_kernel(path: Path, kernel_size: int) -> GivenBlur:
    """Read a kernel from a ``.npy`` file without unpickling anything.

    Args:
        path: the file, holding (k, k) finite numbers that sum to 1 within 0.01.
        kernel_size: the k that the weights expect.

    Raises:
        UsageError: the file is missing or holds something else.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # no memory for what a header claims
    except FileNotFoundError as error:
        raise UsageError(f"--kernel {path}: there is no such file.") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"--kernel {path}: this is not a .npy file of plain numbers.") from error
    return given_kernel(array, kernel_size, f"--kernel {path}")


def given_kernel(array: npt.NDArray[Any], kernel_size: int, name: str = "kernel") -> GivenBlur:
    """Take a kernel from an array, see `read_kernel`; ``name`` is what messages call it."""
    expected = (kernel_size, kernel_size)
    if array.shape != expected or array.dtype.kind not in "fiu":
        found = f"{array.dtype} of shape {array.shape}"
        raise UsageError(f"{name}: expected real numbers of shape {expected}, it holds {found}.")
    values = array.astype(np.float64)
    total = float(values.sum())
    if not np.isfinite(values).all() or abs(total - 1) > _SUM_TOLERANCE:
        raise UsageError(f"{name}: a blur kernel's values sum to 1, these sum to {total:.4g}.")
    kernel = torch.from_numpy((values / total).astype(np.float32))
    return GivenBlur(kernel, f"kernel {hashlib.sha256(kernel.numpy().tobytes()).hexdigest()}")


def sigma_kernel(text: str, scale: int, kernel_size: int, name: str = "--sigma") -> GivenBlur:
    """Make the Gaussian kernel that ``SX[,SY[,THETA]]`` describes.

    Args:
        text: standard deviations in HR pixels along two axes (the second by default equal to the first), and
            the first axis' angle in degrees from right towards down.
        scale: HR pixels per LR pixel, which decides the placement.
        kernel_size: side of the kernel.
        name: what messages call it.

    Raises:
        UsageError: the text is none of that.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3:
        raise UsageError(f"{name} {text}: expected SX, SX,SY or SX,SY,THETA, such as 2.5 or 3,1,45.")
    numbers = list((*numbers, numbers[0], 0.0)[:3] if len(numbers) == 1 else (*numbers, 0.0)[:3])
    sigma_x, sigma_y, theta = numbers
    if not all(map(math.isfinite, (sigma_x, sigma_y, theta))) or min(sigma_x, sigma_y) <= 0:
        raise UsageError(f"{name} {text}: expected standard deviations above 0 and finite degrees.")
    parameters = GaussianParameters.from_degrees(sigma_x**2, sigma_y**2, theta)
    kernel = parameters.kernel(scale, kernel_size=kernel_size)
    exact = ",".join(f"{value:g}" if float(f"{value:g}") == value else f"{value!r}" for value in numbers)
    return GivenBlur(kernel, f"sigma {exact}")


def constant_kernels(kernel: Tensor, width: int, start: int, stop: int) -> Iterator[KernelTile]:
    """Yield one kernel (k, k) for every pixel of rows [start, stop) of an image, without taking memory."""
    kernels = kernel.reshape(-1, 1, 1).expand(-1, stop - start, width)
    yield KernelTile(start, 0, kernels, kernels[:0])
