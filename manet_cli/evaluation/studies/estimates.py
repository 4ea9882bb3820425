"""A model's estimates for a picture with known kernels, for the studies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from manet_cli import __version__
from manet_cli.degradations.gaussian import KERNEL_SIZE, GaussianParameters
from manet_cli.evaluation.kernel_comparison import DECIBEL_CAP
from manet_cli.evaluation.metrics import kernel_psnr
from manet_cli.evaluation.pictures import ImageRows
from manet_cli.evaluation.runs import TestedModel

__all__ = [
    "BLANK_LEVELS",
    "KernelShape",
    "Progress",
    "Subject",
    "Survey",
    "decibels",
    "kernel_shape",
    "survey",
    "turned",
]

Progress = Callable[[float], None]
"""Callback for the share done, in [0, 1]."""

BLANK_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Grey levels of blank pictures."""

_BLANK_SIDE = 32
_MAX_BYTES = 32 * 2**20
"""Largest size of the kernels compared at a time, bytes in float32."""


@dataclass(frozen=True)
class Survey:
    """The estimates of a picture of h x w LR pixels.

    Attributes:
        psnr: (R, h, w), kernel PSNR of every pixel's estimate against each of R kernels, dB, float32.
        mean: (k, k), mean of all estimates, float32.
        kept: (n, k, k), the estimates of the pixels in ``keep``, float32.
    """

    psnr: Tensor
    mean: Tensor
    kept: Tensor


def survey(
    model: TestedModel,
    lr: Tensor,
    references: list[Tensor],
    keep: Tensor,
    progress: Progress = lambda share: None,
) -> Survey:
    """Estimate the kernels of a picture tile by tile.

    Args:
        model: a model with an estimator.
        lr: (1, 3, h, w) in [0, 1].
        references: kernels (k, k) to compare with.
        keep: indices (row times w plus column) of the pixels whose kernels are returned, (n,).
        progress: callback for the share done.

    Raises:
        ManetError: the networks return infinities or NaN.
        OutOfMemoryError: the smallest tile does not fit.
    """
    height, width = lr.shape[-2:]
    psnr = torch.empty(len(references), height, width)
    total = torch.zeros(KERNEL_SIZE, KERNEL_SIZE, dtype=torch.float64)
    kept = torch.empty(len(keep), KERNEL_SIZE, KERNEL_SIZE)
    keep_row, keep_column = keep // width, keep % width
    done = 0
    for tile in model.engine.kernels(ImageRows(lr)):
        columns = tile.kernels.shape[2]
        step = max(1, _MAX_BYTES // (4 * KERNEL_SIZE**2 * columns))
        for start in range(0, tile.kernels.shape[1], step):
            part = tile.kernels[:, start : start + step].float().cpu().permute(1, 2, 0)
            kernels = part.reshape(part.shape[0], columns, KERNEL_SIZE, KERNEL_SIZE)
            row, column = tile.row + start, tile.column
            here = psnr[:, row : row + len(kernels), column : column + columns]
            for number, reference in enumerate(references):
                here[number] = decibels(kernels, reference)
            total += kernels.double().sum(dim=(0, 1))
            y, x = keep_row - row, keep_column - column
            inside = (y >= 0) & (y < len(kernels)) & (x >= 0) & (x < columns)
            kept[inside] = kernels[y[inside], x[inside]]
            done += len(kernels) * columns
            progress(done / (height * width))
    return Survey(psnr, (total / (height * width)).float(), kept)


@dataclass(frozen=True)
class Subject:
    """The model of a study.

    Attributes:
        model: ready to run.
        scale: HR pixels per LR pixel.
        device: cpu, cuda, mps, or the device of a runtime.
        precision: number format in use: fp32, bf16, fp16 or int8.
        tile: the user's tile size.
    """

    model: TestedModel
    scale: int
    device: str
    precision: str
    tile: str

    def fields(self, study: str) -> dict[str, object]:
        """Return the first fields of every study's numbers."""
        return {
            "study": study,
            "tool": f"manet_cli {__version__}",
            "model": self.model.name,
            "weights_sha256": self.model.sha256,
            "scale": self.scale,
            "device": self.device,
            "precision": self.precision,
            "tile": self.tile,
        }

    @cached_property
    def blank_kernels(self) -> Tensor:
        """Estimates in the middle of blank pictures, one for each of `BLANK_LEVELS`; (5, k, k)."""
        middle = torch.tensor([_BLANK_SIDE // 2 * (_BLANK_SIDE + 1)])
        pictures = (torch.full((1, 3, _BLANK_SIDE, _BLANK_SIDE), level) for level in BLANK_LEVELS)
        return torch.cat([survey(self.model, picture, [], middle).kept for picture in pictures])

    @property
    def blank_kernel(self) -> Tensor:
        """The estimate (k, k) for a blank picture: the mean over the grey levels."""
        return self.blank_kernels.mean(dim=0)

    def blank_fields(self) -> dict[str, object]:
        """Return the shape of the blank kernel and the smallest agreement of two grey levels in dB."""
        kernels = self.blank_kernels
        pairs = decibels(kernels[:, None], kernels)
        return {
            "levels": list(BLANK_LEVELS),
            **kernel_shape(self.blank_kernel).fields(),
            "smallest_agreement": round(float(pairs.min()), 3),
        }


@dataclass(frozen=True)
class KernelShape:
    """Shape of a kernel from its second moments.

    ``sig1`` >= ``sig2``: variances along its axes. ``degrees``: angle of the first axis from x towards y, in
    [0, 180).
    """

    sig1: float
    sig2: float
    degrees: float

    def fields(self) -> dict[str, float]:
        """Return the shape for a script, with the ratio of the two standard deviations."""
        ratio = (self.sig1 / self.sig2) ** 0.5
        numbers = {"sig1": self.sig1, "sig2": self.sig2, "degrees": self.degrees, "axis_ratio": ratio}
        return {name: round(number, 3) for name, number in numbers.items()}


def kernel_shape(kernel: Tensor) -> KernelShape:
    """Return the shape of a kernel (k, k) that sums to 1."""
    weights = kernel.double()
    position = torch.arange(weights.shape[-1], dtype=torch.float64)
    x, y = position[None, :], position[:, None]
    x, y = x - (weights * x).sum(), y - (weights * y).sum()
    xx, xy, yy = (float((weights * product).sum()) for product in (x * x, x * y, y * y))
    half, spread = (xx + yy) / 2, (((xx - yy) / 2) ** 2 + xy * xy) ** 0.5
    angle = float(torch.rad2deg(torch.atan2(torch.tensor(2 * xy), torch.tensor(xx - yy)))) / 2
    return KernelShape(half + spread, max(half - spread, 1e-12), angle % 180)


def decibels(estimated: Tensor, true: Tensor) -> Tensor:
    """Return the kernel PSNR of kernels (..., k, k), at most 100 dB, float32."""
    return kernel_psnr(estimated, true).clamp(max=DECIBEL_CAP).float()


def turned(kernel: GaussianParameters) -> GaussianParameters:
    """Return a kernel turned by 90 degrees."""
    return GaussianParameters(kernel.sig2, kernel.sig1, kernel.theta)
