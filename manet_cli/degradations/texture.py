"""Local texture: where blur can be measured."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from manet_cli.degradations.validation import check_image

__all__ = ["FLAT_BELOW", "TEXTURE_MARGIN", "texture"]

FLAT_BELOW = 2.0
"""Texture below which an estimated kernel is unreliable (measured in docs/kernels.md)."""

_RADIUS = 4
TEXTURE_MARGIN = _RADIUS + 1
"""Pixels to each side that affect the texture of a pixel: a crop with this margin gives the same values."""

_LUMA = (0.299, 0.587, 0.114)


def texture(image: Tensor) -> Tensor:
    """Return the root mean square of the luma differences between neighbours, around every pixel.

    image: (B, 3, H, W) in [0, 1]. Returns (B, H, W) float32 in levels of 255: the mean over both directions
    and 9x9 pixels, with edge values repeated outside. It is 0 in constant areas, about 1.4 times the standard
    deviation in noise, and 10 or more at edges. Raises `UsageError` if the tensor is not an image.
    """
    check_image(image)
    luma = (image.float() * image.new_tensor(_LUMA, dtype=torch.float32)[:, None, None]).sum(dim=1) * 255
    outside = F.pad(luma[:, None], (0, 1, 0, 1), mode="replicate")[:, 0]
    right, below = outside[:, :-1, 1:] - luma, outside[:, 1:, :-1] - luma
    energy = (right * right + below * below)[:, None] / 2
    energy = F.pad(energy, (_RADIUS,) * 4, mode="replicate")
    return F.avg_pool2d(energy, 2 * _RADIUS + 1, stride=1)[:, 0].sqrt()
