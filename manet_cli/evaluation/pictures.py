"""HR pictures as the published protocol takes them: 8-bit RGB without transparency."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from manet_cli.errors import InputError, OutOfMemoryError
from manet_cli.images import Photo, to_float
from manet_cli.inference.memory import is_out_of_memory

__all__ = ["hr_tensor", "memory_reported"]

_OPAQUE = 255


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


@contextmanager
def memory_reported(name: str) -> Iterator[None]:
    """Turn running out of memory over the picture called ``name`` into an `OutOfMemoryError`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"{name} does not fit in memory: close other programs or cut the picture into smaller ones"
        ) from error
