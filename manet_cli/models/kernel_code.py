"""Kernel codes: a blur kernel as a few coefficients of a linear basis.

A restorer understands only the basis it was trained with (signs and rotations of principal components are
arbitrary), so the basis is stored with the weights and never recomputed for them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["KernelCode"]


class KernelCode(nn.Module):
    """Projects kernels onto a stored basis: (B, k*k, H, W) -> (B, L, H, W), no mean subtraction."""

    basis: Tensor

    def __init__(self, kernel_size: int = 21, length: int = 15) -> None:
        super().__init__()
        self.register_buffer("basis", torch.zeros(kernel_size**2, length))

    def forward(self, kernel_map: Tensor) -> Tensor:
        """Return the codes of a kernel map (B, k*k, H, W) as (B, L, H, W) in float32."""
        # A 1x1 convolution: the product with every pixel's code is never built.
        with torch.autocast(kernel_map.device.type, enabled=False):
            return nn.functional.conv2d(kernel_map.float(), self.basis.t()[:, :, None, None])

    def of_kernel(self, kernel: Tensor) -> Tensor:
        """Return the code of one kernel per image, (B, k, k) -> (B, L, 1, 1), ready to be expanded."""
        return (kernel.flatten(1).float() @ self.basis)[:, :, None, None]
