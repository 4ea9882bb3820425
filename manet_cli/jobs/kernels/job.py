"""Estimate the blur of one picture: as an array, a picture and a summary."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from manet_cli import __version__
from manet_cli.atomic import atomic_path, prepare_folder, remove_leftovers
from manet_cli.errors import Parameter, UsageError
from manet_cli.evaluation.kernel_summary import KernelSummary
from manet_cli.file_identity import is_file
from manet_cli.images import MAX_PIXELS, Photo, read_content, read_photo, read_record
from manet_cli.inference import Engine, memory_reported
from manet_cli.inference.dial import Denoise
from manet_cli.jobs.denoise import asked, check_denoise, turn_to_photo
from manet_cli.jobs.kernels.map_writer import (
    MapWriter,
    check_kernel_map,
    check_map_size,
    kernel_map_shape,
    open_map,
)
from manet_cli.jobs.kernels.picture import draw_kernel_picture, survey_for_picture
from manet_cli.jobs.kernels.shaped_tiles import ShapedTile, shaped_tiles
from manet_cli.jobs.models import ModelOptions, OpenModel
from manet_cli.jobs.outputs import check_outputs, files_among, path_beside
from manet_cli.jobs.record import Record, difference, is_kept, made_from
from manet_cli.jobs.sources import STDIN
from manet_cli.jobs.upscale.canvas import PhotoRows
from manet_cli.jobs.upscale.job import Progress
from manet_cli.models import KernelDecoder

__all__ = ["CONTENTS", "KernelArray", "KernelsJob", "KernelsRequest", "plan_kernels"]

CONTENTS = ("kernels", "codes", "params")
"""What an array holds for every pixel: the kernel, its PCA coefficients, or its shape."""

_COMMAND = "kernels"
_FLOAT16, _FLOAT32 = "float16", "float32"


@dataclass(frozen=True)
class KernelsRequest:
    """Request for the kernels of one picture.

    Attributes:
        name: the picture's path, ``-`` for standard input.
        array: whether to write an array.
        output: file of the array; None for a file beside the picture, named after it.
        content: content of the array, one of `CONTENTS`.
        picture: ``.png`` file for a picture of the blur. If None, no picture is drawn; without ``array`` and
            ``summary``, one is drawn beside the input, named after it.
        summary: whether to compute only the summary.
        stride: write every ``stride``-th pixel of every ``stride``-th row to the array.
        dtype: float16 or float32; None for float16, or for params float32, the only one allowed.
        large: allow an array of more than 2 GiB.
        overwrite: replace existing outputs.
        max_pixels: larger pictures raise an error.
        denoise: 0 (clean weights) to 1 (camera weights), or ``auto``; None for the default of the weights.
    """

    name: str
    array: bool = False
    output: str | None = None
    content: str = "kernels"
    picture: str | None = None
    summary: bool = False
    stride: int = 1
    dtype: str | None = None
    large: bool = False
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS
    denoise: Denoise | None = None


@dataclass(frozen=True)
class KernelArray:
    """An array to write.

    Attributes:
        path: the file, .npy or .npz.
        content: one of `CONTENTS`.
        shape: (rows, columns, ...).
        stride: every ``stride``-th pixel of every ``stride``-th row is written.
        dtype: float16 or float32.
        size: bytes of the array.
    """

    path: Path
    content: str
    shape: tuple[int, ...]
    stride: int
    dtype: str
    size: int

    def line(self) -> str:
        """Describe the array in one line: path, shape, number format and size."""
        return f"{self.path}: {'x'.join(map(str, self.shape))} {self.dtype}, {self.size / 1e6:.1f} MB"

    def open(self, beside: Callable[[], dict[str, npt.NDArray[Any]]]) -> AbstractContextManager[MapWriter]:
        """Open the file; it is written atomically at the end. ``beside`` returns more arrays for a .npz."""
        options: dict[str, Any] = {"stride": self.stride, "dtype": self.dtype, "name": self.content}
        return open_map(self.path, self.shape, MapWriter, beside=beside, **options)

    def values(self, shaped: ShapedTile) -> Tensor:
        """Return the array's values for a tile, (h, w, n)."""
        if self.content == "codes":
            return shaped.tile.code.permute(1, 2, 0)
        if self.content == "params":
            return torch.stack(tuple(shaped.shapes), dim=-1)
        return shaped.kernels


