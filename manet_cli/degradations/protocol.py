"""The published degradation, which turns an HR image into a test image.

Order: crop to a multiple of the scale, blur, subsample, the steps of `registry` (noise, sharpening, JPEG),
round to 8 bits (Liang et al., ICCV 2021; sharpening is ours).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from manet_cli.degradations.blur import apply_block_blur, apply_blur_and_subsample
from manet_cli.degradations.gaussian import GaussianParameters
from manet_cli.degradations.quantization import apply_quantization
from manet_cli.degradations.spatially_variant import (
    MODES,
    BlockKernels,
    spatially_variant_kernels,
    uniform_kernels,
)
from manet_cli.degradations.step import DegradationStep, apply_steps
from manet_cli.degradations.validation import check_image, check_scale
from manet_cli.errors import InputError, UsageError

__all__ = ["Degradation", "DegradedImage", "crop_to_multiple", "published_grid"]


@dataclass(frozen=True)
class DegradedImage:
    """An LR image, its HR image and its kernels, on the device of the HR image.

    lr: (B, C, H / s, W / s) in [0, 1] on multiples of 1/255, as it would be stored.
    lr_clean: the LR image before noise, JPEG and rounding; rounded, it is the reference of LR-PSNR.
    hr: (B, C, H, W), the HR image cropped to multiples of s.
    kernels: the true kernels and their parameters.
    """

    lr: Tensor
    lr_clean: Tensor
    hr: Tensor
    kernels: BlockKernels


@dataclass(frozen=True)
class Degradation:
    """Settings for making an LR image from an HR image; see `apply`.

    scale: whole factor. Set either kernel (one Gaussian for the whole image) or mode (spatially variant
    type 1-6). steps: the steps after the blur (see `registry`), at most one of each kind. seed: for the
    kernels of type 5 and the noise; the same seed gives the same result on every device.
    """

    scale: int
    kernel: GaussianParameters | None = None
    mode: int | None = None
    steps: tuple[DegradationStep, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        check_scale(self.scale)
        if (self.kernel is None) == (self.mode is None):
            raise UsageError(
                "A degradation needs either one kernel or a spatially variant type 1-6, not both."
            )
        if self.mode is not None and self.mode not in MODES:
            raise UsageError(
                f"The spatially variant type is {self.mode!r}; expected a whole number from 1 to 6."
            )
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"The seed is {self.seed}; expected a whole number from 0 to 2^63 - 1.")

    @property
    def label(self) -> str:
        """Short name for tables: `9,1,45` or `mode3`, then the steps: `9,1,45 noise=5 jpeg=75,4:4:4`."""
        return " ".join([self.kernel_label, *(f"{name}={text}" for name, text in self.step_texts.items())])

    @property
    def kernel_label(self) -> str:
        """Short name of the kernels alone: `9,1,45` or `mode3`."""
        return self.kernel.label if self.kernel is not None else f"mode{self.mode}"

    @property
    def step_texts(self) -> dict[str, str]:
        """The settings of the steps in the syntax of their options, by step name."""
        return {step.name: step.text for step in self.steps}

    def apply(self, hr: Tensor) -> DegradedImage:
        """Degrade HR images (B, C, H, W) in [0, 1], all in the same way, with a new generator.

        Half precision is computed in float32. Raises `InputError` if the image is smaller than the scale.
        """
        check_image(hr)
        image = hr if hr.dtype == torch.float64 else hr.float()
        cropped = crop_to_multiple(image, self.scale)
        # On the CPU, so that a seed gives the same kernels and noise on every device.
        generator = torch.Generator().manual_seed(self.seed)
        kernels = self._kernels(cropped, generator)
        if kernels.is_uniform:
            lr_clean = apply_blur_and_subsample(cropped, kernels.kernels[0, 0], self.scale)
        else:
            lr_clean = apply_block_blur(cropped, kernels.kernels, kernels.block_size, scale=self.scale)
        lr = apply_steps(lr_clean, self.steps, generator)
        return DegradedImage(apply_quantization(lr), lr_clean, cropped, kernels)

    def _kernels(self, hr: Tensor, generator: torch.Generator) -> BlockKernels:
        height, width = hr.shape[-2:]
        if self.kernel is not None:
            made = uniform_kernels(self.kernel, height, width, self.scale, dtype=hr.dtype)
        elif self.mode is not None:
            made = spatially_variant_kernels(
                self.mode, height, width, self.scale, generator=generator, dtype=hr.dtype
            )
        else:  # excluded by __post_init__
            raise UsageError("A degradation needs either one kernel or a spatially variant type 1-6.")
        return BlockKernels(
            made.kernels.to(hr.device), made.parameters, made.block_size, height, width, self.scale
        )


def crop_to_multiple(image: Tensor, scale: int) -> Tensor:
    """Crop images (B, C, H, W) at the bottom and right to multiples of the scale.

    Raises `InputError` if nothing is left.
    """
    height, width = (side // scale * scale for side in image.shape[-2:])
    if height == 0 or width == 0:
        raise InputError(
            f"The HR image is {image.shape[-1]}x{image.shape[-2]} pixels; expected at least {scale} a side."
        )
    return image[..., :height, :width]


def published_grid(scale: int) -> tuple[GaussianParameters, ...]:
    """Return the 9 kernels of the published spatially invariant test, ordered by sig1, sig2, theta.

    sig1 in {1, 1 + s, 1 + 2s} and sig2 <= sig1 in the same set (variances); theta 0, and also pi/4 if they
    differ.
    """
    check_scale(scale)
    variances = (1.0, 1.0 + scale, 1.0 + 2.0 * scale)
    return tuple(
        GaussianParameters(sig1, sig2, theta)
        for sig1 in variances
        for sig2 in variances
        if sig2 <= sig1
        for theta in (0.0, math.pi / 4)
        if theta == 0 or sig1 != sig2
    )
