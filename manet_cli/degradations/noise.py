"""White Gaussian noise: drawing it, and adding it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from manet_cli.errors import UsageError

__all__ = ["apply_noise", "sample_noise"]


def sample_noise(
    shape: Sequence[int],
    level: float | Tensor,
    generator: torch.Generator,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Draw noise for images of shape (B, C, H, W), independent in every value.

    level: the standard deviation in units of 1/255, from 0 to 255; a number, or one for each image (B,).
    device: where the noise goes, the generator's device by default. A CPU generator gives the same noise
    whatever the device it ends on. Returns a tensor of that shape, of standard deviation level / 255.
    """
    if len(shape) != 4:
        raise UsageError(f"Noise of shape {tuple(shape)} was asked for; expected (B, C, H, W).")
    levels = torch.as_tensor(level, dtype=torch.float64).cpu()
    if levels.ndim > 1 or (levels.ndim == 1 and len(levels) != shape[0]):
        raise UsageError(
            f"There are noise levels of shape {tuple(levels.shape)} for {shape[0]} image(s); "
            "expected one number, or one for each image."
        )
    if not bool(((levels >= 0) & (levels <= 255)).all()):
        raise UsageError(
            "A noise level lies outside 0 to 255; expected a standard deviation in units of 1/255."
        )
    target = generator.device if device is None else device
    noise = torch.randn(tuple(shape), generator=generator, dtype=dtype, device=generator.device).to(target)
    return noise * (levels / 255).reshape(-1, 1, 1, 1).to(noise)


def apply_noise(image: Tensor, noise: Tensor) -> Tensor:
    """Add noise of the same shape to images in [0, 1] and clamp the sum to [0, 1]."""
    if image.shape != noise.shape:
        raise UsageError(
            f"The noise has shape {tuple(noise.shape)}, the image {tuple(image.shape)}; expected the same."
        )
    return (image + noise).clamp(0, 1)
