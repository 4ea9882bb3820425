"""Distribution of the kernels estimated in one picture, by t-SNE, with the true kernel.

A picture is blurred by one kernel and shrunk; every LR pixel gives an estimate. Estimates in texture should
be near the true kernel, estimates in flat areas near the kernel of a blank picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from manet_cli.degradations.gaussian import GaussianParameters
from manet_cli.degradations.protocol import Degradation
from manet_cli.errors import InputError
from manet_cli.evaluation.studies import style
from manet_cli.evaluation.studies.estimates import Progress, Subject, Survey, decibels, survey, turned
from manet_cli.evaluation.studies.extra import quiet_libraries
from manet_cli.evaluation.studies.files import Study
from manet_cli.images.sheet import BLUE, GREEN, MUTED, ORANGE, fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["tsne_study"]

_SMALLEST_SIDE = 8
_WINDOW = 21
_LUMA = (0.299, 0.587, 0.114)
_BLANK_DEVIATION = 1.0
_PERPLEXITY = 30.0
_SIZE = (1600, 1130)
_CLOUD, _CLOUD_MARGIN, _CELL = (1010, 940), 60, 112
_CRITERIA = {
    "near": "nearer, by kernel PSNR, to the true kernel than to blank pictures' kernel",
    "turned": "nearer to the true kernel turned by 90 degrees than to the true kernel",
    "texture": f"standard deviation of the LR luma (0..255) in {_WINDOW}x{_WINDOW} pixels around",
    "textured": "the quarter of the pixels with most texture",
    "flat": "the quarter of the pixels with least texture",
    "blank": f"texture below {_BLANK_DEVIATION:g} level",
}
_TRUTH, _BLANK, _TURNED = range(3)
_Places: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Findings:
    """Content of the figure.

    Attributes:
        lr: (1, 3, h, w).
        estimates: compared with the true, the blank and the turned kernel; ``kept`` has the sampled pixels.
        texture: (h, w).
        sample: (n,), indices of the sampled pixels.
        points: (n + 2, 2), places of the sampled estimates, the true and the blank kernel.
        true, blank: kernels (k, k).
    """

    lr: Tensor
    estimates: Survey
    texture: Tensor
    sample: Tensor
    points: _Places
    true: Tensor
    blank: Tensor
    scale: int


def tsne_study(
    subject: Subject,
    hr: Tensor,
    kernel: GaussianParameters,
    *,
    samples: int,
    seed: int,
    progress: Progress = lambda share: None,
) -> Study:
    """Degrade a picture, estimate its kernels and embed a sample of them in the plane.

    Args:
        subject: the model.
        hr: (1, 3, H, W) in [0, 1].
        kernel: the true blur.
        samples: largest number of embedded estimates; the numbers count all estimates.
        seed: random seed of the sample and of t-SNE.
        progress: callback for the share done.

    Raises:
        InputError: the picture is too small.
        ManetError: any other error.
    """
    scale = subject.scale
    if min(hr.shape[-2:]) < _SMALLEST_SIDE * scale:
        raise InputError(
            f"the picture is {hr.shape[-1]}x{hr.shape[-2]} pixels; this study needs at least "
            f"{_SMALLEST_SIDE * scale} a side"
        )
    lr = Degradation(scale, kernel).apply(hr).lr
    pixels = lr.shape[2] * lr.shape[3]
    generator = torch.Generator().manual_seed(seed)
    sample = torch.randperm(pixels, generator=generator)[:samples].sort().values
    true, blank = kernel.kernel(scale), subject.blank_kernel
    references = [true, blank, turned(kernel).kernel(scale)]
    estimates = survey(subject.model, lr, references, sample, lambda share: progress(share / 2))
    perplexity = min(_PERPLEXITY, (len(sample) + 1) / 4)
    points = _laid_out(torch.cat([estimates.kept, true[None], blank[None]]), perplexity, seed)
    found = _Findings(lr, estimates, _texture(lr), sample, points, true, blank, scale)
    round_kernel = float(decibels(true, references[_TURNED])) > 80
    numbers = subject.fields("tsne") | {
        "kernel": kernel.label,
        "lr_width": lr.shape[3],
        "lr_height": lr.shape[2],
        "seed": seed,
        "perplexity": perplexity,
        "criteria": _CRITERIA,
        "true_to_blank_psnr": round(float(decibels(true, blank)), 3),
        **_groups(found, round_kernel),
        "blank_picture": subject.blank_fields(),
        "embedding": _embedding_fields(found),
    }
    return Study(numbers, _SIZE, lambda figure: _draw(figure, found, kernel, numbers))


def _texture(lr: Tensor) -> Tensor:
    """Return the standard deviation of the luma around every pixel of (1, 3, h, w), in levels, (h, w)."""
    luma = (lr.double() * 255 * torch.tensor(_LUMA, dtype=torch.float64)[:, None, None]).sum(1, keepdim=True)
    padded = F.pad(luma, (_WINDOW // 2,) * 4, mode="replicate")
    mean, square = (F.avg_pool2d(values, _WINDOW, 1) for values in (padded, padded**2))
    return (square - mean**2).clamp(min=0).sqrt()[0, 0]


def _laid_out(kernels: Tensor, perplexity: float, seed: int) -> _Places:
    """Embed kernels (n, k, k) in the plane by t-SNE; return places (n, 2)."""
    values = kernels.flatten(1)
    with quiet_libraries():
        from sklearn.manifold import TSNE  # type: ignore[import-untyped]

        # Scale the values from about 0.01 to about 1: t-SNE has absolute thresholds.
        method = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
        points = method.fit_transform((values / values.std()).numpy())
    return np.asarray(points, np.float32)


def _groups(found: _Findings, round_kernel: bool) -> dict[str, object]:
    """Return the numbers of all pixels, and of pixels with much, little and no texture."""
    low, high = (torch.quantile(found.texture.flatten(), share) for share in (0.25, 0.75))
    groups = {
        "all": torch.ones_like(found.texture, dtype=torch.bool),
        "textured": found.texture >= high,
        "flat": found.texture <= low,
        "blank": found.texture < _BLANK_DEVIATION,
    }
    return {name: _group_fields(found.estimates.psnr[:, mask], round_kernel) for name, mask in groups.items()}


def _group_fields(psnr: Tensor, round_kernel: bool) -> dict[str, object]:
    """Return the numbers of pixels by their PSNR (3, n) against the true, the blank and the turned kernel."""
    count = psnr.shape[1]
    if not count:
        return {"pixels": 0}
    to_true, to_blank, to_turned = psnr
    return {
        "pixels": count,
        "median_kernel_psnr": round(float(to_true.median()), 3),
        "median_psnr_to_blank": round(float(to_blank.median()), 3),
        "share_near": round(float((to_true > to_blank).float().mean()), 4),
        "share_turned": None if round_kernel else round(float((to_turned > to_true).float().mean()), 4),
    }


def _embedding_fields(found: _Findings) -> dict[str, object]:
    """Return the places and their distances to the true kernel, in units of the cloud's size."""
    *points, true, blank = found.points
    places = np.stack(points)
    size = float(np.sqrt(((places - places.mean(axis=0)) ** 2).sum(axis=1).mean()))
    psnr = found.estimates.psnr.flatten(1)[:, found.sample]
    near = (psnr[_TRUTH] > psnr[_BLANK]).numpy()
    distance = np.hypot(*(places - true).T) / size
    width = found.lr.shape[3]
    return {
        "samples": len(places),
        "size": round(size, 3),
        "true": _rounded(true),
        "blank": _rounded(blank),
        "median_distance_to_true": {
            name: round(float(np.median(distance[mask])), 3) if mask.any() else None
            for name, mask in (("near", near), ("not_near", ~near))
        },
        "columns": ["x", "y", "lr_row", "lr_column", "kernel_psnr", "texture"],
        "points": [
            [
                *_rounded(place),
                number // width,
                number % width,
                round(float(level), 2),
                round(float(texture), 2),
            ]
            for place, number, level, texture in zip(
                places,
                found.sample.tolist(),
                psnr[_TRUTH],
                found.texture.flatten()[found.sample],
                strict=True,
            )
        ],
    }


