"""Manual changes of a blur: strength, and a median filter."""

from __future__ import annotations

import torch
from torch import Tensor

from manet_cli.degradations.gaussian import KernelRange, anisotropic_kernels
from manet_cli.degradations.kernel_shape import KernelShapes

__all__ = [
    "gaussians_of",
    "logarithms",
    "median_offsets",
    "shapes_of_logarithms",
    "strengthen",
    "weighted_median",
]

_SAMPLES = 4  # most samples of a median to each side


def strengthen(shapes: KernelShapes, strength: float, scale: int) -> KernelShapes:
    """Multiply the covariance of blurs by ``strength``, within the published range.

    The variances along both axes are limited to 0.175 s and 2.5 s (HR pixels squared), the range of the
    training. A blur that is already outside moves no further out.
    """
    limits = KernelRange.for_scale(scale)

    def scaled(sigma: Tensor) -> Tensor:
        variance = sigma * sigma
        low, high = variance.clamp(max=limits.low), variance.clamp(min=limits.high)
        return torch.minimum(torch.maximum(variance * strength, low), high).sqrt()

    return KernelShapes(scaled(shapes.sigma_x), scaled(shapes.sigma_y), shapes.theta)


def gaussians_of(shapes: KernelShapes, scale: int, kernel_size: int) -> Tensor:
    """Return the Gaussian kernels (..., k, k) of shapes (...), float32 on the CPU."""
    sigma_x, sigma_y, theta = (values.cpu().double() for values in shapes)
    return anisotropic_kernels(
        sigma_x**2, sigma_y**2, torch.deg2rad(theta), scale=scale, kernel_size=kernel_size
    )


def logarithms(shapes: KernelShapes) -> Tensor:
    """Return the entries xx, xy, yy (3, ...) of the matrix logarithms of blurs' covariances.

    A median of logarithms is the logarithm of a valid covariance; a median of sizes or angles is not a blur.
    """
    angle = torch.deg2rad(shapes.theta)
    cos, sin = torch.cos(angle), torch.sin(angle)
    first, second = 2 * shapes.sigma_x.log(), 2 * shapes.sigma_y.log()
    return torch.stack(
        (
            first * cos * cos + second * sin * sin,
            (first - second) * cos * sin,
            first * sin * sin + second * cos * cos,
        )
    )


def shapes_of_logarithms(logarithms: Tensor) -> KernelShapes:
    """Return the shapes of blurs from the logarithms (3, ...) of their covariances, see `logarithms`."""
    xx, xy, yy = logarithms.unbind()
    half, spread = (xx + yy) / 2, torch.hypot((xx - yy) / 2, xy)
    theta = torch.rad2deg(torch.atan2(2 * xy, xx - yy)) / 2
    return KernelShapes(((half + spread) / 2).exp(), ((half - spread) / 2).exp(), theta % 180)


def median_offsets(radius: int) -> list[int]:
    """Return the offsets of the rows, and of the columns, in a median: at most 9."""
    return sorted({round(step * radius / _SAMPLES) for step in range(-_SAMPLES, _SAMPLES + 1)})


def weighted_median(values: Tensor, weights: Tensor, radius: int) -> Tensor:
    """Return the weighted median of each plane around every inner pixel.

    It is the smallest value whose cumulative weight reaches half of the total. At most 9x9 evenly spread
    pixels within the radius count, so a large radius takes no longer.

    Args:
        values: (N, H + 2 radius, W + 2 radius).
        weights: (H + 2 radius, W + 2 radius), at least 0; 0 outside the image.
        radius: pixels to each side.

    Returns:
        (N, H, W).
    """
    height, width = (side - 2 * radius for side in values.shape[-2:])
    parts = [
        (slice(radius + dy, radius + dy + height), slice(radius + dx, radius + dx + width))
        for dy in median_offsets(radius)
        for dx in median_offsets(radius)
    ]
    around = torch.stack([values[:, rows, columns] for rows, columns in parts], dim=-1)
    weight = torch.stack([weights[rows, columns] for rows, columns in parts], dim=-1).expand_as(around)
    around, order = around.sort(dim=-1)
    reached = weight.gather(-1, order).cumsum(dim=-1)
    middle = (reached >= reached[..., -1:] / 2).int().argmax(dim=-1, keepdim=True)
    return around.gather(-1, middle)[..., 0]
