"""Blocks whose convolutions can compute in int8.

A block is told the range of the values that its convolutions are given; until then it computes as always.
With a range it rounds them to 256 levels and each output channel's weights to 255. A runtime recognises this
and computes in int8. PyTorch computes with the rounded values in floating point, so results are nearly equal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Int8Block", "Range", "int8_blocks"]

Range = tuple[float, float]
"""Least and largest value; 0 lies within."""

_ACTIVATIONS = 255
_WEIGHTS = 127
_LEAST = 1e-8  # of a step, where all values are 0


class Int8Block(nn.Module):
    """A block that convolves what it has passed through `rounded`.

    Attributes:
        input_range: of the values; None to round nothing.
    """

    input_range: Range | None = None

    def rounded(self, values: Tensor) -> Tensor:
        """Return values in float32, rounded to 256 levels within the range; those beyond become its ends."""
        if self.input_range is None:
            return values
        low, high = self.input_range
        step = max((high - low) / _ACTIVATIONS, _LEAST)
        # OpenVINO takes no rounding in half precision.
        return torch.fake_quantize_per_tensor_affine(
            values.float(), step, round(-low / step), 0, _ACTIVATIONS
        )

    def convolve(self, conv: nn.Module, values: Tensor) -> Tensor:
        """Return what an `nn.Conv2d` makes of rounded values, with weights rounded as well, in float32."""
        if self.input_range is None:
            result: Tensor = conv(values)
            return result
        assert isinstance(conv, nn.Conv2d)
        weight, bias = conv.weight.float(), None if conv.bias is None else conv.bias.float()
        steps = weight.detach().abs().amax((1, 2, 3)).clamp_min(_LEAST) / _WEIGHTS
        zeros = torch.zeros(len(steps), dtype=torch.int32, device=steps.device)
        weight = torch.fake_quantize_per_channel_affine(weight, steps, zeros, 0, -_WEIGHTS, _WEIGHTS)
        return F.conv2d(values, weight, bias, conv.stride, conv.padding)


def int8_blocks(network: nn.Module) -> dict[str, Int8Block]:
    """Return the blocks of a network by their names in it."""
    return {name: block for name, block in network.named_modules() if isinstance(block, Int8Block)}
