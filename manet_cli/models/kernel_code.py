"""Kernel codes: a blur kernel as a few coefficients of a linear basis.

A restorer understands only the basis it was trained with (signs and rotations of principal components are
arbitrary), so the basis is stored with the weights and never recomputed for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["KernelCode", "KernelDecoder", "interpolated_codes"]


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


def interpolated_codes(codes: Tensor, stride: int) -> Tensor:
    """Interpolate codes bilinearly between the pixels that they are of.

    Args:
        codes: (B, L, h, w), of every ``stride``-th pixel of every ``stride``-th row, from the first on.
        stride: pixels from one to the next.

    Returns:
        (B, L, stride * h, stride * w). Beyond the last row and column these are repeated. Each value depends
        on the nearest codes alone, so that a part of an image has the codes of the whole.
    """
    if stride == 1:
        return codes
    height, width = (stride * side + 1 for side in codes.shape[-2:])
    closed = F.pad(codes, (0, 1, 0, 1), mode="replicate")
    found = F.interpolate(closed, size=(height, width), mode="bilinear", align_corners=True)
    return found[..., :-1, :-1]


@dataclass(frozen=True, eq=False)
class KernelDecoder:
    """Rebuilds kernels from their codes, in float64 on the CPU.

    A code holds only what the basis spans. The rest is much the same for all kernels of a picture, so one
    offset gives it back.

    Attributes:
        inverse: (L, k*k), the pseudo-inverse of the basis; of orthonormal columns their transpose.
        offset: (k*k,), added to every kernel.
    """

    inverse: Tensor
    offset: Tensor

    @classmethod
    def with_offset(cls, basis: Tensor, offset: Tensor) -> KernelDecoder:
        """Return the decoder of a basis (k*k, L) whose offset (k*k,) is known."""
        return cls(torch.linalg.pinv(_exact(basis)), _exact(offset))

    @classmethod
    def around_mean(cls, basis: Tensor, mean: Tensor) -> KernelDecoder:
        """Return the decoder of a basis (k*k, L) that rebuilds the mean kernel (k*k,) exactly."""
        basis, mean = _exact(basis), _exact(mean)
        inverse = torch.linalg.pinv(basis)
        return cls(inverse, mean - mean @ basis @ inverse)

    def __call__(self, codes: Tensor) -> Tensor:
        """Return kernels (..., k*k) of codes (..., L) in float64; some values may be below 0."""
        return codes @ self.inverse + self.offset


def _exact(tensor: Tensor) -> Tensor:
    return tensor.cpu().double()  # in this order: not every device knows float64