@dataclass(frozen=True, eq=False)
class KernelsJob:
    """Estimation of one picture's kernels, planned and ready to run.

    Attributes:
        photo: the picture.
        lr: the picture as the engine's input.
        model: the weights, ready to run.
        array: array to write, if any.
        picture: picture of the blur to draw, if any.
        kept: whether the picture of the blur exists already, made from the same input and settings.
        record: record to store in the picture of the blur.
        about: origin of the array, stored in a .npz.
        title: name of the photo in the picture of the blur.
    """

    photo: Photo
    lr: PhotoRows
    model: OpenModel
    array: KernelArray | None
    picture: Path | None
    kept: bool
    record: str
    about: dict[str, npt.NDArray[Any]]
    title: str

    @property
    def paths(self) -> list[Path]:
        """The files to write."""
        return [path for path in (self.array and self.array.path, self.picture) if path]

    def fields(self, summary: KernelSummary) -> dict[str, object]:
        """Return the outputs and the summary as fields for JSON."""
        fields: dict[str, object] = {}
        if self.array:
            fields |= {"output": str(self.array.path), "content": self.array.content}
            fields |= {"shape": self.array.shape, "dtype": self.array.dtype, "bytes": self.array.size}
        if self.picture:
            fields["picture"] = str(self.picture)
        return fields | {"summary": summary.fields()}

    def run(self, progress: Progress) -> KernelSummary:
        """Estimate the kernels and write the outputs atomically.

        Raises:
            ManetError: any error; no output is written.
        """
        engine, scale, lr = self.model.engine, self.model.scale, self.lr
        for folder in {path.parent for path in self.paths}:
            prepare_folder(folder)
            remove_leftovers(folder)
        survey = survey_for_picture(lr.height, lr.width, scale, engine.kernel_size)
        done, total = 0, lr.height * lr.width
        kernel_sum = torch.zeros(engine.kernel_size, engine.kernel_size, dtype=torch.float64)

        def beside() -> dict[str, npt.NDArray[Any]]:
            codes = self.array is not None and self.array.content == "codes"
            return {**self.about, **(self._decoding(kernel_sum / total) if codes else {})}

        progress(0.0)
        with ExitStack() as stack:
            writer = stack.enter_context(self.array.open(beside)) if self.array else None
            drawn = None if self.kept else self.picture
            temporary = stack.enter_context(atomic_path(drawn)) if drawn else None
            for shaped in shaped_tiles(engine, lr, scale):
                survey.add(shaped)
                if writer and self.array:
                    writer.put(shaped.tile.row, shaped.tile.column, self.array.values(shaped))
                kernel_sum += shaped.kernels.sum(dim=(0, 1)).cpu()
                done += shaped.texture.numel()
                progress(done / total)
            if temporary:
                picture = draw_kernel_picture(survey, self.photo, self.title, self.record)
                temporary.write_bytes(picture)
        return survey.summary

    def _decoding(self, mean: Tensor) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays that decode codes, from the mean kernel: codes @ basis.T + offset."""
        decoder = KernelDecoder.around_mean(self.model.engine.kernel_code.basis, mean.flatten())
        # An orthonormal basis, such as principal components, stays the same.
        return {"basis": decoder.inverse.T.float().numpy(), "offset": decoder.offset.float().numpy()}


def plan_kernels(request: KernelsRequest, model: OpenModel, options: ModelOptions) -> KernelsJob:
    """Check the outputs, read the picture, and plan the array.

    Args:
        request: the request.
        model: the weights, ready to run.
        options: options of the model; of a path, outputs store only the file name.

    Raises:
        UsageError: options are invalid or conflict with each other.
        OutputError: an output exists, would replace the input, or is too large.
        InputError: the picture cannot be read.
        WeightsError: the weights lack a network.
    """
    engine = model.engine
    engine.require(estimator=True)
    path = None if request.name == STDIN else Path(request.name)
    target = _array_path(request, model.scale) if request.array else None
    picture = _picture_path(request, model.scale)
    if picture is not None and picture.suffix.lower() != ".png":
        raise UsageError(Parameter("picture", picture), ": pictures of the blur are written as .png")
    settings: dict[str, object] = {
        "scale": model.scale,
        "precision": options.precision,
        "tile": "auto" if options.tile is None else options.tile,
    }
    denoise = check_denoise(request.denoise, engine, options.model, model.scale)
    if denoise is not None:
        settings["denoise"] = asked(denoise)
    made = None
    if picture is not None and path is not None and is_file(path) and not request.overwrite:
        made = made_from(picture, path, model.sha256, settings, _COMMAND)
    kept = picture is not None and is_kept(picture, made)
    check_outputs(
        path,
        {"output": target, "picture": None if kept else picture},
        overwrite=request.overwrite,
        replaced=[picture] if picture and made else [],
        besides=files_among(options.model),
        differs={}
        if picture is None
        else {"picture": lambda: difference(read_record(picture), path, model.sha256, settings, _COMMAND)},
    )
    if request.content == "codes":
        _ = engine.kernel_code  # fail before any work if the weights have no basis
    with memory_reported(request.name):
        data = read_content(path, request.name, request.max_pixels)
        shown = "standard input" if path is None else request.name
        photo = read_photo(data, shown, request.max_pixels)
    settings |= turn_to_photo(engine, photo, denoise)
    array = None
    if target is not None:
        array = _array(request, target, photo, engine)
    about = {
        "tool": np.array(f"manet_cli {__version__}"),
        "input": np.array("stdin" if path is None else path.name),
        "input_sha256": np.array(hashlib.sha256(data).hexdigest()),
        "model": np.array(Path(options.model).name),
        "weights_sha256": np.array(model.sha256),
        "precision": np.array(model.precision),
        "scale": np.array(model.scale),
        "stride": np.array(request.stride),
        "height": np.array(photo.height),
        "width": np.array(photo.width),
    }
    title = "standard input" if path is None else path.name
    record = Record.of("stdin" if path is None else path.name, data, model.sha256, settings, _COMMAND)
    return KernelsJob(photo, PhotoRows(photo), model, array, picture, kept, record.to_json(), about, title)


def _picture_path(request: KernelsRequest, scale: int) -> Path | None:
    if request.picture is not None:
        return Path(request.picture)
    if request.array or request.summary:
        return None
    return path_beside(request.name, f"_x{scale}_kernels.png")


def _array_path(request: KernelsRequest, scale: int) -> Path:
    suffix = ".npz" if request.content == "codes" else ".npy"
    if request.output is None:
        return path_beside(request.name, f"_x{scale}_{request.content}{suffix}")
    target = Path(request.output)
    if target.suffix.lower() not in (".npy", ".npz"):
        raise UsageError(
            *(Parameter("output", target), ": arrays are written as .npy, or as .npz with their origin; "),
            *("for a picture give ", Parameter("picture", "FILE.png")),
        )
    if request.content == "codes" and target.suffix.lower() == ".npy":
        raise UsageError(
            Parameter("output", target), ": codes need their basis, and only a .npz holds both; give FILE.npz"
        )
    return target


def _array(request: KernelsRequest, path: Path, photo: Photo, engine: Engine) -> KernelArray:
    content, stride = request.content, request.stride
    if content == "params" and request.dtype == _FLOAT16:
        raise UsageError(Parameter("dtype", "float16"), ": too coarse for angles; params are always float32")
    dtype = request.dtype or (_FLOAT32 if content == "params" else _FLOAT16)
    rows, columns, *sides = kernel_map_shape(photo.height, photo.width, stride, engine.kernel_size)
    if content == "kernels":
        values: tuple[int, ...] = tuple(sides)
        size = check_kernel_map(photo.height, photo.width, stride=stride, dtype=dtype, large=request.large)
    else:
        values = (engine.kernel_code.basis.shape[1],) if content == "codes" else (3,)
        size = check_map_size(
            photo.height, photo.width, values, stride=stride, dtype=dtype, large=request.large
        )
    return KernelArray(path, content, (rows, columns, *values), stride, dtype, size)
