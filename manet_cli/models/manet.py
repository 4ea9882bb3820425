"""MANet: one blur kernel for every pixel of a low-resolution image.

Source: Liang et al., "Mutual Affine Network for Spatially Variant Kernel Estimation in Blind Image
Super-Resolution", ICCV 2021 (arXiv 2108.05302), section 3.3, in the setting of the published weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from manet_cli.models.int8 import Int8Block
from manet_cli.models.precision import autocast_dtype
from manet_cli.models.tiling_facts import Footprint

__all__ = ["MANet", "MANetConfig", "MutualAffineBlock", "MutualAffineConv"]


@dataclass(frozen=True)
class MANetConfig:
    """Shape of an estimator; the defaults are the published setting (1,810,361 parameters).

    Attributes:
        kernel_size: side of the estimated kernels in HR pixels.
        channels: feature channels at full and at half LR resolution.
        split: number of channel groups in a mutual affine convolution.
        reduction: input channels per channel of its 1x1 bottleneck.
    """

    kernel_size: int = 21
    channels: tuple[int, int] = (128, 256)
    split: int = 2
    reduction: int = 2


class MutualAffineConv(Int8Block):
    """Scales and shifts each channel group by maps computed from the other groups, then convolves it.

    (B, C, H, W) -> (B, C, H, W); each group has C / split channels.
    """

    def __init__(self, channels: int, split: int, reduction: int) -> None:
        super().__init__()
        group = channels // split
        others = channels - group
        self.split = split
        self.affine = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(others, others // reduction, 1),
                nn.ReLU(inplace=True),
                nn.Conv2d(others // reduction, 2 * group, 1),
            )
            for _ in range(split)
        )
        self.convs = nn.ModuleList(nn.Conv2d(group, group, 3, padding=1) for _ in range(split))

    def forward(self, features: Tensor) -> Tensor:
        """Return the convolved features, same shape as ``features``."""
        groups = features.chunk(self.split, dim=1)
        outputs = []
        for i, (affine, conv) in enumerate(zip(self.affine, self.convs, strict=True)):
            others = torch.cat([*groups[:i], *groups[i + 1 :]], dim=1) if self.split > 2 else groups[1 - i]
            scale, shift = affine(others).chunk(2, dim=1)
            steered = groups[i] * torch.sigmoid(scale) + shift
            outputs.append(self.convolve(conv, self.rounded(steered)))
        return torch.cat(outputs, dim=1)


class MutualAffineBlock(nn.Module):
    """Residual pair of mutual affine convolutions: x + conv(ReLU(conv(x))), (B, C, H, W) both ways."""

    def __init__(self, channels: int, split: int, reduction: int) -> None:
        super().__init__()
        self.first = MutualAffineConv(channels, split, reduction)
        self.second = MutualAffineConv(channels, split, reduction)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        output: Tensor = features + self.second(torch.relu_(self.first(features)))
        return output


class MANet(nn.Module):
    """The kernel estimator: LR image (B, 3, H, W) in [0, 1] -> kernels (B, k*k, H, W).

    Each pixel's k*k values (row-major, published placement) are positive and sum to 1. The map has LR size;
    the paper's HR-size map repeats each kernel scale x scale times and is not needed.
    """

    #: Sides of the input are padded to multiples of this; tiles must start and end on multiples of it.
    size_multiple = 8

    def __init__(self, config: MANetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MANetConfig()
        low, high = config.channels

        def block(channels: int) -> MutualAffineBlock:
            return MutualAffineBlock(channels, config.split, config.reduction)

        self.head = nn.Conv2d(3, low, 3, padding=1)
        self.down_block = block(low)
        self.down_conv = nn.Conv2d(low, high, 2, stride=2)
        self.body = block(high)
        self.up_conv = nn.ConvTranspose2d(high, low, 2, stride=2)
        self.up_block = block(low)
        self.tail = nn.Conv2d(low, config.kernel_size**2, 3, padding=1)

    @property
    def footprint(self) -> Footprint:
        """Facts for tiling. A pixel's kernel depends on at most 11 LR pixels to each side."""
        return Footprint(scale=1, size_multiple=self.size_multiple, radius=11, practical_radius=11)

    def set_precision(self, precision: torch.dtype) -> None:
        """Compute in ``precision``, except the softmax: half precision would lose the kernels' tails."""
        self.to(precision)

    def forward(self, lr: Tensor) -> Tensor:
        """Estimate the kernels of ``lr`` (B, 3, H, W), any H and W: (B, k*k, H, W) in float32."""
        height, width = lr.shape[-2:]
        return self.kernels_of_padded(self.pad(lr))[..., :height, :width]

    def pad(self, lr: Tensor) -> Tensor:
        """Pad (B, 3, H, W) at the bottom and the right, repeating the edge, to multiples of 8."""
        height, width = lr.shape[-2:]
        multiple = self.size_multiple
        return F.pad(lr, (0, -width % multiple, 0, -height % multiple), mode="replicate")

    def kernels_of_padded(self, lr: Tensor) -> Tensor:
        """Estimate the kernels of an image whose sides are multiples of 8, without padding."""
        return self.kernels_of_features(self.features_of_padded(lr))

    def logits_of_padded(self, lr: Tensor) -> Tensor:
        """Return the logits (B, H, W, k*k) in float32; softmax over the last dimension gives the kernels."""
        return self._logits(self.features_of_padded(lr), 1)

    def features_of_padded(self, lr: Tensor) -> Tensor:
        """Return the features (B, C, H, W), the input of the last convolution.

        Under autocast the first convolution stays in float32: half precision would round the image.
        """
        with torch.autocast(lr.device.type, enabled=False):
            shallow = self.head(lr.to(self.head.weight.dtype))
        shallow = shallow.to(autocast_dtype(lr.device, shallow.dtype))
        deep = self.down_conv(self.down_block(shallow))
        features: Tensor = self.up_block(self.up_conv(self.body(deep) + deep)) + shallow
        return features

    def kernels_of_features(self, features: Tensor, stride: int = 1) -> Tensor:
        """Return the kernels of every ``stride``-th pixel: (B, k*k, H / stride, W / stride) in float32.

        Args:
            features: from `features_of_padded`.
            stride: a divisor of H and W.
        """
        return torch.softmax(self._logits(features, stride), dim=-1).permute(0, 3, 1, 2)

    def _logits(self, features: Tensor, stride: int) -> Tensor:
        tail = self.tail
        some = F.conv2d(features, tail.weight, tail.bias, stride, padding=1) if stride > 1 else tail(features)
        # Softmax over the last dimension is three times as fast, and channels-last memory needs no copy.
        return some.permute(0, 2, 3, 1).float()
