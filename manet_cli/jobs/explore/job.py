"""Make a web page of one picture: bicubic and restored enlargement, and the kernels."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from manet_cli.atomic import atomic_path, prepare_folder, remove_leftovers
from manet_cli.errors import InputError, Message, OutputError, Parameter, UsageError
from manet_cli.evaluation.kernel_summary import size_range
from manet_cli.evaluation.studies.compare import Crop
from manet_cli.file_identity import is_file
from manet_cli.images import (
    MAX_PIXELS,
    CollectedPhoto,
    Photo,
    format_by_name,
    read_content,
    read_photo,
    to_float,
    to_integer,
)
from manet_cli.images.arrays import array_of
from manet_cli.images.colour_map import colour_map, oklab_to_srgb
from manet_cli.images.sheet import ORANGE, PAPER, fitted, on_paper
from manet_cli.inference import Engine, memory_reported
from manet_cli.inference.dial import Denoise
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.jobs.denoise import asked, check_denoise, turn_to_photo
from manet_cli.jobs.excerpts import cut, excerpt_of
from manet_cli.jobs.explore.data import KernelBytes, KernelGatherer, Region
from manet_cli.jobs.explore.html import explore_page, is_page, page_record
from manet_cli.jobs.explore.part import largest_sides, telling_part
from manet_cli.jobs.models import ModelOptions, OpenModel
from manet_cli.jobs.outputs import check_outputs, files_among, path_beside
from manet_cli.jobs.record import Record, agrees, difference
from manet_cli.jobs.sources import STDIN
from manet_cli.jobs.upscale.canvas import Canvas, PhotoRows
from manet_cli.jobs.upscale.job import Progress

__all__ = ["ExploreJob", "plan_explore"]

MOST_PIXELS = 8_000_000
"""Largest result on a page in pixels: some browsers fail on larger pictures."""

_COMMAND = "explore"
_PART_PIXELS = 4_000_000
"""Most pixels of the result in an automatic part; at x4, a page can hold the kernel of every input pixel."""

_LONGEST_SIDE = format_by_name("webp").largest_side  # the page's pictures are WebP
_OVERVIEW_SIDE = 480
_COLOURS = 17  # the page interpolates between them


@dataclass(frozen=True, eq=False)
class ExploreJob:
    """One picture's page, planned and ready to make.

    Attributes:
        name: the picture's file name, as shown on the page.
        photo: the picture, or an excerpt: the shown part with its context.
        size: width and height of the whole picture.
        corner: column and row of the excerpt in the whole picture.
        region: the shown part, relative to the excerpt's corner.
        output: the file to write.
        record: the record of the page.
        upscale_record: the record that `manet upscale` would write for the whole picture.
        chosen: whether the part was chosen automatically, because the whole picture is too large.
        overview: the whole picture shrunk, with a frame around the part, as WebP; None if all is shown.
        kept: whether the page exists already, made from the same input, weights and settings.
    """

    name: str
    photo: Photo
    size: tuple[int, int]
    corner: tuple[int, int]
    region: Region
    output: Path
    record: Record
    upscale_record: Record
    chosen: bool
    overview: bytes | None
    kept: bool

    def said(self) -> Message | None:
        """Return a message about an automatically chosen part; None if there is none."""
        if not self.chosen:
            return None
        left, top, width, height = self._crop()
        return Message(
            f"the page shows {width}x{height} pixels from ({left}, {top}) of {self.name}, where the blur "
            f"shows best: all {self.size[0]}x{self.size[1]} would be too large; choose another part with ",
            Parameter("crop", "X,Y,W,H"),
        )

    def shown(self, scale: int) -> dict[str, object]:
        """Return the shown part and the size of its result, for a script."""
        size = {"width": self.region.width * scale, "height": self.region.height * scale}
        return {**size, "crop": self._crop()}

    def run(self, model: OpenModel, progress: Progress) -> dict[str, object]:
        """Make the page and write it atomically.

        Returns:
            Facts about the page, for a script.

        Raises:
            ManetError: any error; no output is written.
        """
        scale = model.scale
        prepare_folder(self.output.parent)
        remove_leftovers(self.output.parent)
        with memory_reported(self.name), atomic_path(self.output) as temporary:
            gatherer = KernelGatherer(model.engine, scale, self.region)
            after, lr = self._restored(model.engine, scale, gatherer, progress)
            kernels = gatherer.finish(lr)
            pictures = [_bicubic(self.photo, scale), _image(after)]
            encoded = [_webp(self._shown(picture, scale), self.photo) for picture in pictures]
            about = (self._summary(scale), _note(kernels), self._fields(scale))
            page = explore_page(self.name, *about, kernels, encoded, self.overview, self.record.to_json())
            temporary.write_bytes(page)
        return {
            "step": kernels.step,
            "kernel_psnr": round(kernels.psnr, 2),
            "largest_error": float(f"{kernels.largest_error:.3g}"),
            "bytes": len(page),
        }

    def _restored(
        self, engine: Engine, scale: int, gatherer: KernelGatherer, progress: Progress
    ) -> tuple[Photo, PhotoRows]:
        lr = PhotoRows(self.photo)
        header = self.photo.header
        rows = CollectedPhoto(replace(header, width=header.width * scale, height=header.height * scale))
        canvas = Canvas(self.photo, lr, scale, rows)
        done, total = 0, lr.height * lr.width * scale**2
        progress(0.0)
        for tile in engine.restore(lr, EstimatedCodes(engine, lr, gatherer.write)):
            canvas.paint(tile)
            done += tile.pixels.shape[2] * tile.pixels.shape[3]
            progress(done / total)
        return rows.photo(self.photo.metadata), lr

    def _shown(self, picture: Image.Image, scale: int) -> Image.Image:
        """Crop an enlarged excerpt to the shown part."""
        region = self.region
        box = (region.left, region.top, region.left + region.width, region.top + region.height)
        left, top, right, bottom = (side * scale for side in box)
        return picture.crop((left, top, right, bottom))

    def _crop(self) -> list[int]:
        """Return the shown part in pixels of the whole picture: left, top, width, height."""
        region, (left, top) = self.region, self.corner
        return [left + region.left, top + region.top, region.width, region.height]

    def _summary(self, scale: int) -> str:
        left, top, width, height = self._crop()
        whole = (left, top, width, height) == (0, 0, *self.size)
        part = "" if whole else f" from ({left}, {top}) of {self.size[0]}x{self.size[1]}"
        return f"{width}x{height} pixels{part}, enlarged x{scale} to {width * scale}x{height * scale}"

    def _fields(self, scale: int) -> dict[str, object]:
        left, top, width, height = self._crop()
        return {
            "name": self.name,
            "scale": scale,
            "left": left,
            "top": top,
            "width": width,
            "height": height,
            "range": size_range(scale),
            "colours": oklab_to_srgb(colour_map(_COLOURS)).tolist(),
            "record": self.upscale_record.to_json(),
        }


def plan_explore(
    name: str,
    output: str | None,
    model: OpenModel,
    options: ModelOptions,
    *,
    crop: Crop | None,
    overwrite: bool,
    max_pixels: int = MAX_PIXELS,
    denoise: Denoise | None = None,
) -> ExploreJob:
    """Check the output of a page, and read the picture.

    Args:
        name: the picture's path, ``-`` for standard input.
        output: the file to write; None for a file beside the picture, named after it.
        model: the weights, ready to run.
        options: options of the model.
        crop: the part to show; None for all or, if that is too large, the part that shows its blur best.
        overwrite: replace an existing output.
        max_pixels: larger pictures raise an error.
        denoise: 0 (clean weights) to 1 (camera weights), or ``auto``; None for the default of the weights.

    Raises:
        UsageError: the output's suffix is not .html, or the weights have no dial.
        OutputError: the output exists or is the input, or the given part is too large for a page.
        InputError: the picture cannot be read, or the part lies outside.
    """
    path = None if name == STDIN else Path(name)
    target = Path(output) if output else path_beside(name, f"_x{model.scale}_explore.html")
    if not is_page(target):
        raise UsageError(Parameter("output", target), ": a page is written as .html")
    denoise = check_denoise(denoise, model.engine, options.model, model.scale)
    settings: dict[str, object] = {
        "scale": model.scale,
        "precision": options.precision,
        "tile": "auto" if options.tile is None else options.tile,
    }
    part: dict[str, object] = {} if crop is None else {"crop": ",".join(map(str, crop))}
    dial: dict[str, object] = {} if denoise is None else {"denoise": asked(denoise)}
    asked_for = {**settings, **part, **dial}
    made = page_record(target)
    kept = (
        path is not None
        and is_file(path)
        and not overwrite
        and agrees(made, path, model.sha256, asked_for, _COMMAND)
    )
    check_outputs(
        path,
        {"output": None if kept else target},
        overwrite=overwrite,
        besides=files_among(options.model),
        differs={"output": lambda: difference(made, path, model.sha256, asked_for, _COMMAND)},
    )
    with memory_reported(name):
        data = read_content(path, name, max_pixels)
        photo = read_photo(data, "standard input" if path is None else name, max_pixels)
    whole = Region(0, 0, photo.width, photo.height)
    chosen = crop is None and not _fits(whole, model.scale)
    shown = _chosen(photo, model.scale) if chosen else Region(*crop) if crop else whole
    if shown.left + shown.width > photo.width or shown.top + shown.height > photo.height:
        raise InputError(
            Parameter("crop", part["crop"]),
            f" reaches beyond {name}, which is {photo.width}x{photo.height} pixels",
        )
    _check_size(shown, model.scale)
    overview = None if shown == whole else _overview(photo, shown)
    excerpt = excerpt_of(shown, photo, model.engine)
    dial = turn_to_photo(model.engine, photo, denoise)
    shown_name = "stdin" if path is None else path.name
    return ExploreJob(
        os.fsencode(shown_name).decode("utf-8", "replace"),
        cut(photo, excerpt),
        (photo.width, photo.height),
        (excerpt.left, excerpt.top),
        shown.within(excerpt),
        target,
        Record.of(shown_name, data, model.sha256, {**settings, **part, **dial}, _COMMAND),
        Record.of(
            shown_name,
            data,
            model.sha256,
            {**settings, "registration": "input", "blur": "estimated", "exact": options.exact, **dial},
        ),
        chosen,
        overview,
        kept,
    )


def _fits(shown: Region, scale: int) -> bool:
    width, height = shown.width * scale, shown.height * scale
    return width * height <= MOST_PIXELS and max(width, height) <= _LONGEST_SIDE


def _chosen(photo: Photo, scale: int) -> Region:
    """Choose the part of a photo for a page."""
    most = min(MOST_PIXELS, _PART_PIXELS) // scale**2
    sides = largest_sides(photo.width, photo.height, most, _LONGEST_SIDE // scale)
    return telling_part(PhotoRows(photo), *sides)


def _overview(photo: Photo, shown: Region) -> bytes:
    """Return a whole photo as a small WebP file, with a frame around the shown part."""
    size = fitted(photo.width, photo.height, _OVERVIEW_SIDE, _OVERVIEW_SIDE)
    size = (min(size[0], photo.width), min(size[1], photo.height))
    picture = Image.fromarray(on_paper(photo, size))
    factors = (size[0] / photo.width, size[1] / photo.height) * 2
    corners = (shown.left, shown.top, shown.left + shown.width, shown.top + shown.height)
    left, top, right, bottom = (corner * factor for corner, factor in zip(corners, factors, strict=True))
    draw = ImageDraw.Draw(picture)
    for colour, wide in ((PAPER, 4), (ORANGE, 2)):
        draw.rectangle((left - 1, top - 1, max(right, left + 1), max(bottom, top + 1)), None, colour, wide)
    return _webp(picture, photo)


def _check_size(shown: Region, scale: int) -> None:
    if _fits(shown, scale):
        return
    width, height = shown.width * scale, shown.height * scale
    sides = largest_sides(shown.width, shown.height, MOST_PIXELS // scale**2, _LONGEST_SIDE // scale)
    left, top = shown.left + (shown.width - sides[0]) // 2, shown.top + (shown.height - sides[1]) // 2
    part = ",".join(map(str, (left, top, *sides)))
    raise OutputError(
        f"the result is {width}x{height} pixels, but a page holds {MOST_PIXELS // 1_000_000} megapixels, "
        f"at most {_LONGEST_SIDE} pixels a side: show a part X,Y,W,H in input pixels, such as ",
        Parameter("crop", part),
    )


def _image(photo: Photo) -> Image.Image:
    """Return a photo as an 8-bit image."""
    array = array_of(photo, 3)
    if array.dtype != np.uint8:
        array = to_integer(to_float(array), np.uint8)
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array))


def _bicubic(photo: Photo, scale: int) -> Image.Image:
    size = (photo.width * scale, photo.height * scale)
    return _image(photo).resize(size, Image.Resampling.BICUBIC)


def _webp(image: Image.Image, photo: Photo) -> bytes:
    """Encode a picture as lossless WebP, with the colour profile of its photo."""
    options: dict[str, object] = {}
    # WebP has no grey mode, so a grey profile would be wrong.
    if photo.metadata.icc_profile and photo.pixels.shape[2] == 3:
        options["icc_profile"] = photo.metadata.icc_profile
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True, method=2, quality=20, **options)
    return file.getvalue()


def _note(kernels: KernelBytes) -> str:
    square = f"{kernels.step}x{kernels.step}"
    kept = f"To keep this file small, it holds one kernel for every {square} pixels: the upper left one's. "
    return (kept if kernels.step > 1 else "") + (
        f"Kernels are rebuilt from 8-bit codes. On this picture they match the estimates to "
        f"{kernels.psnr:.1f} dB (PSNR); the largest error of a value is {kernels.largest_error:.2g}."
    )
