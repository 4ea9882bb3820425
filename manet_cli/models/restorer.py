"""The base class of restorers, and the entries of the list `RESTORERS`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from manet_cli.models.tiling_facts import Footprint

__all__ = ["Restorer", "RestorerConfig", "RestorerKind"]


@dataclass(frozen=True)
class RestorerConfig:
    """Shape of a restorer; an architecture adds its fields.

    Attributes:
        scale: HR pixels per LR pixel along a side.
        code_length: kernel code coefficients per pixel.
    """

    scale: int = 4
    code_length: int = 15


class Restorer(nn.Module, ABC):
    """LR image (B, 3, H, W) and kernel codes (B, L, H, W) -> SR image (B, 3, s*H, s*W).

    Images are RGB in [0, 1]; the output is not clamped. Compared with plain upscaling, its content is shifted
    (s - 1) HR pixels up and left, because of the published kernel placement.

    Attributes:
        config: shape of the network.
    """

    config: RestorerConfig

    @property
    @abstractmethod
    def footprint(self) -> Footprint:
        """Facts for tiling."""

    @abstractmethod
    def set_precision(self, precision: torch.dtype) -> None:
        """Compute in ``precision`` where this does not harm the image."""

    @abstractmethod
    def forward(self, lr: Tensor, code: Tensor) -> Tensor:
        """Super-resolve ``lr`` (float32) with the codes of its pixels' kernels; the result is float32."""


@dataclass(frozen=True)
class RestorerKind:
    """An entry of the list `RESTORERS`.

    Attributes:
        id: name in recipes and in ``manet weights show``.
        config: class of its shape; the defaults are the full size.
        build: makes a network from its shape.
        signature: name of a tensor that every network of this kind has and no other kind has.
        config_of: infers the shape from a state dict and the code length. Raises KeyError for a missing
            tensor, IndexError or ZeroDivisionError for an impossible shape, and `WeightsError` for an
            unsupported size.
        published: yields our name and the published name of each layer of the largest network; empty for an
            unpublished architecture.
        initialize: initialises a new network for training, in place.
    """

    id: str
    config: type[RestorerConfig]
    build: Callable[[Any], Restorer]
    signature: str
    config_of: Callable[[Mapping[str, Tensor], int], RestorerConfig]
    published: Callable[[], Iterator[tuple[str, str]]]
    initialize: Callable[[Any], None]
