"""Stages `sr` and `finetune`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from manet_cli.models import KernelCode, MANet, Restorer
from manet_cli.training.discriminator import Discriminator
from manet_cli.training.losses import Losses

__all__ = ["RestorerStage"]


class RestorerStage(nn.Module):
    """Compare restored with sharp images; the restorer gets true or estimated kernels."""

    def __init__(self, restorer: Restorer, code: KernelCode, estimator: MANet | None) -> None:
        super().__init__()
        self.discriminator: Discriminator | None = None
        self.network = restorer
        self.code = code
        # In a tuple, so that it is not a submodule and is not trained, averaged or distributed.
        self._estimator = (estimator,)

    def forward(
        self, lr: Tensor, hr: Tensor, kernels: Tensor, second: Tensor | None, true_kernel: Tensor
    ) -> Losses:
        """Return the loss of a batch, L1 on images.

        Args:
            lr: (B, 3, h, w).
            hr: (B, 3, s*h, s*w).
            kernels: (B, 2, k*k).
            second: (B, h, w) bool, the LR pixels where the second kernel is the true one; None for nowhere.
            true_kernel: (B,) bool, whether to use the true kernel instead of the estimate.
        """
        return {"loss": F.l1_loss(self.network(lr, self.codes(lr, kernels, second, true_kernel)), hr)}

    def codes(self, lr: Tensor, kernels: Tensor, second: Tensor | None, true_kernel: Tensor) -> Tensor:
        """Return the kernel codes for the restorer: (B, L, h, w)."""
        code = self._true_code(lr, kernels, second)
        estimator = self._estimator[0]
        if estimator is None:
            return code
        with torch.no_grad():
            estimated = self.code(estimator(lr))
        return torch.where(true_kernel[:, None, None, None], code, estimated)

    def _true_code(self, lr: Tensor, kernels: Tensor, second: Tensor | None) -> Tensor:
        with torch.autocast(kernels.device.type, enabled=False):
            codes = (kernels @ self.code.basis)[..., None, None]
        if second is None:
            return codes[:, 0].expand(-1, -1, *lr.shape[-2:])
        return torch.where(second[:, None], codes[:, 1], codes[:, 0])
