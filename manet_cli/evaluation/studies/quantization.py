"""The smallest cross that shows the blur, with and without rounding to 8 bits.

Black crosses on white, one pixel thick and of nine sizes, are blurred by one kernel and shrunk, with and
without rounding to 8 bits. The estimate in the middle of each is compared with the true kernel. The result
depends on the cross's position between LR pixels, so all s x s placements are measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from manet_cli.degradations.blur import apply_blur_and_subsample
from manet_cli.degradations.gaussian import GaussianParameters
from manet_cli.degradations.quantization import apply_quantization
from manet_cli.evaluation.studies import style
from manet_cli.evaluation.studies.estimates import Progress, Subject, decibels, kernel_shape, survey
from manet_cli.evaluation.studies.files import Study
from manet_cli.images.sheet import BLUE, GREEN, MUTED, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CROSS_SIZES", "cross_picture", "quantization_study"]

CROSS_SIZES = (1, 3, 5, 7, 9, 11, 21, 41, 61)
_KERNEL = GaussianParameters.from_degrees(6, 1, 45)
_ROW = 3
_CELL = 160
"""Distance of the crosses in HR pixels, so large that no estimate depends on two crosses."""

_SHOWN = 16
"""Side of the pieces of the LR picture in the figure, LR pixels."""

_DEGREES, _RATIO = 15.0, 1.5
_SIZE = (1600, 1180)
_CRITERIA = {
    "nearer_true": "the estimate is nearer, by kernel PSNR, to the true kernel than to a blank picture's",
    "direction": f"its long axis is within {_DEGREES:g} degrees of the true long axis, and at least "
    f"{_RATIO:g} times as long as its short axis (standard deviations)",
    "from": "the smallest size from which the criterion is met in more than half of the placements",
}
_KINDS = ("unquantized", "quantized")


@dataclass(frozen=True, eq=False)
class _Findings:
    """Content of the figure.

    Attributes:
        pieces: (9, 3, h, w), the 8-bit LR picture around the crosses, first placement.
        kernels: (2, placements, 9, k, k), estimates without and with 8 bits.
        psnr: (2, placements, 9), against the true kernel.
        true, blank: kernels (k, k).
    """

    pieces: Tensor
    kernels: Tensor
    psnr: Tensor
    true: Tensor
    blank: Tensor
    scale: int


def cross_picture(down: int = 0, right: int = 0) -> tuple[Tensor, list[tuple[int, int]]]:
    """Return the picture of all crosses (1, 3, 480, 480), moved by whole pixels, and their centres (y, x)."""
    rows = -(-len(CROSS_SIZES) // _ROW)
    picture = torch.ones(1, 3, rows * _CELL, _ROW * _CELL)
    centres = []
    for number, size in enumerate(CROSS_SIZES):
        y, x = (place * _CELL + _CELL // 2 for place in divmod(number, _ROW))
        y, x, arm = y + down, x + right, size // 2
        picture[..., y, x - arm : x + arm + 1] = 0
        picture[..., y - arm : y + arm + 1, x] = 0
        centres.append((y, x))
    return picture, centres


def quantization_study(subject: Subject, *, progress: Progress = lambda share: None) -> Study:
    """Estimate the kernels in the middle of crosses of all sizes and placements.

    Args:
        subject: the model.
        progress: callback for the share done.

    Raises:
        ManetError: the networks fail.
    """
    scale = subject.scale
    true = _KERNEL.kernel(scale)
    found: list[list[Tensor]] = [[], []]
    pieces: list[Tensor] = []
    placements = _placements(scale)
    for placement, moved in enumerate(placements):
        hr, centres = cross_picture(*moved)
        lr = apply_blur_and_subsample(hr, true, scale)
        # LR pixel j shows HR position s j - (s - 1) / 2.
        middles = [tuple(round((place + (scale - 1) / 2) / scale) for place in centre) for centre in centres]
        keep = torch.tensor([y * lr.shape[3] + x for y, x in middles])
        for kind, image in enumerate((lr, apply_quantization(lr))):
            found[kind].append(survey(subject.model, image, [], keep).kept)
            progress((2 * placement + kind + 1) / (2 * len(placements)))
        if not pieces:
            half = _SHOWN // 2
            pieces = [lr[0, :, y - half : y + half + 1, x - half : x + half + 1] for y, x in middles]
    kernels = torch.stack([torch.stack(kind) for kind in found])
    blank = subject.blank_kernel
    to_true, to_blank = decibels(kernels, true), decibels(kernels, blank)
    numbers = subject.fields("quantization") | {
        "kernel": _KERNEL.label,
        "placements": len(placements),
        "criteria": _CRITERIA,
        "true_to_blank_psnr": round(float(decibels(true, blank)), 3),
        "blank_picture": subject.blank_fields(),
        "largest_change_by_quantization": round(float((to_true[0] - to_true[1]).abs().max()), 3),
        **{
            kind: _fields(kernels[index], to_true[index], to_blank[index])
            for index, kind in enumerate(_KINDS)
        },
    }
    result = _Findings(apply_quantization(torch.stack(pieces)), kernels, to_true, true, blank, scale)
    return Study(numbers, _SIZE, lambda figure: _draw(figure, result, numbers))


def _placements(scale: int) -> list[tuple[int, int]]:
    """Return the shifts of the crosses, down and to the right: all positions between LR pixels."""
    return [divmod(number, scale) for number in range(scale**2)]


def _fields(kernels: Tensor, to_true: Tensor, to_blank: Tensor) -> dict[str, object]:
    """Return the numbers of one kind of picture by its kernels (placements, sizes, k, k) and their PSNR."""
    nearer = (to_true > to_blank).float().mean(dim=0).tolist()
    placements = len(kernels)
    directions = [
        sum(_shows_direction(kernel) for kernel in kernels[:, index]) / placements
        for index in range(len(CROSS_SIZES))
    ]
    sizes = [
        {
            "size": size,
            "first_placement": round(float(to_true[0, index]), 3),
            "mean_kernel_psnr": round(float(to_true[:, index].mean()), 3),
            "smallest": round(float(to_true[:, index].min()), 3),
            "largest": round(float(to_true[:, index].max()), 3),
            "share_nearer_true": round(nearer[index], 4),
            "share_direction": round(directions[index], 4),
        }
        for index, size in enumerate(CROSS_SIZES)
    ]
    return {"nearer_true_from": _from(nearer), "direction_from": _from(directions), "sizes": sizes}


def _shows_direction(kernel: Tensor) -> bool:
    shape = kernel_shape(kernel)
    off = abs(shape.degrees - math.degrees(_KERNEL.theta))
    return min(off, 180 - off) <= _DEGREES and shape.sig1 >= _RATIO**2 * shape.sig2


def _from(shares: list[float]) -> int | None:
    """Return the smallest size such that its share and all later ones exceed one half; None if none does."""
    found = None
    for size, share in zip(reversed(CROSS_SIZES), reversed(shares), strict=True):
        if share <= 0.5:
            break
        found = size
    return found


def _draw(figure: Figure, found: _Findings, numbers: dict[str, Any]) -> None:
    kinds = [numbers[kind] for kind in _KINDS]
    nearer, direction = (
        _words(*(kind[name] for kind in kinds)) for name in ("nearer_true_from", "direction_from")
    )
    style.heading(
        figure,
        f"A cross shows the direction of its blur {direction}",
        [
            f"Black crosses, one pixel thick, on white, blurred by {numbers['kernel']} (variances, degrees), "
            f"shrunk x{found.scale}. Pictures: the first of {numbers['placements']} placements.",
            f"Nearer to the truth than to a blank picture's kernel {nearer}. Rounding changes an "
            f"estimate by at most {numbers['largest_change_by_quantization']:.1f} dB.",
        ],
    )
    peak = float(found.true.max())
    rows = ["shrunk picture", "estimate,\nunrounded", "estimate,\n8 bits"]
    for row, name in enumerate(rows):
        style.note(figure, 40, 200 + 148 * row + 46, name, weight="bold")
    for column, size in enumerate(CROSS_SIZES):
        left = 205 + 152 * column
        style.note(figure, left + 66, 158, f"{size}x{size}", align="center", weight="bold")
        axes = style.panel(figure, left, 190, 132, 132)
        piece = style.pixels(found.pieces[column : column + 1])
        axes.imshow(piece, interpolation="nearest", aspect="auto")
        style.bare(axes)
        for kind in range(2):
            axes = style.panel(figure, left, 338 + 148 * kind, 132, 132)
            style.show_kernel(axes, found.kernels[kind, 0, column], found.scale, peak=peak)
    for number, (name, kernel, colour) in enumerate(
        (("true kernel", found.true, GREEN), ("blank picture's", found.blank, MUTED))
    ):
        style.note(figure, 40, 690 + 235 * number, name, colour=colour, weight="bold")
        axes = style.panel(figure, 40, 718 + 235 * number, 160, 160)
        style.show_kernel(axes, kernel, found.scale, peak=peak, colour=colour)
    _draw_curves(style.panel(figure, 310, 690, 1250, 400), found, numbers)


def _draw_curves(axes: Axes, found: _Findings, numbers: dict[str, Any]) -> None:
    places = list(range(len(CROSS_SIZES)))
    looks = ((BLUE, "o", "unrounded", "-"), (ORANGE, "s", "8 bits", "--"))
    for kind, (colour, marker, label, line) in enumerate(looks):
        low, high = found.psnr[kind].amin(dim=0).tolist(), found.psnr[kind].amax(dim=0).tolist()
        axes.fill_between(places, low, high, color=colour, alpha=0.12, linewidth=0)
        mean = found.psnr[kind].mean(dim=0).tolist()
        look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 9, "linestyle": line}
        axes.plot(places, mean, label=f"{label}: mean, and range over the placements", **look)
    level = numbers["true_to_blank_psnr"]
    axes.axhline(level, color=MUTED, linewidth=1.5, linestyle=":")
    axes.text(
        places[-1],
        level,
        "a blank picture's kernel ",
        color=MUTED,
        ha="right",
        va="bottom",
        fontsize=style.SMALL_POINTS,
    )
    axes.set_xticks(places, [f"{size}x{size}" for size in CROSS_SIZES])
    axes.set_xlabel("size of the cross in HR pixels")
    axes.set_ylabel("kernel PSNR to the truth, dB")
    axes.legend(loc="upper left")


def _words(unrounded: int | None, rounded: int | None) -> str:
    first, second = (f"from {size}x{size} on" if size else "at no size" for size in (unrounded, rounded))
    return f"{first}, in 8 bits too" if first == second else f"{first}; in 8 bits, {second}"
