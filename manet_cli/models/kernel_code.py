"""Kernel codes: a blur kernel as a few coefficients of a linear basis.

A restorer needs the basis that it was trained with (signs and rotations of principal components are
arbitrary), so the basis is stored with the weights and never recomputed.
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
        # A 1x1 convolution builds no intermediate product.
        with torch.autocast(kernel_map.device.type, enabled=False):
            return nn.functional.conv2d(kernel_map.float(), self.basis.t()[:, :, None, None])

    def of_kernel(self, kernel: Tensor) -> Tensor:
        """Return the code of one kernel per image, (B, k, k) -> (B, L, 1, 1)."""
        return (kernel.flatten(1).float() @ self.basis)[:, :, None, None]


def interpolated_codes(codes: Tensor, stride: int) -> Tensor:
    """Interpolate codes bilinearly to every pixel.

    Args:
        codes: (B, L, h, w), codes of every ``stride``-th pixel of every ``stride``-th row, from the first on.
        stride: distance of these pixels.

    Returns:
        (B, L, stride * h, stride * w). The last row and column are repeated beyond the grid. Each value
        depends only on the nearest codes, so a crop of an image has the same codes as the whole.
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

    A code holds only the part of a kernel in the span of the basis. The rest is nearly the same for all
    kernels of a picture, so one offset restores it.

    Attributes:
        inverse: (L, k*k), the pseudo-inverse of the basis (for orthonormal columns, the transpose).
        offset: (k*k,), added to every kernel.
    """

    inverse: Tensor
    offset: Tensor

    @classmethod
    def with_offset(cls, basis: Tensor, offset: Tensor) -> KernelDecoder:
        """Return the decoder of a basis (k*k, L) with a known offset (k*k,)."""
        return cls(torch.linalg.pinv(_exact(basis)), _exact(offset))

    @classmethod
    def around_mean(cls, basis: Tensor, mean: Tensor) -> KernelDecoder:
        """Return the decoder of a basis (k*k, L) that decodes the mean kernel (k*k,) exactly."""
        basis, mean = _exact(basis), _exact(mean)
        inverse = torch.linalg.pinv(basis)
        return cls(inverse, mean - mean @ basis @ inverse)

    def __call__(self, codes: Tensor) -> Tensor:
        """Decode codes (..., L) to kernels (..., k*k) in float64; some values may be below 0."""
        return codes @ self.inverse + self.offset


def _exact(tensor: Tensor) -> Tensor:
    return tensor.cpu().double()  # in this order: some devices lack float64
