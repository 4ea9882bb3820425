"""Means of results, for a script and for a reader."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from manet_cli.evaluation.measuring import FIGURES, Figures
from manet_cli.evaluation.results import Measurement

__all__ = ["Table", "mean_fields", "mean_figures", "tables"]

_OF_IMAGES = {"psnr_y": "PSNR-Y", "ssim_y": "SSIM-Y", "nonblind_psnr_y": "true kernel"}
_OF_KERNELS = {"kernel_psnr": "kernel PSNR", "kernel_psnr_mean_kernel": "mean kernel", "lr_psnr": "LR-PSNR"}
_BICUBIC = {"bicubic_psnr_y": "bicubic"}

Table = tuple[list[str], list[list[str]]]
"""Column headings, and rows of text."""


def mean_figures(lines: Sequence[Measurement]) -> Figures:
    """Return the mean of every figure over the lines that have it; None if no line has it."""
    means = {}
    for name in FIGURES:
        values = [value for line in lines if (value := getattr(line.figures, name)) is not None]
        means[name] = math.fsum(values) / len(values) if values else None
    return Figures(**means)


def mean_fields(model: str, weights_sha256: str, lines: Sequence[Measurement]) -> dict[str, object]:
    """Return a model's means for a script: name, digest, numbers of pictures and lines, the figures."""
    fields: dict[str, object] = {
        "model": model,
        "weights_sha256": weights_sha256,
        "images": len({(line.image, line.image_sha256) for line in lines}),
        "lines": len(lines),
    }
    return fields | dataclasses.asdict(mean_figures(lines))


def tables(groups: Sequence[Sequence[Measurement]]) -> list[Table]:
    """Lay out the means: a row for each kernel in the order of the lines, and a last row for the mean of
    several kernels.

    For several models there are two tables, because one would be too wide: one about the images and one about
    the kernels. The columns are numbered by model, from 1.

    Args:
        groups: the lines of each model.
    """
    if len(groups) == 1:
        return [_table(groups, _BICUBIC, _OF_IMAGES | _OF_KERNELS)]
    return [_table(groups, _BICUBIC, _OF_IMAGES), _table(groups, {}, _OF_KERNELS)]


def _table(groups: Sequence[Sequence[Measurement]], once: dict[str, str], each: dict[str, str]) -> Table:
    """Lay out figures shared by all models (``once``), and figures of each model (``each``)."""
    columns = ["kernel", *once.values()]
    for heading in each.values():
        columns += [
            f"{heading} {number + 1}" if len(groups) > 1 else heading for number in range(len(groups))
        ]
    kernels = list(dict.fromkeys(line.kernel for lines in groups for line in lines))
    rows = []
    for kernel in kernels:
        rows.append(
            [kernel, *_row([[one for one in lines if one.kernel == kernel] for lines in groups], once, each)]
        )
    if len(kernels) > 1:
        rows.append(["mean", *_row(groups, once, each)])
    return columns, rows


def _row(groups: Sequence[Sequence[Measurement]], once: dict[str, str], each: dict[str, str]) -> list[str]:
    together = mean_figures([line for lines in groups for line in lines])
    cells = [_text(name, getattr(together, name)) for name in once]
    means = [mean_figures(lines) for lines in groups]
    return cells + [_text(name, getattr(mean, name)) for name in each for mean in means]


def _text(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if name == "ssim_y" else f"{value:.2f}"