def _rounded(place: _Places) -> list[float]:
    return [round(float(value), 3) for value in place]


def _draw(figure: Figure, found: _Findings, kernel: GaussianParameters, numbers: dict[str, Any]) -> None:
    near, textured, flat = numbers["all"]["share_near"], numbers["textured"], numbers["flat"]
    blank = numbers["blank_picture"]
    style.heading(
        figure,
        f"{style.percent(near)} of the estimates are nearer to the true kernel than to a blank picture's",
        [
            f"Blur {kernel.label} (variances, degrees), x{found.scale}. t-SNE of {len(found.sample)} of "
            f"{numbers['all']['pixels']} pixels' kernels; small pictures are the kernels there.",
            f"Median kernel PSNR {textured['median_kernel_psnr']:.1f} dB with much texture, "
            f"{flat['median_kernel_psnr']:.1f} dB with little. Blank pictures give a round kernel "
            f"(axes 1 : {blank['axis_ratio']:.2f}), the same to {blank['smallest_agreement']:.0f} dB.",
        ],
    )
    psnr = found.estimates.psnr[_TRUTH]
    low, high = (float(torch.quantile(psnr.flatten(), share)) for share in (0.02, 0.98))
    limits: dict[str, Any] = {"cmap": style.map_of_numbers(), "vmin": low, "vmax": max(high, low + 0.1)}
    _draw_cloud(figure, found, limits)
    height, width = psnr.shape
    box = fitted(width, height, 460, 300)
    style.note(figure, 1100, 140, "The shrunk picture")
    picture = style.panel(figure, 1100, 165, *box)
    picture.imshow(style.pixels(found.lr), interpolation="nearest", aspect="auto")
    style.bare(picture)
    style.note(figure, 1100, 480, "Where the estimates are near the truth")
    where = style.panel(figure, 1100, 505, *box)
    shown = where.imshow(psnr.numpy(), interpolation="nearest", aspect="auto", **limits)
    style.bare(where)
    style.colour_bar(figure, shown, (1100, 845, 460, 16), "kernel PSNR to the truth, dB (also left)")
    _draw_histogram(style.panel(figure, 1100, 930, 460, 130), found)


