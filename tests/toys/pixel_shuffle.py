"""A toy restorer, steered by the kernel code. A new restorer needs only this file and its entry."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from manet_cli.models.restorer import Restorer, RestorerConfig, RestorerKind
from manet_cli.models.tiling_facts import Footprint


@dataclass(frozen=True)
class PixelShuffleConfig(RestorerConfig):
    features: int = 12


class PixelShuffle(Restorer):
    config: PixelShuffleConfig

    def __init__(self, config: PixelShuffleConfig) -> None:
        super().__init__()
        self.config = config
        self.begin = nn.Conv2d(3, config.features, 3, padding=1)
        self.steer = nn.Conv2d(config.code_length, config.features, 1)
        self.end = nn.Conv2d(config.features, 3 * config.scale**2, 3, padding=1)

    @property
    def footprint(self) -> Footprint:
        return Footprint(scale=self.config.scale, size_multiple=1, radius=3, practical_radius=3)

    def set_precision(self, precision: torch.dtype) -> None:
        """Stay in float32: the network is tiny."""

    def forward(self, lr: Tensor, code: Tensor) -> Tensor:
        with torch.autocast(lr.device.type, enabled=False):
            features = torch.relu(self.begin(lr) + self.steer(code.float()))
            details = F.pixel_shuffle(self.end(features), self.config.scale)
            return details + F.interpolate(lr, scale_factor=self.config.scale, mode="nearest")


def config_of(tensors: Mapping[str, Tensor], code_length: int) -> PixelShuffleConfig:
    return PixelShuffleConfig(
        scale=math.isqrt(tensors["end.weight"].shape[0] // 3),
        code_length=code_length,
        features=tensors["begin.weight"].shape[0],
    )


def published_layers() -> Iterator[tuple[str, str]]:
    return iter(())


def initialize(restorer: PixelShuffle) -> None:
    """Initialise as plain enlargement."""
    nn.init.zeros_(restorer.end.weight)
    nn.init.zeros_(restorer.get_parameter("end.bias"))


PIXEL_SHUFFLE = RestorerKind(
    id="pixel-shuffle",
    config=PixelShuffleConfig,
    build=PixelShuffle,
    signature="steer.weight",
    config_of=config_of,
    published=published_layers,
    initialize=initialize,
)
