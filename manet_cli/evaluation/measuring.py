"""The figures of one degraded image with one model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from manet_cli.degradations.protocol import DegradedImage
from manet_cli.degradations.quantization import apply_quantization
from manet_cli.degradations.spatially_variant import BlockKernels
from manet_cli.errors import WeightsError
from manet_cli.evaluation.kernel_comparison import DECIBEL_CAP, KernelComparison
from manet_cli.evaluation.metrics import best_registered_bicubic, psnr_y, ssim_y
from manet_cli.evaluation.pictures import ImageRows
from manet_cli.inference import Engine
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.inference.streams import Codes, assembled

__all__ = ["FIGURES", "Figures", "bicubic_figure", "measure"]

_SSIM_WINDOW = 11


@dataclass(frozen=True)
class Figures:
    """Figures of one image. PSNR in dB, at most 100; None if a network is missing or the picture too small.

    Attributes:
        psnr_y: PSNR-Y of the blind result against the HR image.
        ssim_y: SSIM-Y of the blind result, -1 to 1.
        kernel_psnr: mean kernel PSNR over the LR pixels.
        kernel_psnr_mean_kernel: kernel PSNR of the mean estimated kernel against the mean true kernel.
        lr_psnr: PSNR-Y of the HR image degraded by the estimated kernels against the LR image.
        bicubic_psnr_y: PSNR-Y of bicubic upscaling at its best whole-pixel shift.
        nonblind_psnr_y: PSNR-Y of the restorer with the true kernels.
    """

    psnr_y: float | None = None
    ssim_y: float | None = None
    kernel_psnr: float | None = None
    kernel_psnr_mean_kernel: float | None = None
    lr_psnr: float | None = None
    bicubic_psnr_y: float | None = None
    nonblind_psnr_y: float | None = None


FIGURES = tuple(field.name for field in dataclasses.fields(Figures))


class _TrueCodes:
    """Codes of an image's true kernels (`inference.streams.Codes`); stores one code per block."""

    def __init__(self, engine: Engine, kernels: BlockKernels) -> None:
        rows, columns, size = kernels.kernels.shape[:3]
        code = engine.kernel_code
        with torch.inference_mode():
            codes = code.of_kernel(kernels.kernels.reshape(-1, size, size).to(code.basis.device)).cpu()
        # (nH, nW, L, 1): indexed by LR pixels in the same way as the kernels.
        self._blocks = dataclasses.replace(kernels, kernels=codes.reshape(rows, columns, -1, 1))

    def forget(self, before: int) -> None:
        """Do nothing: the codes are few."""

    def rows(self, start: int, stop: int) -> Tensor:
        """Return the codes of LR rows [start, stop) as (1, L, stop - start, width)."""
        return self._blocks.lr_rows(start, stop)[..., 0].permute(2, 0, 1)[None]


def bicubic_figure(degraded: DegradedImage, scale: int) -> float | None:
    """Return the PSNR-Y of bicubic upscaling in dB; None if the image is too small to measure."""
    if not _fits(degraded.hr, scale):
        return None
    return min(best_registered_bicubic(degraded.lr, degraded.hr, scale).psnr_y, DECIBEL_CAP)


def measure(engine: Engine, degraded: DegradedImage, scale: int, *, bicubic: float | None) -> Figures:
    """Measure a model on one degraded image.

    The estimator runs once. Results are compared in the published registration, clamped and rounded to 8
    bits.

    Args:
        engine: the model; one of its two networks may be missing.
        degraded: the image, on the CPU.
        scale: HR pixels per LR pixel.
        bicubic: the figure of bicubic upscaling, the same for every model.

    Raises:
        ManetError: the networks return infinities or NaN.
        OutOfMemoryError: the smallest tile does not fit.
    """
    lr, hr = ImageRows(degraded.lr), degraded.hr
    figures = Figures(bicubic_psnr_y=bicubic)
    if _holds(engine, restorer=True) and _fits(hr, scale):
        true = _restored(engine, lr, _TrueCodes(engine, degraded.kernels), scale)
        figures = dataclasses.replace(figures, nonblind_psnr_y=_capped_psnr(true, hr, scale))
    if not _holds(engine, estimator=True):
        return figures
    comparison = KernelComparison(degraded)
    if _holds(engine, restorer=True):
        blind = _restored(engine, lr, EstimatedCodes(engine, lr, comparison.add), scale)
        if _fits(hr, scale):
            figures = dataclasses.replace(figures, psnr_y=_capped_psnr(blind, hr, scale))
        if _fits(hr, scale, _SSIM_WINDOW):
            figures = dataclasses.replace(figures, ssim_y=ssim_y(blind, hr, border=scale))
    else:
        for tile in engine.kernels(lr):
            comparison.add(tile)
    return dataclasses.replace(
        figures,
        kernel_psnr=comparison.per_pixel,
        kernel_psnr_mean_kernel=comparison.mean_kernel,
        lr_psnr=comparison.lr_psnr,
    )


def _holds(engine: Engine, *, estimator: bool = False, restorer: bool = False) -> bool:
    """Whether a model has the given networks."""
    try:
        engine.require(estimator=estimator, restorer=restorer)
    except WeightsError:
        return False
    return True


def _restored(engine: Engine, lr: ImageRows, codes: Codes, scale: int) -> Tensor:
    """Return the restorer's result (1, 3, s H, s W) in 8 bits, in the published registration."""
    tiles = engine.restore(lr, codes, registered=False)
    return apply_quantization(assembled(tiles, lr.height * scale, lr.width * scale))


def _capped_psnr(image: Tensor, hr: Tensor, scale: int) -> float:
    return min(psnr_y(image, hr, border=scale), DECIBEL_CAP)


def _fits(hr: Tensor, border: int, window: int = 1) -> bool:
    """Whether an HR image without its border has at least `window` pixels a side."""
    return min(hr.shape[-2:]) >= 2 * border + window
