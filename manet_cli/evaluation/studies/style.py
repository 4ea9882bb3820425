"""Matplotlib figures in the colours and text sizes of `images.sheet`; readable at half size.

Pictures that must work without matplotlib use `images.sheet.Sheet` instead. Places and sizes are pixels from
the top left corner of the figure. No global state changes: figures are made without pyplot, and the style
applies only while a figure is drawn.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from manet_cli.degradations.gaussian import placed_side
from manet_cli.evaluation.studies.extra import quiet_libraries
from manet_cli.images.colour_map import colour_map, kernel_shades, oklab_to_srgb
from manet_cli.images.sheet import FAINT, INK, LABEL, MUTED, PAPER, TITLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

__all__ = [
    "SMALL_POINTS",
    "bare",
    "colour_bar",
    "frame",
    "heading",
    "kernel_pixels",
    "map_of_numbers",
    "note",
    "panel",
    "percent",
    "pixels",
    "render",
    "show_kernel",
]

_DPI = 100
_POINTS = 72 / _DPI  # per pixel
_TEXT_POINTS = LABEL * _POINTS
SMALL_POINTS = (LABEL - 1) * _POINTS
"""Size of the text at axes, in points."""
_STYLE: dict[str, Any] = {
    "font.size": _TEXT_POINTS,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": _TEXT_POINTS,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": SMALL_POINTS,
    "ytick.labelsize": SMALL_POINTS,
    "legend.frameon": False,
    "legend.fontsize": _TEXT_POINTS,
    "lines.linewidth": 2.5,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
}


def render(size: tuple[int, int], draw: Callable[[Figure], None]) -> bytes:
    """Return a figure of ``size`` (width, height) pixels as a PNG file; deterministic."""
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


def heading(figure: Figure, title: str, lines: list[str]) -> None:
    """Write a title at the top of the figure, and lines below it."""
    note(figure, 40, 26, title, size=TITLE, weight="bold")
    for number, line in enumerate(lines):
        note(figure, 40, 70 + 25 * number, line, colour=MUTED)


def note(
    figure: Figure,
    left: float,
    top: float,
    text: str,
    *,
    colour: str = INK,
    size: float = LABEL,
    weight: str = "normal",
    align: str = "left",
) -> None:
    """Write text whose upper edge is at ``top``."""
    width, height = figure.get_size_inches() * _DPI
    place = (left / width, 1 - top / height)
    figure.text(*place, text, color=colour, fontsize=size * _POINTS, fontweight=weight, ha=align, va="top")


def bare(axes: Axes) -> None:
    """Remove ticks and grid, and draw a thin frame."""
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


def map_of_numbers() -> ListedColormap:
    """Return `images.colour_map` for matplotlib."""
    from matplotlib.colors import ListedColormap

    return ListedColormap(oklab_to_srgb(colour_map()) / 255)


def kernel_pixels(kernel: Tensor, scale: int, peak: float) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a kernel (k, k) in shades (side, side, 3), without the rows and columns that are always zero.

    Args:
        kernel: the kernel.
        scale: HR pixels per LR pixel.
        peak: value of the darkest shade, the same for kernels to compare.
    """
    side = placed_side(kernel.shape[-1], scale)
    return kernel_shades(kernel[:side, :side].double().numpy(), peak)


def show_kernel(axes: Axes, kernel: Tensor, scale: int, *, peak: float, colour: str = FAINT) -> None:
    """Show a kernel in axes, see `kernel_pixels`.

    Args:
        axes: the axes.
        kernel: the kernel.
        scale: HR pixels per LR pixel.
        peak: value of the darkest shade.
        colour: colour of the frame.
    """
    axes.imshow(kernel_pixels(kernel, scale, peak), interpolation="nearest", aspect="auto")
    bare(axes)
    frame(axes, colour, 1 if colour == FAINT else 3)


def colour_bar(figure: Figure, shown: Any, place: tuple[float, float, float, float], label: str) -> None:  # noqa: ANN401
    """Draw the colour bar of ``shown`` (a result of the axes' methods) in a rectangle, with a label above."""
    axes = panel(figure, *place)
    bar = figure.colorbar(shown, cax=axes, orientation="horizontal")
    bar.outline.set_visible(False)
    axes.set_title(label, loc="left", fontsize=SMALL_POINTS, pad=4)


def pixels(image: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return an image (1, 3, H, W) in [0, 1] as (H, W, 3) in 8 bits."""
    values: np.ndarray[Any, np.dtype[np.uint8]] = (
        (image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    )
    return values


def percent(share: float) -> str:
    """Return a share as text: 71.2%; 0% and 100% only for none and all."""
    return f"{100 * share:.3g}%" if share in (0, 1) else f"{100 * share:.1f}%"
