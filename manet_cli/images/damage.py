"""Measure a camera's damage to a picture: noise, and the last or an earlier JPEG compression.

Both are measured on a limited number of small windows, spread evenly over the picture. So time and memory do
not grow for large pictures, and the same pixels always give the same result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from manet_cli.errors import InputError
from manet_cli.stopping import end_if_stopped

__all__ = ["Damage", "denoise_of", "file_quality", "measure_damage", "names_camera", "quality_of_tables"]

_Floats = npt.NDArray[np.float32]

_BLOCK = 8
_PHASES = _BLOCK * _BLOCK
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

# Noise below the first level (of 255) needs no denoising, above the second full denoising. In between, the
# exponent denoises more than the best PSNR needs, because traces of noise and JPEG look worse than softness.
_NOISE_FROM, _NOISE_FULL, _NOISE_EXPONENT = 1.5, 8.0, 0.6
_QUALITY_FROM, _QUALITY_FULL, _QUALITY_EXPONENT = 100.0, 80.0, 0.6
_CAMERA = 0.85
"""Lower limit for photos whose EXIF names a camera: cameras sharpen, and remove noise and texture."""
_MAKE = 271


@dataclass(frozen=True)
class Damage:
    """Damage of a picture.

    Attributes:
        noise: standard deviation of each channel in flat areas, levels of 255. 0 if it cannot be measured: in
            pictures of less than 16 blocks of 8x8 pixels, or if nearly all pixels are clipped. Correlated
            noise is underestimated: 0.6 times the true value at a correlation of 1 pixel.
        jpeg_quality: 1 to 100 on the scale of libjpeg; None without traces of JPEG.
    """

    noise: float
    jpeg_quality: float | None


def denoise_of(damage: Damage, *, from_camera: bool = False) -> float:
    """Return the amount of denoising for the damage: 0 for none, 1 for full.

    It rises with the noise, from 1.5 levels to 8, and with falling quality, from 100 to 80. The two amounts
    a and b combine as 1 - (1 - a) (1 - b).

    Args:
        damage: the measured damage.
        from_camera: whether the picture came directly from a camera, see `names_camera`.
    """
    noise = _ramp(damage.noise, _NOISE_FROM, _NOISE_FULL) ** _NOISE_EXPONENT
    quality = _QUALITY_FROM if damage.jpeg_quality is None else damage.jpeg_quality
    jpeg = _ramp(quality, _QUALITY_FROM, _QUALITY_FULL) ** _QUALITY_EXPONENT
    return float(max(1 - (1 - noise) * (1 - jpeg), _CAMERA if from_camera else 0.0))


def names_camera(exif: bytes | None) -> bool:
    """Whether an EXIF block (it begins with ``II`` or ``MM``) names the maker of a camera."""
    if exif is None:
        return False
    tags = Image.Exif()
    try:
        tags.load(exif)
        return bool(str(tags.get(_MAKE) or "").strip())
    except Exception:  # noqa: BLE001 - a damaged block can raise anything, and names nothing
        end_if_stopped()
        return False


def measure_damage(pixels: npt.NDArray[Any], file_quality: float | None = None) -> Damage:
    """Measure the noise and the traces of JPEG.

    Args:
        pixels: (H, W, 3) RGB or (H, W, 1) grey, uint8 or uint16, the full range of the type.
        file_quality: quality of the JPEG file of the pixels, see `quality_of_tables`; None for other files.
            Traces of an earlier, stronger compression count too.

    Raises:
        InputError: the array has another shape or type.
    """
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"the array has the shape {pixels.shape} and the type {pixels.dtype}: give (height, width, 3) or "
            "(height, width, 1) of uint8 or uint16"
        )
    quality = _traced_quality(pixels)
    if file_quality is not None and (quality is None or quality > file_quality - _SAME_QUALITY):
        quality = file_quality
    return Damage(_noise_level(pixels, is_jpeg=quality is not None), quality)


def _ramp(value: float, start: float, end: float) -> float:
    return float(min(max((value - start) / (end - start), 0.0), 1.0))


# Windows


def _windows(pixels: npt.NDArray[Any], side: int, step: int, most: int) -> npt.NDArray[Any]:
    """Cut square windows at multiples of `step`, spread evenly over the picture.

    Returns (N, side, side, C) in the pixels' type. N is at most about `most`, and 0 if the picture is smaller
    than a window.
    """
    counts = [max((length - side) // step + 1, 0) for length in pixels.shape[:2]]
    thinning = max((counts[0] * counts[1] / most) ** 0.5, 1.0)
    rows, columns = (_spread(count, round(count / thinning)) * step for count in counts)
    places = [axis.ravel()[:, None, None] for axis in np.meshgrid(rows, columns, indexing="ij")]
    kept = _spread(len(places[0]), most)
    inside = np.arange(side)
    windows: npt.NDArray[Any] = pixels[places[0][kept] + inside[:, None], places[1][kept] + inside]
    return windows


def _spread(count: int, wanted: int) -> npt.NDArray[np.intp]:
    """Return at most `wanted` evenly spaced numbers below `count`; at least one if `count` is above 0."""
    kept = min(max(wanted, 1), count)
    return np.arange(kept, dtype=np.intp) * count // max(kept, 1)


def _levels(values: npt.NDArray[Any]) -> _Floats:
    """Return pixel values as levels of 255."""
    levels: _Floats = values.astype(np.float32)
    if values.dtype == np.uint16:
        levels /= 257
    return levels


def _luma(levels: _Floats) -> _Floats:
    """(..., C) -> (...), C = 1 or 3."""
    luma: _Floats = levels[..., 0] if levels.shape[-1] == 1 else levels @ _LUMA
    return luma


# Noise
#
# Noise is in every block; texture is not. So the noise is a low percentile of the blocks' deviations from a
# smooth surface. Three rules separate it from texture that fills the picture. 1. Noise has nearly the same
# strength in all blocks: if the percentiles are far apart, the level is lowered. 2. Texture has little
# contrast in colour, noise as much as in the luma: the smallest of luma, R-Y and B-Y counts. 3. Without
# information in colour (grey; JPEG, which removes colour noise), noise must be in high frequencies too.

_NOISE_BLOCKS = 4096
_FEWEST_BLOCKS = 8
_TINY, _SMALL = 16, 64
"""Numbers of whole blocks: with fewer than the first, noise and texture cannot be separated; with fewer than
the second, blocks overlap by half."""
_FEWEST_SHARE = 0.05
"""Share of the blocks that must be nearly free of clipping."""
_CLIPPED_SHARES = (0.05, 0.5)
_LEVELS_OF_NOISE = 24
_DARKEST, _BRIGHTEST = 1.0, 254.0
_LOW, _MIDDLE = 5, 25
_SPREAD_OF_NOISE = 0.11
"""Distance of these percentiles for pure white noise, as a share of the lower one."""

# The low percentile for white noise of level 1 in all three channels, of the luma, R-Y and B-Y (measured);
# the same for noise of level 1 in a grey picture; and the share of it that the high frequencies show.
_COLOUR_GAINS = (0.62, 0.62 * 1.29, 0.62 * 1.55)
_GREY_GAIN = 0.86
_HIGH_GAIN = 0.9


def _cosines() -> npt.NDArray[np.float64]:
    """Return the orthonormal DCT of 8 values, (frequency, place)."""
    order, place = np.mgrid[0:_BLOCK, 0:_BLOCK]
    rows: npt.NDArray[np.float64] = np.cos((2 * place + 1) * order * np.pi / (2 * _BLOCK)) / 2
    rows[0] /= 2**0.5
    return rows


_DCT = _cosines()


def _rough_part() -> _Floats:
    """Return the projection (64, 64) that removes the fitted quadratic surface from a block."""
    row, column = (axis.ravel() / 4 for axis in np.mgrid[0:_BLOCK, 0:_BLOCK] - 3.5)
    terms = np.stack([np.ones(_PHASES), row, column, row * column, row * row, column * column], axis=1)
    basis = np.linalg.qr(terms)[0]
    rough: _Floats = (np.eye(_PHASES) - basis @ basis.T).astype(np.float32)
    return rough


_ROUGH = _rough_part()
_ROUGH_FREEDOM = _PHASES - 6
_ORDERS = np.add.outer(np.arange(_BLOCK), np.arange(_BLOCK)).ravel()
_HIGH = np.kron(_DCT, _DCT)[_ORDERS >= _BLOCK].astype(np.float32)


def _noise_level(pixels: npt.NDArray[Any], *, is_jpeg: bool) -> float:
    """Return the standard deviation of the noise, levels of 255."""
    whole = (pixels.shape[0] // _BLOCK) * (pixels.shape[1] // _BLOCK)
    if whole < _TINY:
        return 0.0
    small = whole < _SMALL
    cut = _windows(pixels, _BLOCK, _BLOCK // 2 if small else _BLOCK, _NOISE_BLOCKS)
    blocks = _unclipped(_levels(cut).reshape(len(cut), _PHASES, pixels.shape[2]))
    if len(blocks) < _FEWEST_BLOCKS:
        return 0.0
    luma = _luma(blocks)
    drawn = _drawn(luma)
    if blocks.shape[2] == 1 or float(np.ptp(blocks, axis=2).max()) == 0:
        return _strict_floor(luma, drawn) / _GREY_GAIN
    planes = (luma, blocks[..., 0] - luma, blocks[..., 2] - luma)
    floor = _strict_floor if small else _floor
    level = min(floor(plane, drawn) / gain for plane, gain in zip(planes, _COLOUR_GAINS, strict=True))
    return max(level, _strict_floor(luma, drawn) / _COLOUR_GAINS[0]) if is_jpeg else level


def _unclipped(blocks: _Floats) -> _Floats:
    """Return the blocks (N, 64, C) with little clipping; if there are too few, also half-clipped blocks.

    Returns no blocks if these are too few to represent the picture.
    """
    clipped = ((blocks <= _DARKEST) | (blocks >= _BRIGHTEST)).mean(axis=1).max(axis=1)
    for share in _CLIPPED_SHARES:
        kept = clipped <= share
        if kept.mean() >= _FEWEST_SHARE:
            return np.asarray(blocks[kept])
    return blocks[:0]


def _drawn(luma: _Floats) -> npt.NDArray[np.bool_]:
    """Return a mask of the blocks (N, 64) with fewer distinct levels than noise of the same contrast has."""
    distinct = _distinct(luma)
    drawn: npt.NDArray[np.bool_] = distinct < np.minimum(2 * luma.std(axis=1) + 3, _LEVELS_OF_NOISE)
    return drawn


def _distinct(values: _Floats) -> npt.NDArray[np.intp]:
    """Return the number of distinct values in each row."""
    counts: npt.NDArray[np.intp] = (np.diff(np.sort(values, axis=1), axis=1) > 0).sum(axis=1) + 1
    return counts


def _floor(plane: _Floats, drawn: npt.NDArray[np.bool_]) -> float:
    return max(_floors(plane, drawn, 0.5))


def _strict_floor(plane: _Floats, drawn: npt.NDArray[np.bool_]) -> float:
    return min(_floors(plane, drawn, 1.0))


def _floors(plane: _Floats, drawn: npt.NDArray[np.bool_], steepness: float) -> tuple[float, float]:
    """Return the deviation that nearly all blocks reach, in all frequencies and in the high frequencies.

    Args:
        plane: (N, 64).
        drawn: (N,), mask of blocks without noise.
        steepness: factor on the distance between a low and a middle percentile, reduced by this distance for
            pure noise; the product is subtracted.
    """
    rough = np.sqrt(np.square(plane @ _ROUGH).sum(axis=1) / _ROUGH_FREEDOM)
    high = np.sqrt(np.square(plane @ _HIGH.T).mean(axis=1)) / _HIGH_GAIN
    floors = []
    for deviations in (rough, high):
        low, middle = (float(part) for part in np.percentile(np.where(drawn, 0, deviations), [_LOW, _MIDDLE]))
        excess = max(middle - low * (1 + _SPREAD_OF_NOISE), 0.0)
        floors.append(max(low - steepness * excess, 0.0))
    return floors[0], floors[1]


# JPEG
#
# A JPEG stores multiples of its quantisation steps. On the grid of its blocks, the DCT of the decoded luma
# is still near these multiples; on the 63 other grids it is not. So every grid is tried, and every step for
# each frequency: the mean cosine of 2 pi value / step is near 1 for the true step and grid. Zeros are left
# out: smooth blocks have them on every grid.

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
_SAME_QUALITY = 5.0
"""Smallest difference from the file's quality at which a traced quality means an earlier compression."""

