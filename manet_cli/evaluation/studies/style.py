"""How the figures look: light, few colours that everybody can tell apart, readable at half size.

Places and sizes are pixels from the top left corner of the figure. Nothing global is touched: figures are
made without pyplot, and the style holds while a figure is drawn.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from manet_cli.evaluation.studies.extra import quiet_libraries

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "GREEN",
    "INK",
    "MUTED",
    "ORANGE",
    "SCALE_OF_DECIBELS",
    "bare",
    "colour_bar",
    "fitted",
    "frame",
    "heading",
    "note",
    "panel",
    "percent",
    "pixels",
    "render",
    "show_kernel",
]

# Colours that stay apart with every common colour deficiency: Okabe and Ito, "Color Universal Design", 2008.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
INK, MUTED, FAINT = "#1D2733", "#5D6975", "#D5DAE0"
SCALE_OF_DECIBELS = "cividis"
_KERNEL_SHADES = "Blues"
_DPI = 100
_STYLE: dict[str, Any] = {
    "font.size": 13,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 13,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "legend.frameon": False,
    "legend.fontsize": 13,
    "lines.linewidth": 2.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def render(size: tuple[int, int], draw: Callable[[Figure], None]) -> bytes:
    """Return a figure of ``size`` (width, height) pixels as a PNG file, the same for the same drawing."""
    with quiet_libraries():
        from matplotlib import style
        from matplotlib.figure import Figure

        with style.context(["default", _STYLE]):
            figure = Figure(figsize=(size[0] / _DPI, size[1] / _DPI), dpi=_DPI)
            draw(figure)
            file = io.BytesIO()
            figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return file.getvalue()


def panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes that fill a rectangle."""
    whole_width, whole_height = figure.get_size_inches() * _DPI
    bottom = whole_height - top - height
    return figure.add_axes(
        (left / whole_width, bottom / whole_height, width / whole_width, height / whole_height)
    )


def fitted(picture_width: int, picture_height: int, width: float, height: float) -> tuple[float, float]:
    """Return the size that a picture has when it is made as large as fits a rectangle."""
    factor = min(width / picture_width, height / picture_height)
    return picture_width * factor, picture_height * factor


def heading(figure: Figure, title: str, lines: list[str]) -> None:
    """Write what the figure shows over it: a title, and lines below."""
    note(figure, 40, 26, title, size=20, weight="bold")
    for number, line in enumerate(lines):
        note(figure, 40, 70 + 25 * number, line, colour=MUTED)


def note(
    figure: Figure,
    left: float,
    top: float,
    text: str,
    *,
    colour: str = INK,
    size: float = 13,
    weight: str = "normal",
    align: str = "left",
) -> None:
    """Write text whose upper edge is at ``top``."""
    width, height = figure.get_size_inches() * _DPI
    place = (left / width, 1 - top / height)
    figure.text(*place, text, color=colour, fontsize=size, fontweight=weight, ha=align, va="top")


def bare(axes: Axes) -> None:
    """Leave nothing of the axes but what is shown in them."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    frame(axes, FAINT, 1)


def frame(axes: Axes, colour: str, width: float = 3) -> None:
    """Put a frame around the axes."""
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_edgecolor(colour)
        spine.set_linewidth(width)


def show_kernel(axes: Axes, kernel: Tensor, scale: int, *, peak: float, colour: str = FAINT) -> None:
    """Show a kernel (k, k), without the s - 1 rows and columns that its placement leaves empty.

    Args:
        axes: where.
        kernel: what.
        scale: HR pixels per LR pixel.
        peak: the value that is shown darkest, so that kernels can be compared.
        colour: of the frame.
    """
    side = kernel.shape[-1] - scale + 1
    values = kernel[:side, :side].numpy()
    axes.imshow(values, cmap=_KERNEL_SHADES, vmin=0, vmax=peak, interpolation="nearest", aspect="auto")
    bare(axes)
    frame(axes, colour, 1 if colour == FAINT else 3)


def colour_bar(figure: Figure, shown: Any, place: tuple[float, float, float, float], label: str) -> None:  # noqa: ANN401
    """Put the scale of ``shown`` (what an axes' method returned) into a flat rectangle, its label above."""
    axes = panel(figure, *place)
    bar = figure.colorbar(shown, cax=axes, orientation="horizontal")
    bar.outline.set_visible(False)
    axes.set_title(label, loc="left", fontsize=12, pad=4)


def pixels(image: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return an image (1, 3, H, W) in [0, 1] as (H, W, 3) in 8 bits."""
    values: np.ndarray[Any, np.dtype[np.uint8]] = (
        (image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    )
    return values


def percent(share: float) -> str:
    """Return a share in words: 71.2%, and 100% only for all."""
    return f"{100 * share:.3g}%" if share in (0, 1) else f"{100 * share:.1f}%"
