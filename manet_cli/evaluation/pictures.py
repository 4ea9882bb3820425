"""Pictures for the published protocol (8-bit RGB without transparency) and for the engine."""

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

    Grey is repeated into three channels; a fully opaque alpha channel is dropped.

    Args:
        photo: the picture.
        name: name of the picture in messages.

    Raises:
        InputError: the picture has transparent pixels or 16 bits per channel; the protocol has neither.
    """
    if photo.pixels.dtype.itemsize > 1:
        raise InputError(
            f"{name} has 16 bits per channel, but test images are made and measured with 8: "
            "convert it to 8 bits first"
        )
    if photo.alpha is not None and int(photo.alpha.min()) < _OPAQUE:
        raise InputError(
            f"{name} has transparent pixels, but test images are opaque: flatten it onto a background first"
        )
    pixels = torch.from_numpy(np.ascontiguousarray(to_float(photo.pixels)))
    return pixels.permute(2, 0, 1)[None].expand(1, 3, -1, -1).contiguous()