_JPEG_CANDIDATES, _JPEG_WINDOWS = 4096, 1024
_WINDOW = 2 * _BLOCK - 1
"""Side of a window with one block of each grid."""
_LEAST_RANGE = 4.0
_FEWEST_LEVELS = 12
"""A window with fewer distinct levels is drawn, not photographed: its DCT is discrete on every grid."""
_FREQUENCIES = np.flatnonzero((_ORDERS > 0) & (_ORDERS < _BLOCK))
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
    if not tables or any(len(table) != _PHASES for table in tables.values()):
        sizes = [len(table) for table in tables.values()]
        raise InputError(
            f"the quantisation tables have the sizes {sizes}: give one or more of {_PHASES} steps"
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


def _traced_quality(pixels: npt.NDArray[Any]) -> float | None:
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


def _textured_windows(pixels: npt.NDArray[Any]) -> _Floats:
    """Return the luma of windows (N, 15, 15) that may show a grid, cut at multiples of 8."""
    cut = _windows(pixels, _WINDOW, _BLOCK, _JPEG_CANDIDATES)
    luma = _luma(_levels(cut)).reshape(len(cut), _WINDOW * _WINDOW)
    luma = luma[np.ptp(luma, axis=1) >= _LEAST_RANGE]
    luma = luma[_spread(len(luma), _JPEG_WINDOWS)]
    photographed: _Floats = luma[_distinct(luma) >= _FEWEST_LEVELS]
    return photographed.reshape(-1, _WINDOW, _WINDOW)


def _histograms(windows: _Floats) -> npt.NDArray[np.float64]:
    """Return histograms of the DCT's values: (64 grids, frequencies, bins of a quarter level)."""
    transform = _DCT.astype(np.float32).T
    across = sliding_window_view(windows, _BLOCK, axis=2) @ transform
    both = sliding_window_view(across, _BLOCK, axis=1) @ transform  # window, row, column, v, u
    values = both.transpose(1, 2, 4, 3, 0).reshape(_PHASES, _PHASES, -1)[:, _FREQUENCIES]
    bins = (np.abs(values) * _BINS_PER_LEVEL).astype(np.int64)
    inside = bins < _BINS
    shape = (_PHASES, len(_FREQUENCIES), _BINS)
    bins += (np.arange(shape[0] * shape[1]) * _BINS).reshape(shape[0], shape[1], 1)
    return np.bincount(bins[inside], minlength=int(np.prod(shape))).reshape(shape).astype(np.float64)
