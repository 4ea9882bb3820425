"""RRDB-SFT: super-resolution of an image with known blur kernels.

Source: the MANet paper's supplement, section 2 (blocks of ESRGAN, arXiv 1809.00219, steered by spatial
feature transforms, arXiv 1804.02815), in the setting of the published weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from manet_cli.errors import WeightsError
from manet_cli.models.int8 import Int8Block
from manet_cli.models.precision import autocast_dtype
from manet_cli.models.restorer import Restorer, RestorerConfig
from manet_cli.models.tiling_facts import Footprint

__all__ = [
    "RRDBSFT",
    "DenseBlock",
    "FeatureTransform",
    "RRDBSFTConfig",
    "initialize",
    "published_layers",
    "rrdb_sft_config",
]

_SLOPE = 0.2
_RESIDUAL = 0.2
_MOST_BLOCKS = 64
_DENSE_FACTOR = 0.1


@dataclass(frozen=True)
class RRDBSFTConfig(RestorerConfig):
    """Shape of a restorer; the defaults are the published setting (8,086,256 parameters at x4).

    Attributes:
        features: channels of the residual stream.
        blocks: number of residual-in-residual blocks.
        growth: channels that each dense convolution adds.
        transform_width: hidden channels of the feature transforms.
    """

    features: int = 64
    blocks: int = 10
    growth: int = 32
    transform_width: int = 32


class FeatureTransform(nn.Module):
    """Scales and shifts features by a map computed from themselves and the kernel codes (SFT).

    features (B, C, H, W), code (B, L, H, W) -> (B, C, H, W).
    """

    def __init__(self, features: int, code_length: int, width: int) -> None:
        super().__init__()
        self.scale_hidden = nn.Conv2d(features + code_length, width, 3, padding=1)
        self.scale = nn.Conv2d(width, features, 3, padding=1)
        self.shift_hidden = nn.Conv2d(features + code_length, width, 3, padding=1)
        self.shift = nn.Conv2d(width, features, 3, padding=1)

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        """Return the transformed features, same shape as ``features``."""
        both = torch.cat([features, code], dim=1)
        scale = self.scale(F.leaky_relu_(self.scale_hidden(both), _SLOPE))
        shift = self.shift(F.leaky_relu_(self.shift_hidden(both), _SLOPE))
        return torch.addcmul(shift, features, torch.sigmoid_(scale))


class DenseBlock(Int8Block):
    """Five densely connected 3x3 convolutions with a scaled residual, (B, C, H, W) both ways."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(features + i * growth, growth if i < 4 else features, 3, padding=1) for i in range(5)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features + 0.2 * (the dense convolutions of features)."""
        stack = self.rounded(features)
        *convs, last = self.convs
        for conv in convs:
            grown = self.rounded(F.leaky_relu_(self.convolve(conv, stack), _SLOPE))
            stack = torch.cat([stack, grown], dim=1)
        return torch.add(features, self.convolve(last, stack).to(features.dtype), alpha=_RESIDUAL)


class SteeredBlock(nn.Module):
    """A feature transform, then residual-in-residual dense blocks, (B, C, H, W) both ways."""

    def __init__(self, config: RRDBSFTConfig) -> None:
        super().__init__()
        self.transform = FeatureTransform(config.features, config.code_length, config.transform_width)
        self.dense = nn.ModuleList(DenseBlock(config.features, config.growth) for _ in range(3))

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        """Return features + 0.2 * (the dense blocks of the transformed features).

        Computes in the number format of ``code``; ``features`` may have higher precision.
        """
        inner = self.transform(features.to(code.dtype), code)
        for dense in self.dense:
            inner = dense(inner)
        return torch.add(features, inner, alpha=_RESIDUAL)


