"""The shape of blur kernels: two standard deviations and an angle, found by moments.

A kernel's second moments are its covariance, whose axes are those of its ellipse. Two things would spoil
them: the array cuts off a wide Gaussian's tails (at 2.8 standard deviations for the widest ones of x4), and
an estimated kernel has a little weight everywhere, which counts the more the farther out it lies. So moments
are taken under a Gaussian window of known width around the published placement's centre. A Gaussian times a
Gaussian is a Gaussian whose precision (inverse covariance) is the sum of both: the window's is taken off
again, exactly.

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
"""Standard deviation of the window in HR pixels: published kernels fit, far weight counts little."""

NARROWEST, WIDEST = 0.2, 12.0
"""Limits of the standard deviations that are given, in HR pixels: one pixel alone, and beyond what fits."""


class KernelShapes(NamedTuple):
    """Shapes of kernels, three tensors of one shape and float type.

    sigma_x: standard deviation along the long axis, HR pixels. sigma_y: along the short axis. theta: angle of
    the long axis in degrees, from x (right) towards y (down), in [0, 180); of a round kernel it is chance.
    The three are what `GaussianParameters.from_degrees(sigma_x**2, sigma_y**2, theta)` and `--sigma` take.
    """

    sigma_x: Tensor
    sigma_y: Tensor
    theta: Tensor

    @property
    def size(self) -> Tensor:
        """Blur size in HR pixels: standard deviation of the round Gaussian that covers the same area."""
        return (self.sigma_x * self.sigma_y).sqrt()

    @property
    def anisotropy(self) -> Tensor:
        """Long axis by short axis, at least 1."""
        return self.sigma_x / self.sigma_y


def kernel_centre(scale: int, kernel_size: int = KERNEL_SIZE) -> float:
    """Return the column, and row, of the centre in the published placement: 8.5 of 0 to 20 for x4."""
    check_kernel_size(kernel_size)
    check_scale(scale)
    return (kernel_size - scale) / 2


def kernel_shapes(kernels: Tensor, scale: int) -> KernelShapes:
    """Return the shapes of kernels (..., k, k) in the published placement, as tensors (...).

    Kernels need not sum to 1 exactly. Gaussians of the training range come back to 0.5 % of a standard
    deviation. Half precision is computed in float32. On the device of the kernels.

    Raises:
        UsageError: not kernels.
    """
    if kernels.ndim < 2 or kernels.shape[-1] != kernels.shape[-2] or not kernels.is_floating_point():
        raise UsageError(
            f"Kernels were given as a {kernels.dtype} tensor of shape {tuple(kernels.shape)}; "
            "expected a floating-point one of shape (..., k, k)."
        )
    values = kernels if kernels.dtype == torch.float64 else kernels.float()
    weights = moment_weights(scale, kernels.shape[-1]).to(values)
    return shapes_from_moments(values.flatten(-2) @ weights)


def moment_weights(scale: int, kernel_size: int = KERNEL_SIZE) -> Tensor:
    """Return the (k*k, 6) float64 matrix that turns flattened kernels into their six windowed moments.

    The moments are those of 1, x, y, xx, xy and yy about the placement's centre. They are linear: of kernels
    that are given as codes, ``codes @ (basis.T @ moment_weights(...))`` gives them without the kernels.
    """
    position = torch.arange(kernel_size, dtype=torch.float64) - kernel_centre(scale, kernel_size)
    y, x = torch.meshgrid(position, position, indexing="ij")
    window = torch.exp(-0.5 * (x * x + y * y) / WINDOW**2)
    moments = torch.stack((torch.ones_like(x), x, y, x * x, x * y, y * y), dim=-1)
    return (moments * window[..., None]).reshape(kernel_size**2, 6)


def shapes_from_moments(moments: Tensor) -> KernelShapes:
    """Return the shapes that moments (..., 6) mean, see `moment_weights`."""
    total, x, y, xx, xy, yy = moments.unbind(dim=-1)
    total = total.clamp(min=1e-12)
    x, y = x / total, y / total
    xx, xy, yy = xx / total - x * x, xy / total - x * y, yy / total - y * y
    # Along the axes of the moments: the window is round, so the kernel's are the same.
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
    """Return the shapes of kernels with these covariances (HR pixels squared): `covariances` undone."""
    half = (xx + yy) / 2
    spread = torch.hypot((xx - yy) / 2, xy)
    theta = torch.rad2deg(torch.atan2(2 * xy, xx - yy)) / 2
    theta = torch.where(theta < 0, theta + 180, theta)
    # In floating point a negative angle near 0 may become 180 itself.
    theta = torch.where(theta >= 180, torch.zeros_like(theta), theta)
    return KernelShapes((half + spread).clamp(min=0).sqrt(), (half - spread).clamp(min=0).sqrt(), theta)
