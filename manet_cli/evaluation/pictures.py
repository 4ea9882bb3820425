"""Pictures as the published protocol takes them (8-bit RGB without transparency) and as the engine does."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from manet_cli.errors import InputError
from manet_cli.images import Photo, to_float

__all__ = ["ImageRows", "hr_tensor"]

_OPAQUE = 255


class ImageRows:
    """An LR image (1, 3, H, W) as an engine's input (`inference.LowResolution`)."""

    layers = 1

    def __init__(self, image: Tensor) -> None:
        self._image = image
        self.height, self.width = int(image.shape[2]), int(image.shape[3])

    def rows(self, start: int, stop: int) -> Tensor:
        """Return rows [start, stop)."""
        return self._image[:, :, start:stop]


def hr_tensor(photo: Photo, name: str) -> Tensor:
    """Return a photo as an HR image (1, 3, H, W), float32 on multiples of 1/255 in [0, 1].

    Grey is repeated into three channels; transparency that hides nothing is dropped.

    Args:
        photo: the picture.
        name: what messages call it.

    Raises:
        InputError: it is transparent somewhere or has 16 bits per channel, which the protocol knows nothing
            of.
    """
    if photo.pixels.dtype.itemsize > 1:
        raise InputError(
            f"{name} has 16 bits per channel, but test images are made and measured with 8: "
            "convert it to 8 bits first"
        )
    if photo.alpha is not None and int(photo.alpha.min()) < _OPAQUE:
        raise InputError(
            f"{name} is transparent somewhere, and there is no blur of what is not there: "
            "flatten it onto a background first"
        )
    pixels = torch.from_numpy(np.ascontiguousarray(to_float(photo.pixels)))
    return pixels.permute(2, 0, 1)[None].expand(1, 3, -1, -1).contiguous()
