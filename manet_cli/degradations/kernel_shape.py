"""The shape of blur kernels from their moments: two standard deviations and an angle.

The second moments of a kernel are its covariance, which gives the axes of its ellipse. Two things distort
plain moments: the array cuts off the tails of a wide Gaussian (at 2.8 standard deviations for the widest
kernels of x4), and the small values far from the centre of an estimated kernel weigh too much. So the moments
are taken under a Gaussian window of known width around the published centre. A product of two Gaussians is a
Gaussian whose precision (inverse covariance) is the sum of both; subtracting the window's precision is exact.

Coordinates: x is the column, y the row (downwards), both in HR pixels; angles turn from x towards y.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from manet_cli.degradations.gaussian import KERNEL_SIZE
from manet_cli.degradations.validation import check_kernel_size, check_scale
from manet_cli.errors import UsageError

__all__ = [
    "KernelShapes",
    "covariances",
    "kernel_centre",
    "kernel_shapes",
    "moment_weights",
    "shapes_from_covariances",
    "shapes_from_moments",
]

WINDOW = 4.0
"""Standard deviation of the window in HR pixels: wide enough for published kernels, near 0 far outside."""

NARROWEST, WIDEST = 0.2, 12.0
"""Limits of the returned standard deviations in HR pixels: a single pixel; wider than the array."""


class KernelShapes(NamedTuple):
    """Shapes of kernels, three tensors of one shape and float type.

    sigma_x: standard deviation along the long axis, HR pixels. sigma_y: along the short axis. theta: angle of
    the long axis in degrees, from x (right) towards y (down), in [0, 180); arbitrary for a round kernel.
    `GaussianParameters.from_degrees(sigma_x**2, sigma_y**2, theta)` and `--sigma` take these three.
    """

    sigma_x: Tensor
    sigma_y: Tensor
    theta: Tensor

    @property
    def size(self) -> Tensor:
        """Blur size in HR pixels: standard deviation of a round Gaussian of the same area."""
        return (self.sigma_x * self.sigma_y).sqrt()

    @property
    def anisotropy(self) -> Tensor:
        """Ratio of the long axis to the short axis, at least 1."""
        return self.sigma_x / self.sigma_y


def kernel_centre(scale: int, kernel_size: int = KERNEL_SIZE) -> float:
    """Return the column (and row) of the centre in the published placement: 8.5 of 0 to 20 for x4."""
    check_kernel_size(kernel_size)
    check_scale(scale)
    return (kernel_size - scale) / 2


def kernel_shapes(kernels: Tensor, scale: int) -> KernelShapes:
    """Return the shapes of kernels (..., k, k) in the published placement, as tensors (...).

    Kernels need not sum to 1 exactly. For Gaussians of the training range the error is at most 0.5 % of a
    standard deviation. Half precision is computed in float32. Runs on the device of the kernels.

    Raises:
        UsageError: not a floating-point tensor of shape (..., k, k).
    """
    if kernels.ndim < 2 or kernels.shape[-1] != kernels.shape[-2] or not kernels.is_floating_point():
        raise UsageError(
            f"The kernels are a {kernels.dtype} tensor of shape {tuple(kernels.shape)}; "
            "expected a floating-point tensor of shape (..., k, k)."
        )
    values = kernels if kernels.dtype == torch.float64 else kernels.float()
    weights = moment_weights(scale, kernels.shape[-1]).to(values)
    return shapes_from_moments(values.flatten(-2) @ weights)


def moment_weights(scale: int, kernel_size: int = KERNEL_SIZE) -> Tensor:
    """Return the (k*k, 6) float64 matrix that turns flattened kernels into their six windowed moments.

    The moments are of 1, x, y, xx, xy and yy about the placement's centre. They are linear, so for kernel
    codes ``codes @ (basis.T @ moment_weights(...))`` gives them without decoding the kernels.
    """
    position = torch.arange(kernel_size, dtype=torch.float64) - kernel_centre(scale, kernel_size)
    y, x = torch.meshgrid(position, position, indexing="ij")
    window = torch.exp(-0.5 * (x * x + y * y) / WINDOW**2)
    moments = torch.stack((torch.ones_like(x), x, y, x * x, x * y, y * y), dim=-1)
    return (moments * window[..., None]).reshape(kernel_size**2, 6)


def shapes_from_moments(moments: Tensor) -> KernelShapes:
    """Return the shapes from moments (..., 6), see `moment_weights`."""
    total, x, y, xx, xy, yy = moments.unbind(dim=-1)
    total = total.clamp(min=1e-12)
    x, y = x / total, y / total
    xx, xy, yy = xx / total - x * x, xy / total - x * y, yy / total - y * y
    # The window is round, so the axes of the windowed moments are the kernel's axes.
    windowed = shapes_from_covariances(xx, xy, yy)
    low = 1 / (1 / NARROWEST**2 + 1 / WINDOW**2)
    high = 1 / (1 / WIDEST**2 + 1 / WINDOW**2)
    sigma_x, sigma_y = (
        (1 / (1 / variance.clamp(low, high) - 1 / WINDOW**2)).sqrt()
        for variance in (windowed.sigma_x**2, windowed.sigma_y**2)
    )
    return KernelShapes(sigma_x, sigma_y, windowed.theta)


def covariances(shapes: KernelShapes) -> tuple[Tensor, Tensor, Tensor]:
    """Return the covariances (xx, xy, yy) of kernels in HR pixels squared."""
    angle = torch.deg2rad(shapes.theta)
    cos, sin = torch.cos(angle), torch.sin(angle)
    first, second = shapes.sigma_x**2, shapes.sigma_y**2
    return (
        first * cos * cos + second * sin * sin,
        (first - second) * cos * sin,
        first * sin * sin + second * cos * cos,
    )


def shapes_from_covariances(xx: Tensor, xy: Tensor, yy: Tensor) -> KernelShapes:
    """Return the shapes of kernels from covariances (HR pixels squared): the inverse of `covariances`."""
    half = (xx + yy) / 2
    spread = torch.hypot((xx - yy) / 2, xy)
    theta = torch.rad2deg(torch.atan2(2 * xy, xx - yy)) / 2
    theta = torch.where(theta < 0, theta + 180, theta)
    # Rounding may turn a negative angle near 0 into 180.
    theta = torch.where(theta >= 180, torch.zeros_like(theta), theta)
    return KernelShapes((half + spread).clamp(min=0).sqrt(), (half - spread).clamp(min=0).sqrt(), theta)
