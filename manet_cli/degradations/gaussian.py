"""Gaussian blur kernels in the published placement, and their training distribution.

A kernel of side l for scale s is sampled on a grid of side l' = l - s + 1 around the point (l' - 1) / 2 and
put in the top-left corner of the l x l array; the rest is zero. The blur itself is centred on pixel l // 2.
MANet's published weights and figures assume this shift (Liang et al., ICCV 2021).

Coordinates: x is the column, y the row (downwards); theta turns from x towards y, in radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from manet_cli.degradations.validation import check_kernel_size, check_scale
from manet_cli.errors import UsageError

__all__ = [
    "KERNEL_SIZE",
    "GaussianParameters",
    "KernelRange",
    "anisotropic_kernels",
    "isotropic_kernels",
    "placed_side",
    "sample_kernels",
    "sample_parameters",
]

KERNEL_SIZE = 21
"""Side of the published kernels in HR pixels, for every scale."""

_RELATIVE_CUTOFF = torch.finfo(torch.float64).eps
"""Values below this share of a kernel's largest one are set to zero."""

_CHUNK = 4096
"""Kernels per step: limits the float64 work space to about 30 MB."""


@dataclass(frozen=True)
class GaussianParameters:
    """The shape of one Gaussian kernel.

    sig1, sig2: variances along the two axes in HR pixels squared, above 0.
    theta: angle of the first axis in radians, from x (right) towards y (down).
    """

    sig1: float
    sig2: float
    theta: float = 0.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) and value > 0 for value in (self.sig1, self.sig2)):
            raise UsageError(
                f"The kernel's variances are {self.sig1:g} and {self.sig2:g}; "
                "expected two finite numbers above 0 (HR pixels squared)."
            )
        if not math.isfinite(self.theta):
            raise UsageError(f"The kernel's angle is {self.theta}; expected a finite number of radians.")

    @classmethod
    def from_degrees(cls, sig1: float, sig2: float, degrees: float = 0.0) -> GaussianParameters:
        """Build from variances and an angle in degrees, the form used on the command line."""
        return cls(sig1, sig2, math.radians(degrees))

    @property
    def label(self) -> str:
        """Short name for tables and file names: variances and degrees, such as `9,1,45`."""
        return f"{self.sig1:g},{self.sig2:g},{math.degrees(self.theta):g}"

    def kernel(
        self, scale: int, *, kernel_size: int = KERNEL_SIZE, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Return the (k, k) kernel for `scale`, on the CPU."""
        return anisotropic_kernels(
            self.sig1, self.sig2, self.theta, scale=scale, kernel_size=kernel_size, dtype=dtype
        )


@dataclass(frozen=True)
class KernelRange:
    """Range of the variances of random kernels, in HR pixels squared: 0 < low <= high."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (0 < self.low <= self.high and math.isfinite(self.high)):
            raise UsageError(
                f"The range of kernel variances is {self.low:g} to {self.high:g}; "
                "expected finite numbers with 0 < low <= high."
            )

    @classmethod
    def for_scale(cls, scale: int) -> KernelRange:
        """Return the published range for a scale: 0.175 s to 2.5 s."""
        check_scale(scale)
        return cls(0.175 * scale, 2.5 * scale)


def anisotropic_kernels(
    sig1: Tensor | float,
    sig2: Tensor | float,
    theta: Tensor | float,
    *,
    scale: int,
    kernel_size: int = KERNEL_SIZE,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Make Gaussian kernels from their two variances and angle.

    sig1, sig2: variances in HR pixels squared; theta: radians; numbers or tensors that broadcast to a shape
    S.
    Returns shape S + (k, k), every kernel summing to 1, computed in float64 and returned as `dtype` on the
    device of the given tensors. Raises `UsageError` unless all numbers are finite and variances above 0.
    """
    check_kernel_size(kernel_size)
    check_scale(scale)
    if scale >= kernel_size:
        raise UsageError(
            f"The scale {scale} is too large for a {kernel_size}x{kernel_size} kernel; give a smaller scale."
        )
    given = (sig1, sig2, theta)
    device = next((value.device for value in given if isinstance(value, Tensor)), torch.device("cpu"))
    s1, s2, angle = (torch.as_tensor(value, dtype=torch.float64, device=device) for value in given)
    _check_variances(s1, s2)
    if not bool(torch.isfinite(angle).all()):
        raise UsageError("A kernel's angle is not a finite number; expected radians.")
    cos, sin = torch.cos(angle), torch.sin(angle)
    # The inverse covariance R diag(1/sig1, 1/sig2) R^T: this form never divides by a small difference.
    xx = cos * cos / s1 + sin * sin / s2
    xy = cos * sin * (1 / s1 - 1 / s2)
    yy = sin * sin / s1 + cos * cos / s2
    precision = torch.stack((xx, xy, yy), dim=-1)
    kernels = _kernels_from_precision(precision.reshape(-1, 3), scale, kernel_size, dtype)
    return kernels.reshape(*xx.shape, kernel_size, kernel_size)


def isotropic_kernels(
    sigma: Tensor | float,
    *,
    scale: int,
    kernel_size: int = KERNEL_SIZE,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Make round Gaussian kernels from a standard deviation in HR pixels; see `anisotropic_kernels`."""
    deviation = torch.as_tensor(sigma, dtype=torch.float64)
    if not bool((torch.isfinite(deviation) & (deviation > 0)).all()):
        raise UsageError("A kernel's standard deviation is not a finite number above 0 (HR pixels).")
    variance = deviation * deviation
    return anisotropic_kernels(variance, variance, 0.0, scale=scale, kernel_size=kernel_size, dtype=dtype)


def sample_parameters(n: int, kernel_range: KernelRange, generator: torch.Generator) -> Tensor:
    """Draw the shapes of n kernels from the training distribution.

    sig1 ~ U(low, high), sig2 ~ U(low, sig1), theta ~ U(0, pi). Returns (n, 3) float64 with the columns sig1,
    sig2 (variances) and theta (radians), on the generator's device.
    """
    if n < 0:
        raise UsageError(f"The number of kernels is {n}; expected 0 or more.")
    draws = torch.rand(n, 3, generator=generator, dtype=torch.float64, device=generator.device)
    sig1 = kernel_range.low + (kernel_range.high - kernel_range.low) * draws[:, 0]
    sig2 = kernel_range.low + (sig1 - kernel_range.low) * draws[:, 1]
    return torch.stack((sig1, sig2, math.pi * draws[:, 2]), dim=1)


def sample_kernels(
    n: int,
    scale: int,
    generator: torch.Generator,
    *,
    kernel_range: KernelRange | None = None,
    kernel_size: int = KERNEL_SIZE,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw n training kernels for a scale.

    kernel_range: range of the variances, by default the published range of the scale.
    device: device of the kernels, by default the generator's. A CPU generator draws the same kernels for
    every device.
    Returns the kernels (n, k, k) as `dtype` and their parameters (n, 3) as in `sample_parameters`
    (generator's device).
    """
    chosen = KernelRange.for_scale(scale) if kernel_range is None else kernel_range
    parameters = sample_parameters(n, chosen, generator)
    sig1, sig2, theta = parameters.unbind(dim=1)
    kernels = anisotropic_kernels(sig1, sig2, theta, scale=scale, kernel_size=kernel_size, dtype=dtype)
    return kernels.to(generator.device if device is None else device), parameters


def placed_side(kernel_size: int, scale: int) -> int:
    """Return l' = l - s + 1, the number of rows and columns of a kernel that are used; the rest are zero."""
    return kernel_size - scale + 1


def _check_variances(sig1: Tensor, sig2: Tensor) -> None:
    for values in (sig1, sig2):
        wrong = ~(torch.isfinite(values) & (values > 0))
        if bool(wrong.any()):
            raise UsageError(
                f"A kernel's variance is {float(values[wrong].flatten()[0]):g}; "
                "expected a finite number above 0 (HR pixels squared)."
            )


def _kernels_from_precision(precision: Tensor, scale: int, kernel_size: int, dtype: torch.dtype) -> Tensor:
    """Evaluate and place kernels from the entries xx, xy, yy (N, 3) of their inverse covariances."""
    side = placed_side(kernel_size, scale)
    positions = torch.arange(side, dtype=torch.float64, device=precision.device) - (side - 1) / 2
    y, x = torch.meshgrid(positions, positions, indexing="ij")
    quadratic = torch.stack((x * x, 2 * x * y, y * y)).reshape(3, side * side)
    kernels = torch.zeros(len(precision), kernel_size, kernel_size, dtype=dtype, device=precision.device)
    for start in range(0, len(precision), _CHUNK):
        exponents = -0.5 * (precision[start : start + _CHUNK] @ quadratic)
        # Make the largest value 1 before normalising, so that very narrow kernels do not underflow.
        values = (exponents - exponents.amax(dim=1, keepdim=True)).exp_()
        values.masked_fill_(values < _RELATIVE_CUTOFF, 0)
        values /= values.sum(dim=1, keepdim=True)
        kernels[start : start + _CHUNK, :side, :side] = values.reshape(-1, side, side).to(dtype)
    return kernels
