"""Maps of the blur from files, written by ``manet kernels`` or edited by the user."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from manet_cli.degradations.adjustment import gaussians_of
from manet_cli.degradations.kernel_placement import is_centred, moved_to_placement
from manet_cli.degradations.kernel_shape import KernelShapes
from manet_cli.errors import InputError, Message, Parameter, UsageError
from manet_cli.jobs.blur.array_file import UnreadableArrayError, open_arrays
from manet_cli.models import KernelDecoder
from manet_cli.weights import file_sha256

__all__ = ["LARGEST_SHARE", "KernelField", "interpolated_kernels", "kernel_field", "read_kernel_map"]

_log = logging.getLogger(__name__)

Array = npt.NDArray[Any]

LARGEST_SHARE = 10.0
"""Largest allowed absolute value in a kernel that sums to 1; sharpening kernels reach 2 or 3."""

_CONTENTS = ("kernels", "codes", "params")
_BESIDE = ("basis", "offset", "scale", "stride", "height", "width")
_SUM_TOLERANCE = {"kernels": 0.01, "codes": 0.1, "params": 0.01}
_WIDEST = 50.0  # largest plausible standard deviation in HR pixels
_MOST_BESIDE = 1 << 17  # most numbers in a basis; it has some thousands
_ALL = slice(None)
_CHECKED = 4096  # kernels checked together
_BAND = 16 << 20  # bytes of kernels interpolated together


@dataclass(frozen=True, eq=False)
class KernelField:
    """Kernels on a grid of LR pixels: rows and columns 0, n, 2n, ...

    Attributes:
        name: the parameter in messages.
        digest: SHA-256 of the file.
        rows: number of rows of the grid.
        columns: number of columns of the grid.
        stride: n, spacing of the grid in LR pixels; None if the file does not say.
        size: height and width of the original picture; None if the file does not say.
        kernels: returns rows [start, stop) of the grid as (stop - start, columns, k, k), each summing to 1.
    """

    name: Parameter
    digest: str
    rows: int
    columns: int
    stride: int | None
    size: tuple[int, int] | None
    kernels: Callable[[int, int], Tensor]

    def stride_for(self, height: int, width: int) -> int:
        """Return n for a picture of this size; if several fit, the smallest.

        Raises:
            InputError: no n fits, or the file was made from a picture of another size.
        """
        stride = self.stride or max(-(-height // self.rows), -(-width // self.columns))
        if not self._fits(stride, height, width) or self.size not in (None, (height, width)):
            made = (
                f"from a picture of {self.size[1]}x{self.size[0]} pixels"
                if self.size
                else "with another stride or from a picture of another size"
            )
            raise InputError(
                self.name,
                f" holds {self.columns}x{self.rows} kernels, which do not fit a picture of "
                f"{width}x{height} pixels: it was made {made}",
            )
        return stride

    def is_clear(self, height: int, width: int) -> bool:
        """Whether n is unique for a picture of this size."""
        return self.stride is not None or not self._fits(self.stride_for(height, width) + 1, height, width)

    def _fits(self, stride: int, height: int, width: int) -> bool:
        return (-(-height // stride), -(-width // stride)) == (self.rows, self.columns)


def read_kernel_map(path: Path, scale: int, kernel_size: int, basis: Tensor) -> KernelField:
    """Open a map and check all its values, in bounded memory, without unpickling.

    Args:
        path: ``.npy`` of kernels (rows, columns, k, k), or of shapes (rows, columns, 3): standard deviations
            in HR pixels along two axes and the first axis' angle in degrees; or ``.npz`` with such an array
            called kernels or params, or with codes (rows, columns, L), basis (k*k, L) and offset (k*k,),
            where a kernel is basis @ code + offset. A .npz may also hold scale, stride, height and width.
        scale: HR pixels per LR pixel.
        kernel_size: the k of the weights.
        basis: basis of the weights' codes, (k*k, L).

    Raises:
        UsageError: the file is missing or holds other content.
    """
    name = Parameter("kernel_map", path)

    def check(heads: Mapping[str, Array]) -> None:
        _content_of(heads, kernel_size, basis, name)

    try:
        arrays = open_arrays(path, frozenset(_CONTENTS + _BESIDE), check)
        field = kernel_field(arrays, scale, kernel_size, basis, name, "")
        return replace(field, digest=file_sha256(path))
    except FileNotFoundError as error:
        raise UsageError(name, ": there is no such file") from error
    except UnreadableArrayError as error:
        raise UsageError(name, f": this is not a .npy or .npz file of plain numbers{error.advice}") from error
    except OSError as error:
        raise UsageError(name, f": the file cannot be read as plain numbers ({error.strerror})") from error


def kernel_field(
    arrays: Mapping[str, Array], scale: int, kernel_size: int, basis: Tensor, name: Parameter, digest: str
) -> KernelField:
    """Make a map from named arrays, see `read_kernel_map`.

    Args:
        arrays: one called kernels (which may be shapes), codes or params, and the arrays that belong to it.
        scale: HR pixels per LR pixel.
        kernel_size: the k of the weights.
        basis: basis of the weights' codes, (k*k, L).
        name: the parameter in messages.
        digest: SHA-256 of the file.

    Raises:
        UsageError: the arrays hold other content.
    """
    content, array = _content_of(arrays, kernel_size, basis, name)
    decoder = _decoder(arrays, basis, name) if content == "codes" else None
    if (made := _number(arrays, "scale", name)) not in (None, scale):
        raise UsageError(name, f": it was made for x{made}, the weights are for x{scale}")
    height, width = (_number(arrays, side, name) for side in ("height", "width"))
    kernels = _KernelRows(array, content, scale, kernel_size, decoder, name)
    kernels.check()
    rows, columns = int(array.shape[0]), int(array.shape[1])
    size = (height, width) if height and width else None
    return KernelField(name, digest, rows, columns, _number(arrays, "stride", name), size, kernels)


def _content_of(
    arrays: Mapping[str, Array], kernel_size: int, basis: Tensor, name: Parameter
) -> tuple[str, Array]:
    """Return the kind of content and its array, checked by shapes and types only."""
    found = [content for content in _CONTENTS if content in arrays]
    if len(found) != 1:
        raise UsageError(name, f": expected one array called kernels, codes or params, it holds {len(found)}")
    (content,) = found
    array = arrays[content]
    if content == "kernels" and array.ndim == 3 and array.shape[2] == 3:
        content = "params"  # a .npy has no names
    inner = {"kernels": (kernel_size, kernel_size), "codes": (basis.shape[1],), "params": (3,)}[content]
    if array.ndim < 3 or array.shape[2:] != inner or 0 in array.shape or array.dtype.kind not in "fiu":
        expected = ", ".join(map(str, ("rows", "columns", *inner)))
        raise UsageError(
            name,
            f": expected real numbers of shape ({expected}), it holds {array.dtype} of shape {array.shape}",
        )
    for key in _BESIDE:
        if key in arrays and arrays[key].size > _MOST_BESIDE:
            raise UsageError(name, f": its {key} has shape {arrays[key].shape}, expected a few numbers")
    return content, array


class _KernelRows:
    """Rows of a map as kernels, converted from shapes or decoded from codes."""

    def __init__(
        self,
        array: Array,
        content: str,
        scale: int,
        kernel_size: int,
        decoder: KernelDecoder | None,
        name: Parameter,
    ) -> None:
        self._array = array
        self._content = content
        self._scale = scale
        self._size = kernel_size
        self._decoder = decoder
        self._name = name
        self._centred = False

    def __call__(self, start: int, stop: int) -> Tensor:
        values = self._kernels(slice(start, stop))
        if self._centred:
            values = moved_to_placement(values, self._scale)
        return (values / values.sum(dim=(2, 3), keepdim=True)).float()

    def check(self) -> None:
        """Raise UsageError unless all values are kernels; detect whether they are centred."""
        rows, columns = self._array.shape[:2]
        total = torch.zeros(self._size, self._size, dtype=torch.float64)
        step = max(1, _CHECKED // columns)
        for start in range(0, rows, step):
            for left in range(0, columns, _CHECKED):
                total += self._check_part(slice(start, min(start + step, rows)), slice(left, left + _CHECKED))
        if self._content == "kernels" and is_centred(total, self._scale):
            self._centred = True
            _log.warning(
                "%s: its kernels are centred in their arrays, as other tools write them; "
                "their centres are moved by %g pixels",
                *(Message(self._name), (self._scale - 1) / 2),
            )

    def _check_part(self, rows: slice, columns: slice) -> Tensor:
        """Raise UsageError unless the values are kernels; return their sum, (k, k)."""
        total = torch.zeros(self._size, self._size, dtype=torch.float64)
        if self._content == "params":
            self._check_params(rows, columns)
            return total
        values = self._kernels(rows, columns)
        sums = values.sum(dim=(2, 3))
        wrong = (~(sums - 1).abs().le(_SUM_TOLERANCE[self._content])).nonzero()
        if len(wrong):
            row, column = wrong[0].tolist()
            raise UsageError(
                self._name,
                ": a blur kernel's values sum to 1, those at "
                f"[{rows.start + row}, {columns.start + column}] sum to {float(sums[row, column]):.4g}",
            )
        if (largest := float(values.abs().max())) > LARGEST_SHARE:
            raise UsageError(
                self._name,
                f": expected kernel values from {-LARGEST_SHARE:g} to {LARGEST_SHARE:g}, "
                f"these reach {largest:.4g}",
            )
        return values.sum(dim=(0, 1))

    def _kernels(self, rows: slice, columns: slice = _ALL) -> Tensor:
        """Return the kernels before placement and normalisation, (h, w, k, k) in float64."""
        array = self._array[rows, columns].astype(np.float64)
        # An infinite value makes the sum infinite or NaN, so the check of the sum finds it.
        values = torch.from_numpy(array)
        if self._decoder is not None:
            values = self._decoder(values)
        elif self._content == "params":
            shapes = KernelShapes(*values.unbind(dim=-1))
            return gaussians_of(shapes, self._scale, self._size).double()
        return values.reshape(*values.shape[:2], self._size, self._size)

    def _check_params(self, rows: slice, columns: slice) -> None:
        values = self._array[rows, columns].astype(np.float64)
        sigmas = values[..., :2]
        if not np.isfinite(values).all() or sigmas.min() <= 0 or sigmas.max() > _WIDEST:
            raise UsageError(
                self._name,
                f": expected standard deviations above 0, up to {_WIDEST:g}, and finite degrees; "
                f"rows {rows.start} to {rows.stop - 1} hold other values",
            )


def _number(arrays: Mapping[str, Array], key: str, name: Parameter) -> int | None:
    """Return a number stored with the map; None if it is missing."""
    if key not in arrays:
        return None
    array = arrays[key]
    if array.size != 1 or array.dtype.kind not in "iu" or int(array.reshape(-1)[0]) < 1:
        raise UsageError(name, f": its {key} is not a whole number of at least 1")
    return int(array.reshape(-1)[0])


def _decoder(arrays: Mapping[str, Array], basis: Tensor, name: Parameter) -> KernelDecoder:
    """Return the decoder of the codes, with the offset from the file."""
    given, offset = arrays.get("basis"), arrays.get("offset")
    if given is None or offset is None:
        raise UsageError(
            name, ": it holds codes without their basis and offset; give the .npz of manet kernels"
        )
    same = given.shape == tuple(basis.shape) and given.dtype.kind == "f"
    if not same or not np.allclose(given, basis.cpu().numpy(), rtol=0, atol=1e-6):
        raise UsageError(name, ": its codes belong to other weights; give kernels or params instead")
    if offset.shape != basis.shape[:1] or offset.dtype.kind != "f":
        raise UsageError(name, f": its offset has shape {offset.shape}, expected {tuple(basis.shape[:1])}")
    return KernelDecoder.with_offset(basis, torch.from_numpy(offset.astype(np.float64)))


def interpolated_kernels(
    field: KernelField, height: int, width: int, start: int, stop: int
) -> Iterator[tuple[int, Tensor]]:
    """Yield (first row, kernels (h, width, k, k)) of LR rows [start, stop) of a picture of this size.

    Kernels are interpolated linearly between the grid's pixels; its last row and column are repeated beyond.
    """
    stride = field.stride_for(height, width)
    size = int(field.kernels(0, 1).shape[-1])
    rows = max(1, _BAND // (width * 4 * size**2))
    for row in range(start, stop, rows):
        below = min(row + rows, stop)
        if stride == 1:
            yield row, field.kernels(row, below)
            continue
        upper, share = _between(row, below, stride, field.rows)
        first = int(upper[0])
        grid = field.kernels(first, min(int(upper[-1]) + 2, field.rows))
        grid = _blended(grid, upper - first, share, 0)
        left, share = _between(0, width, stride, field.columns)
        yield row, _blended(grid, left, share, 1)


def _between(start: int, stop: int, stride: int, count: int) -> tuple[Tensor, Tensor]:
    """Return the grid pixel before each LR pixel in [start, stop), and the weight of the next grid pixel."""
    position = (torch.arange(start, stop, dtype=torch.float64) / stride).clamp(max=count - 1)
    before = position.floor()
    return before.long(), (position - before).float()


def _blended(grid: Tensor, before: Tensor, share: Tensor, dim: int) -> Tensor:
    after = (before + 1).clamp(max=grid.shape[dim] - 1)
    share = share.reshape(-1, *([1] * (grid.ndim - 1 - dim)))
    first, second = grid.index_select(dim, before), grid.index_select(dim, after)
    return first + share * (second - first)
