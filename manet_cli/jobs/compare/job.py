"""Enlarge one part of a photo by several methods, for a page that shows them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from manet_cli.atomic import atomic_path, prepare_folder, remove_leftovers
from manet_cli.errors import InputError, Parameter, UsageError
from manet_cli.evaluation.runs import TestedModel
from manet_cli.evaluation.studies.compare import Crop
from manet_cli.images import DEFAULT_FORMAT, MAX_PIXELS, Photo, read_content, read_photo, read_record
from manet_cli.images.sheet import on_paper
from manet_cli.inference import memory_reported
from manet_cli.jobs.blur.source import BlurOptions, open_blur
from manet_cli.jobs.compare.page import HIGHEST, Way, draw_comparison, panel_width
from manet_cli.jobs.denoise import turn_to_photo
from manet_cli.jobs.excerpts import cut, restored_part
from manet_cli.jobs.explore.data import Region
from manet_cli.jobs.explore.part import telling_part
from manet_cli.jobs.models import ModelOptions, OpenModel
from manet_cli.jobs.outputs import check_outputs, files_among, path_beside
from manet_cli.jobs.record import Record, difference, is_kept, made_from
from manet_cli.jobs.sources import STDIN
from manet_cli.jobs.upscale.canvas import PhotoRows
from manet_cli.jobs.upscale.job import Progress, UpscaleOptions
from manet_cli.weights import file_sha256

__all__ = ["CompareJob", "CompareRequest", "plan_compare"]

Models = Sequence[tuple[TestedModel, OpenModel]]

_COMMAND = "compare"
_MOST_PIXELS = 8_000_000
"""Largest result of a compared part, in pixels."""

_MOST_WAYS = 6
_ZOOM = 3  # a side of the part divided by a side of the detail
_ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class CompareRequest:
    """Request for a comparison.

    Attributes:
        name: the photo's path, ``-`` for standard input.
        output: the ``.png`` file to write; None for a file beside the photo, named after it.
        files: other enlargements of the photo, of any size.
        crop: the part to show; None to choose the part that shows the blur best.
        overwrite: replace an existing output.
        max_pixels: larger pictures raise an error.
    """

    name: str
    output: str | None = None
    files: Sequence[Path] = ()
    crop: Crop | None = None
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True, eq=False)
class CompareJob:
    """A comparison, planned and ready to run.

    Attributes:
        photo: the photo.
        title: its name on the page.
        models: the weights, ready to run.
        others: other enlargements with their names.
        shown: the part to show.
        zoom: the detail to magnify in it, in pixels of the photo.
        output: the file to write.
        record: record to store in the file.
        kept: whether the file exists already, made from the same inputs and settings, and is kept.
    """

    photo: Photo
    title: str
    models: Models
    others: Sequence[tuple[str, Photo]]
    shown: Region
    zoom: Region
    output: Path
    record: Record
    kept: bool = field(default=False)

    @property
    def scale(self) -> int:
        """Pixels of the results per pixel of the photo."""
        return self.models[0][1].scale

    def fields(self) -> dict[str, object]:
        """Return the compared methods and parts as fields for JSON."""
        ways = ["bicubic", *(tested.name for tested, _ in self.models), *(name for name, _ in self.others)]
        regions = {"crop": self.shown, "zoom": self.zoom}
        return {
            "ways": ways,
            **{name: [one.left, one.top, one.width, one.height] for name, one in regions.items()},
        }

    def run(self, progress: Progress) -> None:
        """Make the page and write it atomically.

        Raises:
            ManetError: any error; no output is written.
        """
        prepare_folder(self.output.parent)
        remove_leftovers(self.output.parent)
        with memory_reported(self.title), atomic_path(self.output) as temporary:
            page = draw_comparison(
                self._ways(progress),
                self.photo,
                self.shown,
                self.zoom,
                name=self.title,
                scale=self.scale,
                record=self.record.to_json(),
            )
            temporary.write_bytes(page)

    def _ways(self, progress: Progress) -> list[Way]:
        size = (self.shown.width * self.scale, self.shown.height * self.scale)
        ways = [Way("bicubic", on_paper(cut(self.photo, self.shown), size))]
        for number, (tested, opened) in enumerate(self.models):
            blur = open_blur(BlurOptions(), opened.engine, opened.scale)
            options = UpscaleOptions(opened.scale, DEFAULT_FORMAT, None, True, blur, opened.sha256, {})

            def share(done: float, before: int = number) -> None:
                progress((before + done) / len(self.models))

            turn_to_photo(opened.engine, self.photo)
            part = restored_part(self.photo, self.shown, opened.engine, options, share)
            ways.append(Way(f"manet, {tested.name}", on_paper(part, size)))
        ways += [Way(name, self._same_part(other, size)) for name, other in self.others]
        return ways

    def _same_part(
        self, other: Photo, size: tuple[int, int]
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """Crop another enlargement to the shown part and resize it to ``size``."""
        across, down = other.width / self.photo.width, other.height / self.photo.height
        shown = self.shown
        left, top = shown.left * across, shown.top * down
        box = (left, top, left + shown.width * across, top + shown.height * down)
        picture = Image.fromarray(on_paper(other, (other.width, other.height)))
        return np.asarray(picture.resize(size, Image.Resampling.BICUBIC, box=box))


def plan_compare(request: CompareRequest, models: Models, options: ModelOptions) -> CompareJob:
    """Check the output, and read the pictures.

    Args:
        request: the request.
        models: the weights, ready to run, all with the same scale.
        options: options of the models.

    Raises:
        UsageError: options are invalid or conflict with each other.
        OutputError: the output exists or is an input.
        InputError: a picture cannot be read, has another shape, or does not contain the part.
    """
    first = models[0][1]
    path = None if request.name == STDIN else Path(request.name)
    output = (
        Path(request.output) if request.output else path_beside(request.name, f"_x{first.scale}_compare.png")
    )
    if output.suffix.lower() != ".png":
        raise UsageError(Parameter("output", output), ": a comparison is written as .png")
    ways = 1 + len(models) + len(request.files)
    if ways > _MOST_WAYS:
        raise UsageError(f"{ways} results to compare, but a page holds {_MOST_WAYS}: leave some out")
    with memory_reported(request.name):
        data = read_content(path, request.name, request.max_pixels)
        photo = read_photo(data, "standard input" if path is None else request.name, request.max_pixels)
        others = [(file.name, _other(file, photo, request)) for file in request.files]
    settings = _settings(request, models, options)
    made = None
    if path is not None and not request.overwrite:
        made = made_from(output, path, first.sha256, settings, _COMMAND)
    kept = is_kept(output, made)
    check_outputs(
        path,
        {"output": None if kept else output},
        overwrite=request.overwrite,
        replaced=[output] if made else [],
        besides=(*request.files, *files_among(*(tested.name for tested, _ in models))),
        differs={"output": lambda: difference(read_record(output), path, first.sha256, settings, _COMMAND)},
    )
    shown = _shown(request, photo, first.scale, ways)
    part = cut(photo, shown)
    sides = (max(shown.width // _ZOOM, 1), max(shown.height // _ZOOM, 1))
    inside = telling_part(PhotoRows(part), *sides)
    zoom = Region(shown.left + inside.left, shown.top + inside.top, *sides)
    name = "stdin" if path is None else path.name
    record = Record.of(name, data, first.sha256, settings, _COMMAND)
    return CompareJob(photo, name, models, others, shown, zoom, output, record, kept)


def _settings(request: CompareRequest, models: Models, options: ModelOptions) -> dict[str, object]:
    settings: dict[str, object] = {
        "scale": models[0][1].scale,
        "precision": options.precision,
        "tile": options.tile_text if options.tile is None else options.tile,
    }
    if request.crop is not None:
        settings["crop"] = ",".join(map(str, request.crop))
    if len(models) > 1:
        settings["model"] = ",".join(opened.sha256 for _, opened in models[1:])
    if request.files:
        settings["with"] = ",".join(map(file_sha256, request.files))
    return settings


def _other(file: Path, photo: Photo, request: CompareRequest) -> Photo:
    """Read another enlargement of a photo.

    Raises:
        InputError: the file cannot be read, or has another shape.
    """
    other = read_photo(file, str(file), request.max_pixels)
    aspect = (other.width / other.height) / (photo.width / photo.height)
    if abs(aspect - 1) > _ASPECT_TOLERANCE + 1 / min(photo.width, photo.height):
        raise InputError(
            f"{file} has {other.width}x{other.height} pixels, so it is not an enlargement of "
            f"{request.name} with {photo.width}x{photo.height}: give one of the same shape"
        )
    return other


def _shown(request: CompareRequest, photo: Photo, scale: int, ways: int) -> Region:
    """Return the part to show: the given part, or the best part that fits a panel."""
    if request.crop is None:
        width, height = (max(1, side // scale) for side in (panel_width(ways), HIGHEST))
        sides = (min(width, photo.width), min(height, width * 3 // 4 or 1, photo.height))
        return telling_part(PhotoRows(photo), *sides)
    shown = Region(*request.crop)
    part = Parameter("crop", ",".join(map(str, request.crop)))
    if shown.left + shown.width > photo.width or shown.top + shown.height > photo.height:
        raise InputError(
            part, f" reaches beyond {request.name}, which is {photo.width}x{photo.height} pixels"
        )
    if shown.width * shown.height * scale**2 > _MOST_PIXELS:
        raise InputError(
            part,
            f": the result would exceed {_MOST_PIXELS // 1_000_000} megapixels; give a smaller part",
        )
    return shown
