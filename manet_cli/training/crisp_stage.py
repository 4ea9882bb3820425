"""Stage `crisp`: train a restorer with a discriminator, for textures that look sharp.

The loss is the sum of L1, a distance of frozen features and an adversarial loss, as in ESRGAN (Wang et al.,
arXiv:1809.00219). The U-Net discriminator and its plain (not relativistic) loss are from Real-ESRGAN (Wang
et al., arXiv:2107.10833).
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

__all__ = ["CrispStage", "phase_contrast"]

_REPEAT, _WINDOW = 4, 32  # pixels
_VISIBLE = 1 / 255  # weaker detail counts less
_PERIOD = 8  # the stride of the last features, and of the discriminator's deepest layer


class CrispStage(RestorerStage):
    """Compare restored with sharp images: their pixels, their features and a discriminator's judgement.

    Args:
        restorer: the network to train.
        code: makes kernel codes.
        estimator: estimates the kernels; None for the true kernels.
        features: frozen features.
        discriminator: trained together with the restorer.
        loss: the weights of the losses other than L1.
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
        self._features = (features,)  # in a tuple, like the estimator
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
        """Return the losses of a batch. Their sum can be differentiated: each loss trains only one network.

        Args:
            lr: (B, 3, h, w).
            hr: (B, 3, s*h, s*w).
            kernels: (B, 2, k*k).
            second: (B, h, w) bool, the LR pixels where the second kernel is the true one; None for nowhere.
            true_kernel: (B,) bool, whether to use the true kernel instead of the estimate.
            phase: (B,), 0 to 63: shift of each patch before features and discriminator, 8 rows + columns.
            adversarial: factor from 0 to 1 on the weight of the adversarial loss.

        Returns:
            `loss` for the restorer; `discriminator` for the discriminator, the mean cross-entropy (0.69 for a
            guess); and figures for the log:
            `l1`;
            `perceptual`, the mean difference of features in units of their deviation;
            `adversarial`, the cross-entropy of restored patches with the label sharp;
            `accuracy`, the share of pixels that the discriminator classifies correctly, mean of both classes;
            `colour`, the difference of the batch's mean colours in levels of 255;
            `checkerboard`, the energy of the finest checkerboard, restored / sharp patches: about 1 is
            right, less is soft, more is a pattern; `grid`, the `phase_contrast`, restored / sharp patches:
            about 1 is right, more is a pattern.
        """
        sr = self.network(lr, self.codes(lr, kernels, second, true_kernel))
        l1 = F.l1_loss(sr, hr)
        moved = _moved(sr, phase), _moved(hr, phase)
        perceptual = self._perceptual(*moved)
        # With its parameters as constants: this loss trains only the restorer.
        discriminator = self.discriminator
        assert discriminator is not None
        frozen = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
        judged = F.softplus(-functional_call(discriminator, frozen, (moved[0],))).mean()
        real, fake = discriminator(torch.cat((moved[1], moved[0].detach()))).chunk(2)
        loss = self._loss
        contrast, sharp_contrast = phase_contrast(sr), phase_contrast(hr)
        grid = (contrast - sharp_contrast).relu().mean()
        losses = {
            "loss": l1
            + loss.perceptual * perceptual
            + loss.adversarial * adversarial * judged
            + loss.grid * grid,
            "discriminator": (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2,
        }
        with torch.no_grad():
            return losses | {
                "l1": l1.detach(),
                "perceptual": perceptual.detach(),
                "adversarial": judged.detach(),
                "accuracy": ((real > 0).float().mean() + (fake < 0).float().mean()) / 2,
                "colour": 255 * (sr - hr).mean(dim=(0, 2, 3)).abs().mean(),
                "checkerboard": _energy(_mixed_differences(sr)) / _energy(_mixed_differences(hr)),
                "grid": contrast.mean() / sharp_contrast.mean(),
            }

    def _perceptual(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Return the mean difference of features, over all stages."""
        features = self._features[0]
        with torch.no_grad():
            sharp = features(hr)
        found = features(sr)
        return torch.stack([F.l1_loss(*pair) for pair in zip(found, sharp, strict=True)]).mean()


def _moved(image: Tensor, phase: Tensor) -> Tensor:
    """Crop (B, C, H, W) to (B, C, H - 7, W - 7), each image from another row and column.

    Features and discriminator have strides of up to 8 in all, and a restorer's pattern has a fixed phase in
    a patch. With random shifts they see all phases equally; else the restorer learns a grid.
    """
    batch, channels, height, width = image.shape
    down, right = height - _PERIOD + 1, width - _PERIOD + 1
    # Gathered, not sliced: the device need not wait for the numbers, and a compiled step stays one graph.
    rows = phase[:, None] // _PERIOD + torch.arange(down, device=phase.device)
    columns = phase[:, None] % _PERIOD + torch.arange(right, device=phase.device)
    image = image.gather(2, rows[:, None, :, None].expand(batch, channels, down, width))
    return image.gather(3, columns[:, None, None, :].expand(batch, channels, down, right))


def phase_contrast(image: Tensor) -> Tensor:
    """Measure how much the finest detail depends on its place in squares of 4x4 pixels.

    A restorer makes each such square from one LR pixel, so it easily repeats a pattern with this period, as a
    screen of dots; photos do not. Each of the 16 places has the mean of the detail, for patterns of constant
    sign, and the mean of its strength, for dots that are bright here and dark there.

    Args:
        image: (B, C, H, W).

    Returns:
        (B, C, n, m), one for each window of 32x32 pixels (or smaller, if the image is): the mean over the
        places of the absolute mean and of the difference of strength, as a share of the mean strength.
        Gradients do not reach the mean strength.
    """
    detail = image - F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    strength = _means_by_place(detail.abs())
    mean = strength.mean(dim=(3, 5), keepdim=True)
    spread = (strength - mean).abs() + _means_by_place(detail).abs()
    return spread.mean(dim=(3, 5)) / (mean.detach() + _VISIBLE)[:, :, :, 0, :, 0]


def _means_by_place(values: Tensor) -> Tensor:
    """Average (B, C, H, W) over the squares of each window: (B, C, n, 4, m, 4)."""
    side = min(_WINDOW, *(length // _REPEAT * _REPEAT for length in values.shape[-2:]))
    rows, columns = (length // side for length in values.shape[-2:])
    size = (side // _REPEAT, _REPEAT)
    windows = values[..., : rows * side, : columns * side]
    return windows.reshape(*values.shape[:2], rows, *size, columns, *size).mean(dim=(3, 6))


def _mixed_differences(image: Tensor) -> Tensor:
    """Return (B, C, H - 1, W - 1), largest for the finest checkerboard."""
    across = image[..., 1:] - image[..., :-1]
    return across[..., 1:, :] - across[..., :-1, :]


def _energy(values: Tensor) -> Tensor:
    return values.square().mean().clamp_min(1e-12)
