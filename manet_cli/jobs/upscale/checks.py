"""Check that a result is plausible and, with `--check`, that it matches its input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from manet_cli.errors import ManetError, Message, Parameter
from manet_cli.evaluation.self_check import Agreement, Kernels, SelfCheck
from manet_cli.images import Metadata, Photo, RowSink
from manet_cli.inference import LowResolution, RestoredTile
from manet_cli.jobs.upscale.canvas import PhotoRows

__all__ = ["LOWEST_LR_PSNR", "LOWEST_REGION", "BothSinks", "CheckReport", "ResultCheck", "sound_tiles"]

LOWEST_LR_PSNR = 38.0
"""Agreement in dB below which a result gets a warning."""

LOWEST_REGION = 32.0
"""Agreement in dB of the worst region below which a result gets a warning."""

_ROWS = 256


@dataclass(frozen=True)
class CheckReport:
    """Result of a check."""

    agreement: Agreement

    name = "check"

    @property
    def warning(self) -> str | None:
        """The warning; None if the result matches its input."""
        found = self.agreement
        said = "the result, blurred and shrunk again, matches the input to only"
        if found.lr_psnr < LOWEST_LR_PSNR:
            return f"{said} {found.lr_psnr:.1f} dB (expected {LOWEST_LR_PSNR:g})"
        if found.worst_psnr < LOWEST_REGION:
            return f"{said} {found.worst_psnr:.1f} dB (expected {LOWEST_REGION:g}) in the {self._place}"
        return None

    def fields(self) -> dict[str, object]:
        """Return the report as fields for JSON."""
        found = self.agreement
        return {
            "lr_psnr": round(found.lr_psnr, 3),
            "worst_psnr": round(found.worst_psnr, 3),
            "worst_box": list(found.worst_box),
            "warning": self.warning,
        }

    def sentence(self) -> Message:
        """Return the report as a sentence."""
        if self.warning:
            return Message(
                f"warning: {self.warning}; another ",
                *(Parameter("sigma"), ", ", Parameter("precision", "fp32"), " or other weights may help"),
            )
        found = self.agreement
        return Message(
            f"the result, blurred and shrunk again, matches the input to {found.lr_psnr:.1f} dB; "
            f"worst region: {found.worst_psnr:.1f} dB in the {self._place}"
        )

    @property
    def _place(self) -> str:
        left, top, width, height = self.agreement.worst_box
        return f"{width}x{height} input pixels from ({left}, {top})"


@dataclass(frozen=True)
class BothSinks:
    """Passes rows to two sinks (`images.RowSink`)."""

    first: RowSink
    second: RowSink

    def write(self, pixels: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> None:
        """Pass the next rows to both."""
        self.first.write(pixels, alpha)
        self.second.write(pixels, alpha)


class ResultCheck:
    """Compares a result with its input, row by row as the result is made (`images.RowSink`).

    Args:
        lr: the input.
        metadata: metadata of the result.
        kernels: kernels of the input.
        scale: result pixels per input pixel along a side.
        kernel_size: side of the kernels.
        registered: whether the result is aligned with the input.
    """

    def __init__(
        self,
        lr: LowResolution,
        metadata: Metadata,
        kernels: Kernels,
        *,
        scale: int,
        kernel_size: int,
        registered: bool,
    ) -> None:
        self._metadata = metadata
        self._check = SelfCheck(lr, kernels, scale=scale, kernel_size=kernel_size, registered=registered)

    def write(self, pixels: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> None:
        """Take the next rows: pixels (n, W, C) and alpha (n, W), as in a `Photo`."""
        for start in range(0, len(pixels), _ROWS):
            rows = slice(start, start + _ROWS)
            part = PhotoRows(Photo(pixels[rows], None if alpha is None else alpha[rows], self._metadata))
            self._check.add(part.rows(0, part.height)[0])

    def report(self) -> CheckReport:
        """Return the result of the check; call it after all rows."""
        return CheckReport(self._check.agreement())


_LEVEL = 1 / 255
_ONE_COLOUR = 8 * _LEVEL  # a picture this close to one colour may become that colour
_ROWS = 256


def sound_tiles(tiles: Iterator[RestoredTile], lr: LowResolution, scale: int) -> Iterator[RestoredTile]:
    """Yield the tiles unchanged, and fail at the first implausible one.

    A tile of one colour is an error if its input pixels differ from that colour by more than 8 of 255 levels
    on average. A whole result of one colour is an error if any input pixel differs that much. Transparency
    is ignored. The engine itself checks for NaN.

    Raises:
        ManetError: the result has one colour, its input has not.
    """
    low, high = torch.ones(3), torch.zeros(3)
    for tile in tiles:
        pixels = tile.pixels[0].clamp(0, 1)
        if pixels.numel():
            least, most = pixels.amin(dim=(1, 2)), pixels.amax(dim=(1, 2))
            if _is_flat(least, most) and _mean_distance(least, lr, tile, scale) > _ONE_COLOUR:
                raise _unsound(least)
            low, high = torch.minimum(low, least), torch.maximum(high, most)
        yield tile
    if _is_flat(low, high) and _largest_distance(low, lr) > _ONE_COLOUR:
        raise _unsound(low)


def _is_flat(low: Tensor, high: Tensor) -> bool:
    return bool((high - low < _LEVEL).all())


def _mean_distance(colour: Tensor, lr: LowResolution, tile: RestoredTile, scale: int) -> float:
    """Return the mean distance of a tile's input pixels from a colour, for the channel that differs most."""
    _, _, height, width = tile.pixels.shape
    rows = lr.rows(tile.row // scale, -(-(tile.row + height) // scale))[0]
    part = rows[..., tile.column // scale : -(-(tile.column + width) // scale)]
    return float((part - colour[:, None, None]).abs().mean(dim=(1, 2)).max())


def _largest_distance(colour: Tensor, lr: LowResolution) -> float:
    return max(
        float((lr.rows(start, min(start + _ROWS, lr.height))[0] - colour[:, None, None]).abs().max())
        for start in range(0, lr.height, _ROWS)
    )


def _unsound(colour: Tensor) -> ManetError:
    kind = "black" if float(colour.max()) < _LEVEL else "of one colour"
    return ManetError(
        f"the networks' result is {kind} where the picture is not: try ",
        *(Parameter("precision", "fp32"), " or ", Parameter("device", "cpu")),
    )
