"""Photos enlarged by bicubic interpolation and by each model, side by side, each with a detail."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from manet_cli import __version__
from manet_cli.degradations.quantization import apply_quantization
from manet_cli.errors import InputError, Parameter, UsageError
from manet_cli.evaluation.pictures import ImageRows
from manet_cli.evaluation.studies import style
from manet_cli.evaluation.studies.estimates import Progress, Subject
from manet_cli.evaluation.studies.files import Study
from manet_cli.images import read_photo, to_float
from manet_cli.images.sheet import MUTED, ORANGE, PAPER, fitted
from manet_cli.inference import memory_reported
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.inference.streams import assembled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Compared", "Crop", "compare_picture", "compare_study", "parse_crop"]

_DETAIL = 40
_MARGIN, _GAP, _TOP = 40, 24, 120
_WIDEST_PANEL, _NARROWEST_SHEET = 640, 1240
_HIGHEST_PANEL = 600

Crop = tuple[int, int, int, int]
"""Left, top, width and height in input pixels."""


@dataclass(frozen=True, eq=False)
class Compared:
    """One photo, enlarged by each method.

    Attributes:
        name: name of its file.
        sha256: digest of its file.
        crop: the detail.
        width: width of the photo in pixels.
        height: likewise.
        pictures: (1, 3, s h, s w) each, first bicubic, then the models' results.
        seconds: time of each picture.
    """

    name: str
    sha256: str
    crop: Crop
    width: int
    height: int
    pictures: Sequence[Tensor]
    seconds: Sequence[float]


def parse_crop(text: str) -> Crop:
    """Parse a detail ``X,Y,W,H``.

    Raises:
        UsageError: the text is not four whole numbers that describe a rectangle.
    """
    try:
        left, top, width, height = (int(part) for part in text.split(","))
    except ValueError:
        left = top = width = height = -1
    if min(left, top) < 0 or min(width, height) < 1:
        raise UsageError(
            Parameter("crop", text),
            ": expected X,Y,W,H, four whole numbers in input pixels such as 20,10,48,48",
        )
    return left, top, width, height


def compare_picture(
    subjects: Sequence[Subject],
    name: str,
    data: bytes,
    crop: Crop | None,
    progress: Progress = lambda share: None,
) -> Compared:
    """Enlarge one photo by each method, aligned with the photo.

    Args:
        subjects: the models.
        name: name of the photo on the sheet.
        data: content of its file.
        crop: the detail; None for the square with most contrast.
        progress: callback for the share done.

    Raises:
        InputError: not a picture, or the detail is not inside the picture.
        ManetError: any other error.
    """
    with memory_reported(name):
        lr = _on_white(data, name)
        height, width = lr.shape[-2:]
        if crop is not None and (crop[0] + crop[2] > width or crop[1] + crop[3] > height):
            raise InputError(
                Parameter("crop", ",".join(map(str, crop))),
                f" reaches beyond {name}, which is {width}x{height} pixels",
            )
        started = time.perf_counter()
        scale = subjects[0].scale
        bicubic = F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)
        pictures, seconds = [apply_quantization(bicubic)], [time.perf_counter() - started]
        for number, subject in enumerate(subjects):
            started = time.perf_counter()
            pictures.append(_restored(subject, lr))
            seconds.append(time.perf_counter() - started)
            progress((number + 1) / len(subjects))
        detail = crop or _most_contrast(lr)
    return Compared(name, hashlib.sha256(data).hexdigest(), detail, width, height, pictures, seconds)


def compare_study(subjects: Sequence[Subject], compared: Sequence[Compared], failed: dict[str, str]) -> Study:
    """Put photos on a sheet.

    Args:
        subjects: the models.
        compared: the photos.
        failed: photos that failed, with the error.
    """
    first = subjects[0]
    ways = ["bicubic", *(subject.model.name for subject in subjects)]
    numbers: dict[str, object] = {
        "study": "compare",
        "tool": f"manet_cli {__version__}",
        "scale": first.scale,
        "device": first.device,
        "precision": first.precision,
        "tile": first.tile,
        "models": [{"model": one.model.name, "weights_sha256": one.model.sha256} for one in subjects],
        "images": [_fields(one, first.scale, subjects) for one in compared],
        "failed": [{"image": name, "error": error} for name, error in failed.items()],
    }
    sheet = _Sheet(ways, compared, first.scale)
    return Study(numbers, sheet.size, sheet.draw)


def _fields(one: Compared, scale: int, subjects: Sequence[Subject]) -> dict[str, object]:
    bicubic, *seconds = (round(value, 3) for value in one.seconds)
    return {
        "image": one.name,
        "image_sha256": one.sha256,
        "input_width": one.width,
        "input_height": one.height,
        "width": one.width * scale,
        "height": one.height * scale,
        "crop": list(one.crop),
        "bicubic_seconds": bicubic,
        "results": [
            {"model": subject.model.name, "weights_sha256": subject.model.sha256, "seconds": value}
            for subject, value in zip(subjects, seconds, strict=True)
        ],
    }


def _on_white(data: bytes, name: str) -> Tensor:
    """Read a photo as (1, 3, H, W), float32 in [0, 1], on a white background."""
    photo = read_photo(data, name)
    values = to_float(photo.pixels)
    if photo.alpha is not None:
        alpha = to_float(photo.alpha)[..., None]
        values = values * alpha + (1 - alpha)
    pixels = torch.from_numpy(np.ascontiguousarray(values, np.float32))
    return pixels.permute(2, 0, 1)[None].expand(1, 3, -1, -1).contiguous()


def _restored(subject: Subject, lr: Tensor) -> Tensor:
    """Return a model's result (1, 3, s H, s W) in 8 bits, aligned with the photo."""
    engine, rows, scale = subject.model.engine, ImageRows(lr), subject.scale
    tiles = engine.restore(rows, EstimatedCodes(engine, rows))
    return apply_quantization(assembled(tiles, rows.height * scale, rows.width * scale))


