"""Find the traces of JPEG compression in a picture.

A JPEG stores multiples of its quantisation steps. On the grid of its blocks, the DCT of the decoded luma
is still near these multiples; on the 63 other grids it is not. So every grid is tried, and every step for
each frequency: the mean cosine of 2 pi value / step is near 1 for the true step and grid. Zeros are left
out: smooth blocks have them on every grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from manet_cli.errors import InputError
from manet_cli.images.blocks import (
    BLOCK,
    DCT,
    ORDERS,
    PLACES,
    Floats,
    cut_windows,
    distinct_levels,
    levels_of,
    luma_of,
    spread,
)

__all__ = ["file_quality", "quality_of_tables", "traced_quality"]

_LUMA_TABLE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
"""ITU-T T.81, table K.1, row by row; libjpeg scales it for a quality."""
_CHROMA_TABLE = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99),
    *(99,) * 32,
)
"""Table K.2."""
_QUALITIES = np.arange(1, 101)

_JPEG_CANDIDATES, _JPEG_WINDOWS = 4096, 1024
_WINDOW = 2 * BLOCK - 1
"""Side of a window with one block of each grid."""
_LEAST_RANGE = 4.0
_FEWEST_LEVELS = 12
"""A window with fewer distinct levels is drawn, not photographed: its DCT is discrete on every grid."""
_FREQUENCIES = np.flatnonzero((ORDERS > 0) & (ORDERS < BLOCK))
_STEPS = np.array([*range(2, 41), *range(42, 61, 2), *range(64, 105, 4)], np.float64)
_BINS_PER_LEVEL, _LARGEST = 4, 128
_BINS = _LARGEST * _BINS_PER_LEVEL
_CENTRES = (np.arange(_BINS) + 0.5) / _BINS_PER_LEVEL
_COUNTED = (_CENTRES[:, None] > _STEPS / 2).astype(np.float64)
_COMBS = np.cos(2 * np.pi * _CENTRES[:, None] / _STEPS) * _COUNTED

_CHANCE = 2.0
"""Evidence, in standard deviations, of the best step by chance."""
_LEAST_SCORE, _LEAST_LEAD = 2.0, 3.0
"""Mean square evidence of the best grid, and its ratio to its rival. Undamaged photos reach 0.5 and 1.5."""
_RIVAL = 4
"""Rank of the rival grid: a picture compressed twice has two good grids."""
_FLOOR = 0.3
_CLEAR_SCORE, _LARGEST_SCATTER, _LEAST_MATCH = 5.0, 0.4, 0.7
"""A score that needs no lead if the steps resemble the standard table (deviation of the log ratio) and the
values match them (mean cosine): in smooth pictures, coarse steps leave traces on other grids too."""


def file_quality(image: Image.Image) -> float | None:
    """Return the quality of the JPEG file of a Pillow image; None for other images."""
    tables = getattr(image, "quantization", None)
    return quality_of_tables(tables) if isinstance(tables, dict) and tables else None


def quality_of_tables(tables: Mapping[int, Sequence[int]]) -> float:
    """Return the quality, 1 to 100, whose standard tables are as coarse as these.

    Args:
        tables: 64 steps each, row by row, from `quantization` of a Pillow image. Table 0 is for luma, the
            others for chroma. Other than standard tables are judged by their mean ratio to the standard.

    Raises:
        InputError: there is no table, or a table does not have 64 steps.
    """
    if not tables or any(len(table) != PLACES for table in tables.values()):
        sizes = [len(table) for table in tables.values()]
        raise InputError(
            f"the quantisation tables have the sizes {sizes}: give one or more of {PLACES} steps"
        )
    standards = [_LUMA_TABLE if key == 0 else _CHROMA_TABLE for key in tables]
    standard = np.array(standards, np.float64)
    ratio = (np.array(list(tables.values())) / standard).mean()
    return _quality_of_ratio(float(ratio), standard.ravel(), np.ones(standard.size))


def _quality_of_ratio(ratio: float, standard: npt.NDArray[Any], weights: npt.NDArray[Any]) -> float:
    """Return the quality whose steps have this mean ratio to the standard's, rounded as in libjpeg."""
    scales = np.where(_QUALITIES < 50, 5000 // _QUALITIES, 200 - 2 * _QUALITIES)
    steps = np.clip((standard * scales[:, None] + 50) // 100, 1, 255)
    ratios = np.average(steps / standard, axis=1, weights=weights)
    return float(np.interp(-ratio, -ratios, _QUALITIES))


def traced_quality(pixels: npt.NDArray[Any]) -> float | None:
    """Return the quality of an earlier JPEG of the pixels; None without traces of one."""
    windows = _textured_windows(pixels)
    if not len(windows):
        return None
    counts = _histograms(windows)
    hits, tries = counts @ _COMBS, counts @ _COUNTED
    usual = hits.sum(axis=0) / np.maximum(tries.sum(axis=0), 1)
    evidence = (hits - tries * usual) / np.sqrt(tries / 2 + 2)
    strengths = np.maximum(evidence.max(axis=2) - _CHANCE, 0)
    scores = np.square(strengths).mean(axis=1)
    grid, rival = int(scores.argmax()), float(np.sort(scores)[-_RIVAL])
    if scores[grid] < _LEAST_SCORE:
        return None
    weights, best = strengths[grid], evidence[grid].argmax(axis=1)
    standard = np.array(_LUMA_TABLE)[_FREQUENCIES]
    ratios = _STEPS[best] / standard
    leads = scores[grid] + _FLOOR >= _LEAST_LEAD * (rival + _FLOOR)
    logs, places = np.log(ratios), (np.arange(len(best)), best)
    scatter = np.average(np.square(logs - np.average(logs, weights=weights)), weights=weights) ** 0.5
    match = np.average(hits[grid][places] / np.maximum(tries[grid][places], 1), weights=weights)
    looks_alike = scores[grid] >= _CLEAR_SCORE and scatter <= _LARGEST_SCATTER and match >= _LEAST_MATCH
    if not (leads or looks_alike):
        return None
    # Leave out frequencies that give a multiple of the true step, or no step above 1.
    order = np.argsort(ratios)
    reached = np.cumsum(weights[order])
    median = ratios[order][np.searchsorted(reached, reached[-1] / 2)]
    weights = np.where(np.abs(np.log(ratios / median)) <= _LARGEST_SCATTER, weights, 0)
    return _quality_of_ratio(float(np.average(ratios, weights=weights)), standard, weights)


def _textured_windows(pixels: npt.NDArray[Any]) -> Floats:
    """Return the luma of windows (N, 15, 15) that may show a grid, cut at multiples of 8."""
    cut = cut_windows(pixels, _WINDOW, BLOCK, _JPEG_CANDIDATES)
    luma = luma_of(levels_of(cut)).reshape(len(cut), _WINDOW * _WINDOW)
    luma = luma[np.ptp(luma, axis=1) >= _LEAST_RANGE]
    luma = luma[spread(len(luma), _JPEG_WINDOWS)]
    photographed: Floats = luma[distinct_levels(luma) >= _FEWEST_LEVELS]
    return photographed.reshape(-1, _WINDOW, _WINDOW)


def _histograms(windows: Floats) -> npt.NDArray[np.float64]:
    """Return histograms of the DCT's values: (64 grids, frequencies, bins of a quarter level)."""
    transform = DCT.astype(np.float32).T
    across = sliding_window_view(windows, BLOCK, axis=2) @ transform
    both = sliding_window_view(across, BLOCK, axis=1) @ transform  # window, row, column, v, u
    values = both.transpose(1, 2, 4, 3, 0).reshape(PLACES, PLACES, -1)[:, _FREQUENCIES]
    bins = (np.abs(values) * _BINS_PER_LEVEL).astype(np.int64)
    inside = bins < _BINS
    shape = (PLACES, len(_FREQUENCIES), _BINS)
    bins += (np.arange(shape[0] * shape[1]) * _BINS).reshape(shape[0], shape[1], 1)
    return np.bincount(bins[inside], minlength=int(np.prod(shape))).reshape(shape).astype(np.float64)
