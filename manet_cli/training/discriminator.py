"""The discriminator of stage `crisp`: classifies each pixel as sharp or restored."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["Discriminator"]

_WIDTH = 16
_SLOPE = 0.2


class Discriminator(nn.Module):
    """A U-Net with spectral normalisation, as in Real-ESRGAN (arXiv:2107.10833), a quarter of its width.

    274,001 parameters.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = [_WIDTH * 2**level for level in range(4)]
        self.head = nn.Conv2d(3, _WIDTH, 3, padding=1)
        self.down = nn.ModuleList(
            spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False))
            for width in widths[:-1]
        )
        self.up = nn.ModuleList(
            spectral_norm(nn.Conv2d(2 * width, width, 3, padding=1, bias=False)) for width in widths[-2::-1]
        )
        self.end = nn.ModuleList(
            spectral_norm(nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False)) for _ in range(2)
        )
        self.tail = nn.Conv2d(_WIDTH, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Return (B, 1, H, W), above 0 where (B, 3, H, W) in [0, 1] looks sharp."""
        features = F.leaky_relu(self.head(image), _SLOPE)
        skips = []
        for conv in self.down:
            skips.append(features)
            features = F.leaky_relu(conv(features), _SLOPE)
        for conv in self.up:
            skip = skips.pop()
            grown = F.interpolate(features, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            features = F.leaky_relu(conv(grown), _SLOPE) + skip
        for conv in self.end:
            features = F.leaky_relu(conv(features), _SLOPE)
        judgement: Tensor = self.tail(features)
        return judgement.float()
