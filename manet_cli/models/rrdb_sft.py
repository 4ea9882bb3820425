"""RRDB-SFT: super-resolution of an image whose blur kernels are known.

Source: the MANet paper's supplement, section 2 (blocks of ESRGAN, arXiv 1809.00219, steered by spatial
feature transforms, arXiv 1804.02815), in the setting of the published weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from manet_cli.models.precision import autocast_dtype
from manet_cli.models.tiling_facts import Footprint

__all__ = ["RRDBSFT", "DenseBlock", "FeatureTransform", "RRDBSFTConfig"]

_SLOPE = 0.2
_RESIDUAL = 0.2


@dataclass(frozen=True)
class RRDBSFTConfig:
    """Shape of a restorer; the defaults are the published setting (8,086,256 parameters at x4).

    Attributes:
        scale: HR pixels per LR pixel along a side.
        features: channels of the residual stream.
        blocks: number of residual-in-residual blocks.
        growth: channels that each dense convolution adds.
        transform_width: hidden channels of the feature transforms.
        code_length: kernel code coefficients per pixel.
    """

    scale: int = 4
    features: int = 64
    blocks: int = 10
    growth: int = 32
    transform_width: int = 32
    code_length: int = 15


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


class DenseBlock(nn.Module):
    """Five densely connected 3x3 convolutions with a scaled residual, (B, C, H, W) both ways."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(features + i * growth, growth if i < 4 else features, 3, padding=1) for i in range(5)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features + 0.2 * (the dense convolutions of features)."""
        stack = features
        for conv in self.convs[:-1]:
            stack = torch.cat([stack, F.leaky_relu_(conv(stack), _SLOPE)], dim=1)
        return torch.add(features, self.convs[-1](stack), alpha=_RESIDUAL)


class SteeredBlock(nn.Module):
    """Residual-in-residual dense blocks behind a feature transform, (B, C, H, W) both ways."""

    def __init__(self, config: RRDBSFTConfig) -> None:
        super().__init__()
        self.transform = FeatureTransform(config.features, config.code_length, config.transform_width)
        self.dense = nn.ModuleList(DenseBlock(config.features, config.growth) for _ in range(3))

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        """Return features + 0.2 * (the dense blocks of the transformed features).

        ``features`` may have a finer number format than ``code``, which is the one computed in.
        """
        inner = self.transform(features.to(code.dtype), code)
        for dense in self.dense:
            inner = dense(inner)
        return torch.add(features, inner, alpha=_RESIDUAL)


class RRDBSFT(nn.Module):
    """The restorer: LR image (B, 3, H, W) and kernel codes (B, L, H, W) -> SR image (B, 3, s*H, s*W).

    Images are RGB in [0, 1]; the output is not clamped. It is painted (s - 1) HR pixels up and to the left of
    where plain upscaling puts the same content, because the published kernels are placed so.
    """

    def __init__(self, config: RRDBSFTConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or RRDBSFTConfig()
        self.head = nn.Conv2d(3, config.features, 3, padding=1)
        self.blocks = nn.ModuleList(SteeredBlock(config) for _ in range(config.blocks))
        self.trunk = nn.Conv2d(config.features, config.features, 3, padding=1)
        self.tail = nn.Conv2d(config.features, 3 * config.scale**2, 3, padding=1)

    @property
    def footprint(self) -> Footprint:
        """What a tiler must know: per block 15 dense and 2 transform convolutions, and 3 around them."""
        blocks = self.config.blocks
        return Footprint(
            scale=self.config.scale, size_multiple=1, radius=17 * blocks + 3, practical_radius=3 * blocks + 1
        )

    def set_precision(self, precision: torch.dtype) -> None:
        """Compute the blocks in ``precision``; the stream between them and both ends stay in float32.

        Rounding the stream or the output to bfloat16 would show in the image (a level or two of 255).
        """
        self.blocks.to(precision)
        self.trunk.to(precision)

    def forward(self, lr: Tensor, code: Tensor) -> Tensor:
        """Super-resolve ``lr`` (float32) with the codes of its pixels' kernels; the result is float32.

        Under autocast the stream between the blocks and both ends stay in float32 too.
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
