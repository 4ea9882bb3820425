"""Blocks whose convolutions can compute in int8.

A block may have an input range. With one, it rounds the inputs of its convolutions to 256 levels, and the
weights of each output channel to 255 levels. A runtime recognises this rounding and computes in int8. PyTorch
computes in floating point with the rounded values; the results are nearly equal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Int8Block", "Range", "int8_blocks"]

Range = tuple[float, float]
"""Smallest and largest value; the range includes 0."""

_ACTIVATIONS = 255
_WEIGHTS = 127
_LEAST = 1e-8  # smallest step, for values that are all 0


class Int8Block(nn.Module):
    """A block that rounds the inputs of its convolutions with `rounded`, and convolves with `convolve`.

    Attributes:
        input_range: range of these inputs; None for no rounding.
    """

    input_range: Range | None = None

    def rounded(self, values: Tensor) -> Tensor:
        """Clamp values to the range and round them to 256 levels, in float32; without a range do nothing."""
        if self.input_range is None:
            return values
        low, high = self.input_range
        step = max((high - low) / _ACTIVATIONS, _LEAST)
        # OpenVINO does not accept rounding in half precision.
        return torch.fake_quantize_per_tensor_affine(
            values.float(), step, round(-low / step), 0, _ACTIVATIONS
        )

    def convolve(self, conv: nn.Module, values: Tensor) -> Tensor:
        """Apply an `nn.Conv2d` to rounded values, with rounded weights, in float32."""
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
    """Return the int8 blocks of a network by their module names."""
    return {name: block for name, block in network.named_modules() if isinstance(block, Int8Block)}
