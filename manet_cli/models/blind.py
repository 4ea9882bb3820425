"""Both networks together: from an image to its kernels and a sharp image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from manet_cli.models.kernel_code import KernelCode
from manet_cli.models.manet import MANet, MANetConfig
from manet_cli.models.restorer import Restorer, RestorerConfig
from manet_cli.models.restorers import build_restorer

__all__ = ["BlindConfig", "BlindModel"]


@dataclass(frozen=True)
class BlindConfig:
    """Shapes of the networks in a set of weights; None for a missing network.

    Attributes:
        estimator: shape of the kernel estimator.
        restorer: shape of the restorer; its kernel code basis always comes with it.
    """

    estimator: MANetConfig | None
    restorer: RestorerConfig | None

    @property
    def kernel_size(self) -> int:
        """Side of the kernels, in HR pixels."""
        return self.estimator.kernel_size if self.estimator else MANetConfig().kernel_size


class BlindModel(nn.Module):
    """Estimator, kernel code and restorer; each may be missing, as in some of the published weights.

    lr (B, 3, H, W) in [0, 1] -> kernels (B, k*k, H, W), sr (B, 3, s*H, s*W).
    """

    estimator: MANet | None
    kernel_code: KernelCode | None
    restorer: Restorer | None

    def __init__(self, config: BlindConfig) -> None:
        super().__init__()
        self.config = config
        self.estimator = MANet(config.estimator) if config.estimator else None
        self.restorer = build_restorer(config.restorer) if config.restorer else None
        self.kernel_code = (
            KernelCode(config.kernel_size, config.restorer.code_length) if config.restorer else None
        )

    def set_precision(self, precision: torch.dtype) -> None:
        """Compute in ``precision`` (float32, bfloat16 or float16) where this does not harm the result."""
        for network in (self.estimator, self.restorer):
            if network is not None:
                network.set_precision(precision)

    def forward(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the kernels and super-resolve with them, without tiles or registration.

        Returns:
            kernels (B, k*k, H, W) in float32, and sr (B, 3, s*H, s*W), not clamped.
        """
        if self.estimator is None or self.restorer is None or self.kernel_code is None:
            raise TypeError("a blind forward needs an estimator and a restorer")
        kernels = self.estimator(lr)
        return kernels, self.restorer(lr, self.kernel_code(kernels))
