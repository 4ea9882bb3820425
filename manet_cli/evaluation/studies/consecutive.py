"""Two blurs one after the other: which one do the estimates follow?

A picture is blurred and shrunk twice, with two kernels, to 8 bits each time. The estimates on the result are
compared with both kernels. As a control, the picture is shrunk by averaging and goes through the second blur
only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from manet_cli.degradations.gaussian import GaussianParameters
from manet_cli.degradations.protocol import Degradation, crop_to_multiple
from manet_cli.degradations.quantization import apply_quantization
from manet_cli.errors import InputError, Parameter, UsageError
from manet_cli.evaluation.studies import style
from manet_cli.evaluation.studies.estimates import (
    Progress,
    Subject,
    Survey,
    decibels,
    kernel_shape,
    survey,
)
from manet_cli.evaluation.studies.files import Study
from manet_cli.images.sheet import BLUE, INK, ORANGE, PALE, fitted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["consecutive_study"]

_SMALLEST_SIDE = 8
_EXAMPLES = 14
_SAME = 90.0
_RANGE = 15.0
_TOP, _KERNEL = 172, 214


@dataclass(frozen=True, eq=False)
class _Findings:
    """Content of the figure: the picture (1, 3, h, w), its estimates against both kernels, the kernels."""

    lr: Tensor
    estimates: Survey
    kernels: tuple[Tensor, Tensor]
    scale: int


def consecutive_study(
    subject: Subject,
    hr: Tensor,
    first: GaussianParameters,
    second: GaussianParameters,
    *,
    seed: int,
    progress: Progress = lambda share: None,
) -> Study:
    """Blur and shrink a picture twice, and find which kernel is nearer to its estimates.

    Args:
        subject: the model.
        hr: (1, 3, H, W) in [0, 1].
        first: the first blur.
        second: the second blur.
        seed: random seed of the pixels whose kernels are shown.
        progress: callback for the share done.

    Raises:
        UsageError: the two kernels are the same.
        InputError: the picture is too small.
        ManetError: any other error.
    """
    scale = subject.scale
    kernels = (first.kernel(scale), second.kernel(scale))
    if float(decibels(*kernels)) > _SAME:
        raise UsageError(
            *(Parameter("first", first.label), " and ", Parameter("second", second.label)),
            " are the same kernel; change one",
        )
    smallest = _SMALLEST_SIDE * scale**2
    if min(hr.shape[-2:]) < smallest:
        raise InputError(
            f"the picture is {hr.shape[-1]}x{hr.shape[-2]} pixels; this study makes it {scale**2} times "
            f"smaller, so it needs at least {smallest} pixels a side"
        )
    once = Degradation(scale, first).apply(hr).lr
    lr = Degradation(scale, second).apply(once).lr
    pixels = lr.shape[2] * lr.shape[3]
    shown = torch.randperm(pixels, generator=torch.Generator().manual_seed(seed))[:_EXAMPLES].sort().values
    estimates = survey(subject.model, lr, list(kernels), shown, lambda share: progress(share / 2))
    control = _control(subject, hr, second, kernels, lambda share: progress((1 + share) / 2))
    found = _Findings(lr, estimates, kernels, scale)
    numbers = subject.fields("consecutive") | {
        "first": first.label,
        "second": second.label,
        "lr_width": lr.shape[3],
        "lr_height": lr.shape[2],
        "seed": seed,
        "criterion": "an estimate follows the kernel with the higher kernel PSNR to it",
        "first_to_second_psnr": round(float(decibels(*kernels)), 3),
        **_fields(estimates, kernels),
        "control_second_only": _fields(control, kernels),
        "examples": [[int(number) // lr.shape[3], int(number) % lr.shape[3]] for number in shown],
    }
    size = (1600, round(_TOP + _box(found)[1] + 115 + 28 + _KERNEL + 40))
    return Study(numbers, size, lambda figure: _draw(figure, found, numbers))


def _control(
    subject: Subject,
    hr: Tensor,
    second: GaussianParameters,
    kernels: tuple[Tensor, Tensor],
    progress: Progress,
) -> Survey:
    """Estimate the kernels of the picture, shrunk by averaging and then blurred by the second kernel."""
    scale = subject.scale
    averaged = apply_quantization(F.avg_pool2d(crop_to_multiple(hr, scale), scale))
    lr = Degradation(scale, second).apply(averaged).lr
    return survey(subject.model, lr, list(kernels), torch.empty(0, dtype=torch.long), progress)


def _fields(estimates: Survey, kernels: tuple[Tensor, Tensor]) -> dict[str, object]:
    to_first, to_second = estimates.psnr.flatten(1)
    return {
        "pixels": len(to_first),
        "share_nearer_second": round(float((to_second > to_first).float().mean()), 4),
        "median_psnr_to_first": round(float(to_first.median()), 3),
        "median_psnr_to_second": round(float(to_second.median()), 3),
        "mean_kernel": kernel_shape(estimates.mean).fields()
        | {
            f"psnr_to_{name}": round(float(decibels(estimates.mean, kernel)), 3)
            for name, kernel in zip(("first", "second"), kernels, strict=True)
        },
    }


def _draw(figure: Figure, found: _Findings, numbers: dict[str, Any]) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    share, scale = numbers["share_nearer_second"], found.scale
    control = numbers["control_second_only"]
    title = f"{style.percent(share)} of the estimates follow the second of two blurs"
    if share < 0.5:
        title = f"{style.percent(1 - share)} of the estimates follow the first of two blurs"
    style.heading(
        figure,
        title,
        [
            f"Blurred by {numbers['first']} and shrunk x{scale}, then by {numbers['second']} and shrunk "
            f"x{scale} again (variances, degrees).",
            f"Median kernel PSNR: {numbers['median_psnr_to_second']:.1f} dB to the second, "
            f"{numbers['median_psnr_to_first']:.1f} dB to the first; {control['median_psnr_to_second']:.1f} "
            "dB to the second where it comes alone.",
        ],
    )
    height, width = found.lr.shape[-2:]
    box = _box(found)
    style.note(figure, 40, 145, f"The picture after both, {width}x{height} pixels")
    picture = style.panel(figure, 40, _TOP, *box)
    picture.imshow(style.pixels(found.lr), interpolation="nearest", aspect="auto")
    style.bare(picture)
    style.note(figure, 820, 145, "Which kernel is nearer")
    nearer = style.panel(figure, 820, _TOP, *box)
    colours = LinearSegmentedColormap.from_list("nearer", [BLUE, PALE, ORANGE])
    to_first, to_second = found.estimates.psnr
    shown = nearer.imshow(
        (to_second - to_first).numpy(), cmap=colours, vmin=-_RANGE, vmax=_RANGE, aspect="auto"
    )
    style.bare(nearer)
    label = "kernel PSNR to the second minus to the first, dB; orange: the second is nearer"
    style.colour_bar(figure, shown, (820, _TOP + box[1] + 38, box[0], 16), label)
    _draw_kernels(figure, found, _TOP + box[1] + 115)


def _box(found: _Findings) -> tuple[float, float]:
    """Return the size of the picture and the map in the figure."""
    height, width = found.lr.shape[-2:]
    return fitted(width, height, 740, 480)


def _draw_kernels(figure: Figure, found: _Findings, top: float) -> None:
    first, second = found.kernels
    peak = float(torch.maximum(first, second).max())
    for number, (name, kernel, colour) in enumerate(
        (
            ("first blur", first, BLUE),
            ("second blur", second, ORANGE),
            ("mean estimate", found.estimates.mean, INK),
        )
    ):
        left = 40 + 234 * number
        style.note(figure, left, top, name, colour=colour, weight="bold")
        style.show_kernel(
            style.panel(figure, left, top + 28, _KERNEL, _KERNEL),
            kernel,
            found.scale,
            peak=peak,
            colour=colour,
        )
    style.note(figure, 770, top, f"estimates at {len(found.estimates.kept)} pixels, drawn by chance")
    for number, kernel in enumerate(found.estimates.kept):
        row, column = divmod(number, _EXAMPLES // 2)
        place = (770 + 114.5 * column, top + 28 + 111 * row, 103, 103)
        style.show_kernel(style.panel(figure, *place), kernel, found.scale, peak=peak)
