"""Stage `crisp`: a restorer learns textures that look sharp, with a discriminator beside it.

L1, a distance of frozen features and the loss of a discriminator, as in ESRGAN (Wang et al.,
arXiv:1809.00219); with the U-Net and the plain (not relativistic) loss of Real-ESRGAN (Wang et al.,
arXiv:2107.10833).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from manet_cli.models import KernelCode, MANet, Restorer
from manet_cli.training.discriminator import Discriminator
from manet_cli.training.features import Features
from manet_cli.training.losses import Losses
from manet_cli.training.recipe import LossRecipe
from manet_cli.training.restorer_stage import RestorerStage

__all__ = ["CrispStage"]


class CrispStage(RestorerStage):
    """Images against the sharp images, by their pixels, their features and a discriminator.

    Args:
        restorer: what learns.
        code: makes kernel codes.
        estimator: estimates the kernels; None for the true ones.
        features: frozen.
        discriminator: learns beside the restorer.
        loss: the weights of the losses beside L1.
    """

    def __init__(
        self,
        restorer: Restorer,
        code: KernelCode,
        estimator: MANet | None,
        features: Features,
        discriminator: Discriminator,
        loss: LossRecipe,
    ) -> None:
        super().__init__(restorer, code, estimator)
        self.discriminator = discriminator
        self._features = (features,)  # in a tuple, as the estimator
        self._loss = loss

    def forward(  # type: ignore[override]
        self,
        lr: Tensor,
        hr: Tensor,
        kernels: Tensor,
        second: Tensor | None,
        true_kernel: Tensor,
        phase: Tensor,
        adversarial: Tensor,
    ) -> Losses:
        """Return the losses of a batch, both to be differentiated at once: each changes one network alone.

        Args:
            lr: (B, 3, h, w).
            hr: (B, 3, s*h, s*w).
            kernels: (B, 2, k*k).
            second: (B, h, w) bool, where the second kernel is the true one; None for nowhere.
            true_kernel: (B,) bool, where the true kernel is given though there is an estimator.
            phase: (B,), 0 to 3: which of the four phases of two pixels each patch's features begin at.
            adversarial: share, from 0 to 1, of the weight of the discriminator's judgement.

        Returns:
            `loss` for the restorer and `discriminator` for the discriminator, the mean cross-entropy (0.69
            if it cannot tell). Beside them `l1`; `perceptual`, the mean difference of features in units of
            their deviation; `adversarial`, the cross-entropy of restored patches being taken for sharp;
            `accuracy`, the mean share of pixels of both kinds that the discriminator tells; `colour`, the
            difference of the batch's mean colours in levels of 255; `checkerboard`, the energy of the finest
            checkerboard over that of the sharp patches: about 1 is right, less is soft, more is a pattern.
        """
        sr = self.network(lr, self.codes(lr, kernels, second, true_kernel))
        l1 = F.l1_loss(sr, hr)
        perceptual = self._perceptual(sr, hr, phase)
        # With constants in the place of its parameters: this loss changes the restorer alone.
        discriminator = self.discriminator
        assert discriminator is not None
        frozen = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
        judged = F.softplus(-functional_call(discriminator, frozen, (sr,))).mean()
        real, fake = discriminator(torch.cat((hr, sr.detach()))).chunk(2)
        loss = self._loss
        losses = {
            "loss": l1 + loss.perceptual * perceptual + loss.adversarial * adversarial * judged,
            "discriminator": (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2,
        }
        with torch.no_grad():
            return losses | {
                "l1": l1.detach(),
                "perceptual": perceptual.detach(),
                "adversarial": judged.detach(),
                "accuracy": ((real > 0).float().mean() + (fake < 0).float().mean()) / 2,
                "colour": 255 * (sr - hr).mean(dim=(0, 2, 3)).abs().mean(),
                "checkerboard": _checkerboard(sr) / _checkerboard(hr).clamp_min(1e-12),
            }

    def _perceptual(self, sr: Tensor, hr: Tensor, phase: Tensor) -> Tensor:
        """Return the mean difference of features, over all stages.

        The features have strides, and patches begin where the restorer's pixels do. So that no phase of its
        pattern is seen more than others, each patch is moved by up to a pixel.
        """
        features = self._features[0]
        with torch.no_grad():
            sharp = features(_moved(hr, phase))
        found = features(_moved(sr, phase))
        return torch.stack([F.l1_loss(*pair) for pair in zip(found, sharp, strict=True)]).mean()


def _moved(image: Tensor, phase: Tensor) -> Tensor:
    """Return (B, C, H - 1, W - 1) of (B, C, H, W): from the first or second row and column, by the phase."""
    down, right = ((phase >> bit & 1).bool()[:, None, None, None] for bit in (0, 1))
    image = torch.where(down, image[..., 1:, :], image[..., :-1, :])
    return torch.where(right, image[..., 1:], image[..., :-1])


def _checkerboard(image: Tensor) -> Tensor:
    """Return the mean energy of what changes sign from each pixel to its neighbours in both directions."""
    across = image[..., 1:] - image[..., :-1]
    return (across[..., 1:, :] - across[..., :-1, :]).square().mean()
