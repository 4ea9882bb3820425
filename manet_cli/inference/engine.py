"""Run the networks tile by tile; yield each tile as soon as it is finished.

The estimator runs on stripes of the image. Their kernel codes are dropped when no tile of the restorer needs
them any more. So memory use does not grow with the image's height.
"""

from __future__ import annotations

import functools
import logging
import math
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from manet_cli.errors import ManetError, OutOfMemoryError, Parameter, WeightsError
from manet_cli.inference.dial import Dial
from manet_cli.inference.memory import available_memory, is_out_of_memory
from manet_cli.inference.runtime import AnyDevice, networks_on
from manet_cli.inference.streams import (
    Codes,
    CodeTile,
    ConstantCode,
    KernelTile,
    LowResolution,
    RestoredTile,
)
from manet_cli.inference.tiles import Tile, TileGrid
from manet_cli.inference.torch_device import exact_convolutions
from manet_cli.models import BlindModel, KernelCode, MANet, Restorer

__all__ = [
    "SMALLEST_TILE",
    "Engine",
]

logger = logging.getLogger(__name__)

SMALLEST_TILE = 16
# Two float32 copies of the estimator's 441 channels, and their inputs; measured by benchmarks/cpu.py.
_BYTES_PER_PIXEL = 8 * 1024

Tensors = TypeVar("Tensors", bound=tuple[Tensor, ...])


