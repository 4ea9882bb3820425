"""Smoothing by a small Gaussian."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["gaussian_weights", "smooth", "smoothing_radius"]


def smoothing_radius(sigma: float) -> int:
    """Return the pixels that `smooth` reads to each side: three standard deviations."""
    return math.ceil(3 * sigma)


def gaussian_weights(sigma: float) -> Tensor:
    """Return (2 r + 1,) float64 weights that sum to 1; ``sigma`` is a standard deviation in pixels."""
    places = torch.arange(-smoothing_radius(sigma), smoothing_radius(sigma) + 1, dtype=torch.float64)
    weights = torch.exp(-(places**2) / (2 * sigma**2))
    return weights / weights.sum()


def smooth(image: Tensor, sigma: float) -> Tensor:
    """Smooth (B, C, H, W) channel by channel without padding: (B, C, H - 2 r, W - 2 r)."""
    weights = gaussian_weights(sigma).to(image)
    batch, channels, height, width = image.shape
    planes = image.reshape(batch * channels, 1, height, width)
    with torch.autocast(image.device.type, enabled=False):
        planes = F.conv2d(F.conv2d(planes, weights[None, None, :, None]), weights[None, None, None, :])
    return planes.reshape(batch, channels, *planes.shape[-2:])