def _most_contrast(lr: Tensor) -> Crop:
    """Return the square of at most 40 pixels with the largest variance, searched in steps of a quarter."""
    height, width = lr.shape[-2:]
    side = min(_DETAIL, height, width)
    step = max(1, side // 4)
    grey = lr.double().mean(dim=1, keepdim=True)
    mean, square = (F.avg_pool2d(values, side, step) for values in (grey, grey**2))
    spread = (square - mean**2)[0, 0]
    row, column = divmod(int(spread.argmax()), spread.shape[1])
    return column * step, row * step, side, side


class _Sheet:
    """Layout of the sheet: for each photo a row of whole pictures and a row of details."""

    def __init__(self, ways: Sequence[str], compared: Sequence[Compared], scale: int) -> None:
        self._ways = ways
        self._compared = compared
        self._scale = scale
        room = _NARROWEST_SHEET - 2 * _MARGIN - _GAP * (len(ways) - 1)
        self._panel = min(_WIDEST_PANEL, max(room // len(ways), 380))
        width = 2 * _MARGIN + len(ways) * self._panel + (len(ways) - 1) * _GAP
        height = _TOP + sum(self._height(one) for one in compared) + _MARGIN // 2
        self.size = (width, height)

    def draw(self, figure: Figure) -> None:
        """Draw the sheet."""
        style.heading(
            figure,
            f"Enlarged x{self._scale}: {', '.join(self._ways)}",
            ["Below each photo the detail that is marked in it"],
        )
        top = float(_TOP)
        for one in self._compared:
            whole, detail = self._boxes(one)
            left, upper, width, height = (side * self._scale for side in one.crop)
            for column, (way, picture) in enumerate(zip(self._ways, one.pictures, strict=True)):
                x = _MARGIN + column * (self._panel + _GAP)
                style.note(figure, x, top, way, weight="bold")
                axes = style.panel(figure, x, top + 28, *whole)
                values = style.pixels(picture)
                axes.imshow(values, aspect="auto")
                style.bare(axes)
                corners = ([left, left + width, left + width, left, left], [upper, upper])
                lower = upper + height
                axes.plot(
                    corners[0], [upper, upper, lower, lower, upper], color=PAPER, linewidth=4, clip_on=False
                )
                axes.plot(corners[0], [upper, upper, lower, lower, upper], color=ORANGE, linewidth=2)
                axes = style.panel(figure, x, top + 28 + whole[1] + 14, *detail)
                piece = values[upper : upper + height, left : left + width]
                axes.imshow(piece, interpolation="nearest", aspect="auto")
                style.bare(axes)
                style.frame(axes, ORANGE, 2)
            caption = f"{one.name}, {one.width}x{one.height} pixels"
            style.note(figure, _MARGIN, top + 28 + whole[1] + 14 + detail[1] + 10, caption, colour=MUTED)
            top += self._height(one)

    def _boxes(self, one: Compared) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the sizes of the whole picture and of the detail."""
        whole = fitted(one.width, one.height, self._panel, _HIGHEST_PANEL)
        return whole, fitted(one.crop[2], one.crop[3], self._panel, _HIGHEST_PANEL)

    def _height(self, one: Compared) -> int:
        whole, detail = self._boxes(one)
        return int(28 + whole[1] + 14 + detail[1] + 60)