class Engine:
    """A model on a device, ready to run images of any size.

    Args:
        model: in float32; converted in place.
        device: device to compute on.
        precision: number format inside the networks.
        tile: largest core in LR pixels; None to choose by device and free memory, 0 for no tiling.
        dial: mixes two sets of weights; None for one set.
        exact: give tiles the full receptive field, so that the result is the same as without tiles, and
            compute the codes of every pixel.
        code_stride: without ``exact``, compute the codes of every n-th pixel of every n-th row, and
            interpolate them; 1, 2, 4 or 8.
    """

    def __init__(
        self,
        model: BlindModel,
        device: AnyDevice,
        precision: torch.dtype = torch.float32,
        *,
        tile: int | None = None,
        exact: bool = False,
        dial: Dial | None = None,
        code_stride: int = 1,
    ) -> None:
        self._networks = networks_on(model, device, precision)
        self._device = device
        self._tile = tile
        self._exact = exact
        self._dial = dial
        self._denoise = 0.0
        self._code_stride = 1 if exact else code_stride
        # Read once: other programs must not change the tiles during a run.
        self._memory = available_memory(self._networks.device)
        self._largest_tile = sys.maxsize

    @property
    def estimator(self) -> MANet:
        """The estimator; WeightsError if the weights hold none."""
        return self._networks.estimator

    @property
    def restorer(self) -> Restorer:
        """The restorer; WeightsError if the weights hold none."""
        return self._networks.restorer

    @property
    def kernel_code(self) -> KernelCode:
        """The basis that the restorer was trained with; WeightsError if the weights hold no restorer."""
        return self._networks.kernel_code

    @property
    def has_dial(self) -> bool:
        """Whether there are two sets of weights, so that `turn` works."""
        return self._dial is not None

    def turn(self, denoise: float) -> None:
        """Mix the two sets of weights: 0 for the clean ones, 1 for the camera ones.

        Raises:
            WeightsError: there is only one set of weights.
        """
        if self._dial is None:
            raise WeightsError("these weights are one set: there is nothing to mix")
        if denoise != self._denoise:
            self._dial.turn(denoise)
            self._networks.turned(denoise)
            self._denoise = denoise

    def require(self, *, estimator: bool = False, restorer: bool = False) -> None:
        """Raise WeightsError if the weights lack a required network."""
        _ = (self.estimator if estimator else None, self.restorer if restorer else None)

    @property
    def device(self) -> AnyDevice:
        """The device that computes."""
        return self._networks.instead or self._device

    @property
    def kernel_size(self) -> int:
        """Side of the kernels in HR pixels."""
        return self._networks.kernel_size

    def restorer_tiles(self, layers: int = 1) -> tuple[int, int]:
        """Return the largest tile of the restorer (0 for no tiles) and its context per side, in LR pixels."""
        return self._tile_size(self._halo, layers), self._halo

    def working_memory(self, height: int, width: int, layers: int) -> int:
        """Estimate the bytes of memory for the largest tile of an image with ``layers`` layers."""
        tile, halo = self.restorer_tiles(layers)
        tile = tile or max(height, width)
        outer = min(tile + 2 * halo, height) * min(tile + 2 * halo, width)
        return outer * _BYTES_PER_PIXEL * layers

    def computed_pixels(self, height: int, width: int, layers: int) -> int:
        """Return the number of LR pixels that the restorer computes for an image, with the tiles' context."""
        size, halo = self.restorer_tiles(layers)
        tiles = TileGrid(height, width, halo).tiles(size)
        areas = (tile.rows.outer_size * tile.columns.outer_size for tile in tiles)
        return sum(areas) * layers

    @property
    def _halo(self) -> int:
        """Context on each side of a restorer's tile, in LR pixels."""
        footprint = self.restorer.footprint
        return footprint.radius if self._exact else footprint.practical_radius

    def code_of(self, kernels: Tensor) -> Tensor:
        """Encode kernels (k*k, h, w) as codes (L, h, w) on the CPU."""
        code = self.kernel_code
        with torch.inference_mode():
            found: Tensor = code(kernels[None].to(code.basis.device))[0].cpu()
        return found

    def constant_code(self, kernel: Tensor, width: int) -> ConstantCode:
        """Return the codes of an image ``width`` pixels wide whose blur is one kernel (k, k) everywhere."""
        return ConstantCode(self.kernel_code.of_kernel(kernel[None].to(self._networks.device)).cpu(), width)

    def kernels(self, lr: LowResolution, start: int = 0, stop: int | None = None) -> Iterator[KernelTile]:
        """Estimate the kernels and codes of rows [start, stop), by default all, and yield them tile by tile.

        ``start`` is a multiple of 8. The result is the same as without tiles. Every pixel is computed.

        Raises:
            OutOfMemoryError: the smallest tile does not fit.
            WeightsError: the weights hold no estimator.
        """
        for tile, (kernels, code) in self._estimates(lr, start, stop, self._networks.kernels):
            yield KernelTile(tile.rows.start, tile.columns.start, kernels, code)

    def codes(
        self,
        lr: LowResolution,
        start: int,
        stop: int,
        on_kernels: Callable[[KernelTile], None] | None = None,
    ) -> Iterator[CodeTile]:
        """Estimate the codes of rows [start, stop) for `restore`, and yield them tile by tile.

        They are interpolated if ``code_stride`` is above 1, with or without ``on_kernels``. Range and errors
        are as in `kernels`.

        Args:
            lr: the image.
            start: first row.
            stop: one past the last row.
            on_kernels: callback for the kernels of every pixel, called before the codes of their tile come.
        """
        if self._code_stride == 1:
            for found in self.kernels(lr, start, stop):
                if on_kernels:
                    on_kernels(found)
                yield CodeTile(found.row, found.column, found.code)
            return
        estimate = functools.partial(
            self._networks.codes, stride=self._code_stride, kernels=on_kernels is not None
        )
        for tile, (code, *every) in self._estimates(lr, start, stop, estimate):
            row, column = tile.rows.start, tile.columns.start
            if on_kernels:
                on_kernels(KernelTile(row, column, *every))
            yield CodeTile(row, column, code)

    def _estimates(
        self, lr: LowResolution, start: int, stop: int | None, estimate: Callable[[Tensor], Tensors]
    ) -> Iterator[tuple[Tile, tuple[Tensor, ...]]]:
        """Yield tiles with the results of ``estimate`` for their image (1, 3, h, w), cropped to (C, h, w)."""
        footprint = self.estimator.footprint
        # The network pads its input. Here the whole image is padded once, so that tiles keep its phase.
        multiple = footprint.size_multiple
        height, width = (-(-side // multiple) * multiple for side in (lr.height, lr.width))
        grid = TileGrid(height, width, footprint.radius, multiple)
        stop = -(-(stop or lr.height) // multiple) * multiple

        def compute(tile: Tile) -> tuple[Tensor, ...]:
            rows, columns = tile.rows, tile.columns
            image = lr.rows(rows.outer_start, min(rows.outer_stop, lr.height))[:1]
            right, below = max(columns.outer_stop - lr.width, 0), max(rows.outer_stop - lr.height, 0)
            image = F.pad(image[..., columns.outer], (0, right, 0, below), mode="replicate")
            cores = (found[0, :, rows.inner(), columns.inner()] for found in estimate(image))
            return tuple(core[:, : lr.height - rows.start, : lr.width - columns.start] for core in cores)

        size = self._tile_size(footprint.radius, layers=1)
        return self._run(grid, grid.tiles(size, start, stop), compute)

    def restore(self, lr: LowResolution, codes: Codes, *, registered: bool = True) -> Iterator[RestoredTile]:
        """Super-resolve an image with its kernel codes, and yield the result tile by tile.

        Args:
            lr: the image.
            codes: its kernel codes.
            registered: align the result with the input. With the published kernels, the networks' result is
                shifted by (s - 1) pixels up and to the left; False keeps this offset.

        Raises:
            OutOfMemoryError: the smallest tile does not fit.
            WeightsError: the weights hold no restorer.
        """
        footprint = self.restorer.footprint
        scale = footprint.scale
        halo = self._halo
        # To register, add one LR pixel at the top and the left, and cut off the first output pixel.
        extra = 1 if registered else 0
        grid = TileGrid(lr.height + extra, lr.width + extra, halo)

        def padded(source: LowResolution | Codes, tile: Tile) -> Tensor:
            rows, columns = tile.rows, tile.columns
            found = source.rows(max(rows.outer_start - extra, 0), rows.outer_stop - extra)
            found = found[..., max(columns.outer_start - extra, 0) : columns.outer_stop - extra]
            top, left = (extra if span.outer_start == 0 else 0 for span in (rows, columns))
            return F.pad(found, (left, 0, top, 0), mode="replicate") if top or left else found

        def compute(tile: Tile) -> tuple[Tensor]:
            rows, columns = tile.rows, tile.columns
            image = padded(lr, tile)
            code = padded(codes, tile).expand(image.shape[0], -1, -1, -1)
            output = self._networks.restore(image, code)
            return (output[..., rows.inner(scale), columns.inner(scale)].cpu(),)

        def forget(tile: Tile) -> None:
            codes.forget(max(tile.rows.outer_start - extra, 0))

        size = self._tile_size(halo, layers=lr.layers)
        # The extra pixel must not add a second tile to an image that just fits one.
        size = size + extra if size else 0
        for tile, (pixels,) in self._run(grid, grid.tiles(size), compute, forget):
            row, column = tile.rows.start * scale - extra, tile.columns.start * scale - extra
            below, right = lr.height * scale - row, lr.width * scale - column
            pixels = pixels[..., max(-row, 0) : below, max(-column, 0) : right]
            yield RestoredTile(max(row, 0), max(column, 0), pixels)

    def _run(
        self,
        grid: TileGrid,
        tiles: list[Tile],
        compute: Callable[[Tile], Tensors],
        on_band: Callable[[Tile], None] = lambda tile: None,
    ) -> Iterator[tuple[Tile, Tensors]]:
        """Compute ``tiles``. When memory runs out, halve the failed tile and all later ones.

        Later runs start with the reduced size. ``on_band`` is called with the first tile of each row of
        tiles, before it is computed.
        """
        pending = deque((tile.rows.start, tile) for tile in tiles)
        band = -1
        while pending:
            tile_band, tile = pending[0]
            if tile_band != band:
                band = tile_band
                on_band(tile)
            result = self.attempt(functools.partial(compute, tile))
            if result is not None:
                pending.popleft()
                yield tile, result
                continue
            self._networks.release()
            longest = max(tile.rows.size, tile.columns.size)
            if self._tile == 0 or longest <= SMALLEST_TILE:
                advice: tuple[object, ...] = ("close other programs",)
                if self._tile == 0:
                    advice = ("leave ", Parameter("tile"), " at auto")
                raise OutOfMemoryError(
                    f"{self.device.type} does not have enough memory for a tile of "
                    f"{tile.columns.size}x{tile.rows.size} pixels; ",
                    *advice,
                )
            size = max(grid.half(longest), SMALLEST_TILE)
            self._largest_tile = min(size, self._largest_tile)
            logger.warning("out of memory: continuing with tiles of %d pixels", size)
            pending = deque((start, part) for start, whole in pending for part in grid.split(whole, size))

    def attempt(self, compute: Callable[[], Tensors]) -> Tensors | None:
        """Return the result of ``compute``; None if memory ran out; then nothing of the attempt is kept.

        Raises:
            ManetError: the result has infinite or NaN values.
        """
        try:
            with torch.inference_mode(), exact_convolutions:
                results = compute()
                # The sum needs one pass and no copy; it is not finite if any value is not.
                sound = all(math.isfinite(float(result.sum())) for result in results)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        if not sound:
            raise ManetError(
                "the networks' result has infinite or NaN values: try ", Parameter("precision", "fp32")
            )
        return results

    def _tile_size(self, halo: int, layers: int) -> int:
        if self._tile is not None:
            return min(self._tile, self._largest_tile)
        outer = math.isqrt(self._memory // 2 // (_BYTES_PER_PIXEL * layers))
        size = max((outer - 2 * halo) // SMALLEST_TILE * SMALLEST_TILE, SMALLEST_TILE)
        return min(self._networks.preferred_tile, size, self._largest_tile)
