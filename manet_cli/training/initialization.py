"""Initialisation of a new estimator; for a restorer, see its entry in `RESTORERS`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from manet_cli.models import MANet

__all__ = ["initialize_estimator"]

_AFFINE_DEVIATION, _TAIL_DEVIATION = 0.3, 0.5


def initialize_estimator(estimator: MANet, lr: Tensor) -> None:
    """Scale the layers one after another, so that each output has standard deviation 1 on a batch.

    With PyTorch's default, the estimate is the same kernel for every input for thousands of steps. Biases
    become zero, and the first convolution responds only to differences. For the layers that scale and shift
    features the standard deviation is 0.3, for the last layer 0.5.

    Args:
        estimator: a new estimator, in float32.
        lr: (B, 3, H, W) in [0, 1], H and W multiples of 8; photos, blurred as in training.
    """
    gentle = {id(layer[2]) for layer in estimator.modules() if isinstance(layer, nn.Sequential)}

    def scale(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        target = 1.0
        if id(layer) in gentle:
            target = _AFFINE_DEVIATION
        elif layer is estimator.tail:
            target = _TAIL_DEVIATION
        factor = target / float(output.std().clamp_min(1e-8))
        layer.get_parameter("weight").mul_(factor)
        # Without biases a layer is linear, so its output scales with its weights.
        return output * factor

    layers = [layer for layer in estimator.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    with torch.no_grad():
        for layer in layers:
            if layer.bias is not None:
                layer.bias.zero_()
        estimator.head.weight.sub_(estimator.head.weight.mean(dim=(1, 2, 3), keepdim=True))
        hooks = [layer.register_forward_hook(scale) for layer in layers]
        try:
            estimator.logits_of_padded(lr)
        finally:
            for hook in hooks:
                hook.remove()
