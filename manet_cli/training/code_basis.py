"""The basis of kernel codes: principal components of the training kernels of a scale.

Source: the MANet paper's supplement, section 2: 150,000 kernels, mean removed, the first 15 components.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from manet_cli.degradations.gaussian import KERNEL_SIZE, sample_kernels

__all__ = ["CodeBasis", "compute_code_basis"]

_CHUNK = 10_000


@dataclass(frozen=True)
class CodeBasis:
    """Principal components.

    Attributes:
        basis: (k * k, L) float32, orthonormal columns; the largest value of each is positive.
        explained: explained share of the kernels' variance, 0 to 1.
    """

    basis: Tensor
    explained: float


def compute_code_basis(scale: int, *, length: int = 15, kernels: int = 150_000, seed: int = 0) -> CodeBasis:
    """Make the basis of a scale from random training kernels; the same arguments give the same basis.

    Args:
        scale: 2, 3 or 4.
        length: number of components.
        kernels: number of random kernels.
        seed: random seed.
    """
    generator = torch.Generator().manual_seed(seed)
    size = KERNEL_SIZE**2
    total, products = torch.zeros(size, dtype=torch.float64), torch.zeros(size, size, dtype=torch.float64)
    for start in range(0, kernels, _CHUNK):
        drawn, _ = sample_kernels(min(_CHUNK, kernels - start), scale, generator, dtype=torch.float64)
        flat = drawn.flatten(1)
        total += flat.sum(dim=0)
        products += flat.T @ flat
    mean = total / kernels
    variances, vectors = torch.linalg.eigh(products / kernels - torch.outer(mean, mean))
    basis = vectors.flip(1)[:, :length]
    # An eigenvector's sign is arbitrary; this choice is the same on all machines.
    largest = basis.gather(0, basis.abs().argmax(dim=0, keepdim=True))
    explained = float(variances.flip(0)[:length].sum() / variances.sum())
    return CodeBasis((basis * largest.sign()).float(), explained)