def _draw_cloud(figure: Figure, found: _Findings, limits: dict[str, Any]) -> None:
    axes = style.panel(figure, 40, 140, *_CLOUD)
    places = _filling(found.points)
    levels = found.estimates.psnr[_TRUTH].flatten()[found.sample].numpy()
    axes.scatter(places[:-2, 0], places[:-2, 1], c=levels, s=26, linewidths=0, **limits)
    peak = float(found.true.max())
    for number in _spread(places):
        _thumbnail(axes, found.estimates.kept[number], found.scale, places[number], 29, peak, MUTED)
    for kernel, place, colour in ((found.blank, -1, ORANGE), (found.true, -2, GREEN)):
        _thumbnail(axes, kernel, found.scale, places[place], 50, peak, colour)
    axes.set_xlim(0, _CLOUD[0])
    axes.set_ylim(0, _CLOUD[1])
    style.bare(axes)
    style.note(figure, 56, 1088, "green frame: the true kernel", colour=GREEN, weight="bold")
    style.note(figure, 400, 1088, "orange frame: what a blank picture gives", colour=ORANGE, weight="bold")


def _filling(points: _Places) -> _Places:
    """Scale places to fill the panel, in pixels; the factors of the axes differ by at most a third."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.asarray(_CLOUD, np.float32) - 2 * _CLOUD_MARGIN
    factors = room / np.maximum(high - low, 1e-6)
    factors = np.minimum(factors, factors.min() * 4 / 3)
    places: _Places = (points - (low + high) / 2) * factors + np.asarray(_CLOUD, np.float32) / 2
    return places


def _spread(places: _Places) -> list[int]:
    """Return the indices of estimates that do not overlap: in each cell of a grid, the nearest to the centre.

    Estimates that would cover the true or the blank kernel are left out.
    """
    chosen: dict[tuple[int, int], tuple[float, int]] = {}
    for number, place in enumerate(places[:-2]):
        cell = (int(place[0] // _CELL), int(place[1] // _CELL))
        distance = float(np.abs(place / _CELL - np.floor(place / _CELL) - 0.5).max())
        hidden = np.abs(places[-2:] - place).max(axis=1).min() < 90
        if distance < 0.25 and not hidden and distance < chosen.get(cell, (1.0, 0))[0]:
            chosen[cell] = (distance, number)
    return [number for _, number in chosen.values()]


def _thumbnail(
    axes: Axes,
    kernel: Tensor,
    scale: int,
    place: _Places,
    half: float,
    peak: float,
    colour: str,
) -> None:
    (x, y), width = place, 1.5 if colour == MUTED else 4
    outline = (x - half, x + half, y - half, y + half)
    shades = style.kernel_pixels(kernel, scale, peak)
    axes.imshow(shades, extent=outline, interpolation="nearest", aspect="auto", zorder=3)
    axes.plot(
        [outline[0], outline[1], outline[1], outline[0], outline[0]],
        [outline[2], outline[2], outline[3], outline[3], outline[2]],
        color=colour,
        linewidth=width,
        zorder=4,
    )


def _draw_histogram(axes: Axes, found: _Findings) -> None:
    psnr = found.estimates.psnr[_TRUTH]
    limits = (float(psnr.min()), float(psnr.max()) + 0.1)
    bins = [float(edge) for edge in np.linspace(*limits, 25)]
    low, high = (torch.quantile(found.texture.flatten(), share) for share in (0.25, 0.75))
    for mask, colour, label in (
        (found.texture >= high, BLUE, "much texture"),
        (found.texture <= low, ORANGE, "little texture"),
    ):
        values = psnr[mask].numpy()
        axes.hist(values, bins=bins, histtype="step", color=colour, linewidth=2.5, label=label)
    axes.set_yticks([])
    axes.set_xlim(*limits)
    axes.set_xlabel("kernel PSNR to the truth, dB")
    axes.set_ylabel("pixels")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 0.95), ncols=2, borderaxespad=0, handlelength=1.2)