class RRDBSFT(Restorer):
    """The published restorer; see `Restorer` for input and output."""

    config: RRDBSFTConfig

    def __init__(self, config: RRDBSFTConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or RRDBSFTConfig()
        self.head = nn.Conv2d(3, config.features, 3, padding=1)
        self.blocks = nn.ModuleList(SteeredBlock(config) for _ in range(config.blocks))
        self.trunk = nn.Conv2d(config.features, config.features, 3, padding=1)
        self.tail = nn.Conv2d(config.features, 3 * config.scale**2, 3, padding=1)

    @property
    def footprint(self) -> Footprint:
        """Facts for tiling: 15 dense and 2 transform convolutions per block, and 3 around the blocks."""
        blocks = self.config.blocks
        return Footprint(
            scale=self.config.scale, size_multiple=1, radius=17 * blocks + 3, practical_radius=3 * blocks + 1
        )

    def set_precision(self, precision: torch.dtype) -> None:
        """Compute the blocks in ``precision``; the residual stream, the head and the tail stay in float32.

        Rounding the stream or the output to bfloat16 changes the image by one or two levels of 255.
        """
        self.blocks.to(precision)
        self.trunk.to(precision)

    def forward(self, lr: Tensor, code: Tensor) -> Tensor:
        """Super-resolve ``lr`` (float32) with the codes of its pixels' kernels; the result is float32.

        The residual stream, the head and the tail stay in float32 under autocast too.
        """
        code = code.to(autocast_dtype(lr.device, self.trunk.weight.dtype))
        with torch.autocast(lr.device.type, enabled=False):
            shallow = self.head(lr)
        features = shallow
        for block in self.blocks:
            features = block(features, code)
        features = self.trunk(features.to(code.dtype)) + shallow
        with torch.autocast(lr.device.type, enabled=False):
            return F.pixel_shuffle(self.tail(features), self.config.scale)


def rrdb_sft_config(tensors: Mapping[str, Tensor], code_length: int) -> RRDBSFTConfig:
    """Infer the shape of a network from its tensors; errors as in `RestorerKind`."""
    blocks = 0
    while f"blocks.{blocks}.transform.scale.weight" in tensors:
        blocks += 1
    if blocks > _MOST_BLOCKS:
        raise WeightsError(f"its restorer has {blocks} blocks; at most {_MOST_BLOCKS} are supported.")
    transform = tensors["blocks.0.transform.scale.weight"]
    return RRDBSFTConfig(
        scale=math.isqrt(tensors["tail.weight"].shape[0] // 3),
        features=tensors["head.weight"].shape[0],
        blocks=blocks,
        growth=tensors["blocks.0.dense.0.convs.0.weight"].shape[0],
        transform_width=transform.shape[1],
        code_length=code_length,
    )


def published_layers() -> Iterator[tuple[str, str]]:
    """Yield our name and the published name of each layer of the largest network."""
    yield from (("head", "conv_first"), ("trunk", "trunk_conv"), ("tail", "upsampler.0"))
    transform = (
        ("scale_hidden", "mul_conv1"),
        ("scale", "mul_conv2"),
        ("shift_hidden", "add_conv1"),
        ("shift", "add_conv2"),
    )
    for block in range(_MOST_BLOCKS):
        for ours, published in transform:
            yield f"blocks.{block}.transform.{ours}", f"RRDB_trunk.{block}.SFT.{published}"
        for dense in range(3):
            for conv in range(5):
                yield (
                    f"blocks.{block}.dense.{dense}.convs.{conv}",
                    f"RRDB_trunk.{block}.RDB{dense + 1}.conv{conv + 1}",
                )


def initialize(restorer: RRDBSFT) -> None:
    """Initialise the dense blocks in place, as the published code: Kaiming normal times 0.1, zero biases."""
    for block in restorer.modules():
        if isinstance(block, DenseBlock):
            for conv in block.convs:
                assert isinstance(conv, nn.Conv2d)
                nn.init.kaiming_normal_(conv.weight)
                with torch.no_grad():
                    conv.weight.mul_(_DENSE_FACTOR)
                if conv.bias is not None:
                    nn.init.zeros_(conv.bias)
