"""Stage `manet`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from manet_cli.degradations.blur import apply_kernels
from manet_cli.degradations.gaussian import KERNEL_SIZE
from manet_cli.models import MANet
from manet_cli.training.losses import Losses

__all__ = ["EstimatorStage"]

_L1_FACTOR = 1e4
_DIVERGENCE_FACTOR = 10.0


class EstimatorStage(nn.Module):
    """Stage `manet`: compare estimated with true kernels, and reblurred with LR patches.

    Args:
        estimator: the network to train.
        reblur: weight of the reblurred patches' difference, see `LossRecipe`.
    """

    def __init__(self, estimator: MANet, reblur: float = 0.0) -> None:
        super().__init__()
        self.discriminator = None
        self.network = estimator
        self.reblur = reblur

    def forward(
        self, lr: Tensor, hr: Tensor, kernels: Tensor, second: Tensor | None, divergence: Tensor
    ) -> Losses:
        """Return the losses of a batch.

        Args:
            lr: (B, 3, h, w).
            hr: (B, 3, s*h, s*w); only used for `reblur`.
            kernels: (B, 2, k*k).
            second: (B, h, w) bool, the LR pixels where the second kernel is the true one; None for nowhere.
            divergence: weight of the Kullback-Leibler divergence, a scalar from 0 to 1; L1 has the rest.

        Returns:
            `loss`, and figures for the log:
            `l1`, the mean difference of kernel values x 1e4;
            `divergence` in nats;
            `reblur`, if it has a weight, the mean difference of the reblurred patches in levels of 255;
            `variation`, if there are several patches: the variance of the patches' mean estimates divided by
            the variance of the true kernels, near 0 if the estimate is the same for every input.
        """
        height, width = lr.shape[-2:]
        logits = self.network.logits_of_padded(self.network.pad(lr))[:, :height, :width]
        logs = torch.log_softmax(logits, dim=-1)
        estimates = logs.exp()
        true = kernels[:, 0, None, None].expand_as(estimates)
        if second is not None:
            true = torch.where(second[..., None], kernels[:, 1, None, None], true)
        l1 = _L1_FACTOR * (estimates - true).abs().mean()
        entropy = torch.special.entr(true).sum(dim=-1).mean()
        kl = -(true * logs).sum(dim=-1).mean() - entropy
        loss = divergence * _DIVERGENCE_FACTOR * kl + (1 - divergence) * l1
        losses = {"loss": loss, "l1": l1.detach(), "divergence": kl.detach()}
        if self.reblur:
            reblur = _reblur_difference(lr, hr, estimates)
            losses["loss"] = loss + self.reblur * reblur
            losses["reblur"] = reblur.detach()
        if len(lr) > 1:
            with torch.no_grad():
                means, truths = estimates.mean(dim=(1, 2)), true.mean(dim=(1, 2))
                losses["variation"] = means.var(dim=0).sum() / truths.var(dim=0).sum().clamp_min(1e-12)
        return losses


def _reblur_difference(lr: Tensor, hr: Tensor, estimates: Tensor) -> Tensor:
    """Blur sharp patches with the estimates; return the mean difference from LR in levels of 255.

    lr: (B, C, h, w); hr: (B, C, s*h, s*w); estimates: (B, h, w, k*k). LR pixels whose kernel reaches
    beyond the sharp patch are left out.
    """
    margin, scale = KERNEL_SIZE // 2, hr.shape[-1] // lr.shape[-1]
    first = -(-margin // scale)
    rows, columns = (slice(first, (side - 1 - margin) // scale + 1) for side in hr.shape[-2:])
    window = hr[..., scale * first - margin :, scale * first - margin :]
    kernels = estimates[:, None, rows, columns]
    kernels = kernels.reshape(*kernels.shape[:-1], KERNEL_SIZE, KERNEL_SIZE)
    return 255 * (apply_kernels(window, kernels, scale) - lr[..., rows, columns]).abs().mean()
