"""Deblur pictures without changing their size.

The networks enlarge the picture; the result is resized to the input's size. They are trained for a blur of
about one input pixel, so a picture with a wider blur is shrunk first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from manet_cli.errors import Message, Parameter
from manet_cli.evaluation.kernel_summary import KernelSummary
from manet_cli.images import CollectedPhoto, EightBitRows, Header, Photo, Resizer, RowSink
from manet_cli.inference import Engine, first_device
from manet_cli.jobs.kernels.map_writer import KernelMapWriter
from manet_cli.jobs.kernels.shaped_tiles import shaped_tiles
from manet_cli.jobs.models import open_upscale
from manet_cli.jobs.names import DEBLURRED
from manet_cli.jobs.outputs import files_among
from manet_cli.jobs.record import Record
from manet_cli.jobs.sources import expand_sources
from manet_cli.jobs.upscale.canvas import PhotoRows
from manet_cli.jobs.upscale.job import Progress, UpscaleOptions, upscale
from manet_cli.jobs.upscale.plan import Planner
from manet_cli.jobs.upscale.run import Request, Run
from manet_cli.weights import DEFAULT_FAMILY, load_manifest, locate_weights
from manet_cli.weights.manifest import PAIR

__all__ = ["SHRINKS", "DeblurOptions", "DeblurReport", "Level", "deblur", "open_deblur"]

SHRINKS = (1, 2, 4)
"""Factors by which a picture may be shrunk before it is enlarged."""

_COMMAND = "deblur"

# Scale of the networks for each of SHRINKS, chosen by benchmarks/deblur.py; x4 also undoes a shrink of 4.
_SCALES = {1: 2, 2: 2, 4: 4}

# A picture is shrunk first if its blur in input pixels has at least this size. The x2 networks are trained up
# to 1.12 pixels of their input: 2.24 pixels of a picture at half its size. Measured by benchmarks/deblur.py.
_FROM = {2: 1.15, 4: 2.1}

# Estimate in LR pixels for a sharp picture shrunk 2 or 4 times: shrinking blurs a little.
_SHARP = {2: 0.42, 4: 0.40}
_LITTLE = 0.5  # blur in input pixels; below it, deblurring gains little

# A picture is sharp if the estimate in its middle square of _SHARP_SIDE pixels is below _SHARP_BELOW.
# `benchmarks/deblur.py --sigma 0 0.5` measures the gain and the loss from this rule.
_SHARP_BELOW, _SHARP_SIDE = 0.38, 1024
_LEAST_SIDE = 24  # pixels; in a smaller picture, blur cannot be measured


@dataclass(frozen=True)
class Level:
    """Networks for one of `SHRINKS`.

    Attributes:
        engine: runs the networks.
        options: for enlarging with them.
    """

    engine: Engine
    options: UpscaleOptions


@dataclass(frozen=True, kw_only=True)
class DeblurOptions(UpscaleOptions):
    """Options of a run, the same for all pictures; `scale` is 1: the size stays.

    Attributes:
        levels: networks for each of `SHRINKS`.
        shrink: factor by which pictures are shrunk first; None to choose by their blur.
    """

    levels: Mapping[int, Level] = field(default_factory=dict)
    shrink: int | None = None

    @property
    def networks(self) -> UpscaleOptions:
        """Options of the first level. Its networks estimate every picture's blur."""
        return self.levels[1].options

    def seen_of(self, header: Header) -> Header:
        """Return the header of the networks' largest input for a picture."""
        return _smaller_header(header, self.shrink or 1)

    def ending_of(self, header: Header | None) -> str:
        """Return the ending of a result's name."""
        return DEBLURRED

    def record_of(self, name: str, data: bytes, denoise: float | None = None) -> Record:
        """Return the record of an output for an input's content."""
        return replace(super().record_of(name, data), command=_COMMAND)


@dataclass(frozen=True)
class DeblurReport:
    """A picture's estimated blur, and how it was treated.

    Attributes:
        sigma: approximate standard deviation of the blur in input pixels; None if it cannot be measured.
        shrink: factor by which the picture was shrunk first.
        sharp: whether the picture was sharp already.
        kept: whether the pixels are kept: of a sharp picture, and of one whose blur cannot be measured.
    """

    sigma: float | None
    shrink: int
    sharp: bool = False
    kept: bool = False

    name = "deblur"

    def fields(self) -> dict[str, object]:
        """Return the report for a script."""
        sigma = None if self.sigma is None else round(self.sigma, 2)
        return {"sigma": sigma, "shrink": self.shrink, "sharp": self.sharp, "kept": self.kept}

    def sentence(self) -> Message:
        """Return the report for a reader."""
        if self.kept:
            why = "sharp already" if self.sharp else "too small or too flat to measure its blur"
            return Message(f"{why}, so its pixels are kept; ", Parameter("shrink", 1), " sharpens it anyway")
        first = f"; shrunk {self.shrink} times first" if self.shrink > 1 else ""
        if self.sigma is None:
            return Message(f"too small or too flat to measure its blur{first}")
        if self.sigma < _LITTLE and self.shrink == 1:
            return Message(
                "hardly any blur: there is little to gain, and fine detail may look harsher; ",
                *(Parameter("strength", 0.5), " is gentler"),
            )
        return Message(f"a blur of about {self.sigma:.1f} pixels{first}")


def deblur(
    photo: Photo,
    engine: Engine,
    options: DeblurOptions,
    sink: RowSink,
    progress: Progress = lambda share: None,
) -> DeblurReport:
    """Deblur a photo; errors as in `upscale`.

    Args:
        photo: the input.
        engine: engine of the first level; it estimates the blur.
        options: options of the run.
        sink: receives the rows of the result, which has the input's size.
        progress: callback for the share done.
    """
    progress(0.0)
    found = _report(photo, engine, options)
    if found.kept:
        kept = sink if options.result_of(photo.header) == photo.header else EightBitRows(sink)
        kept.write(photo.pixels, photo.alpha)
        progress(1.0)
        return found
    level = options.levels[found.shrink]
    small = _smaller(photo, found.shrink)
    made, result = level.options.result_of(small.header), options.result_of(photo.header)
    rows = sink if made == result else Resizer(made, result, sink)
    upscale(small, level.engine, level.options, rows, progress)
    return found


def _report(photo: Photo, engine: Engine, options: DeblurOptions) -> DeblurReport:
    """Estimate a photo's blur, first on the smallest copy, and choose the shrink factor."""
    coarse = _sigma(photo, engine, 4)
    if coarse is None or coarse < _FROM[2]:
        fine = _sigma(photo, engine, 2)
        sharp = options.shrink is None and (fine is None or fine < _LITTLE) and _is_sharp(photo, engine)
        return DeblurReport(
            fine, options.shrink or 1, sharp, sharp or (fine is None and options.shrink is None)
        )
    return DeblurReport(coarse, options.shrink or max(side for side, low in _FROM.items() if coarse >= low))


def _is_sharp(photo: Photo, engine: Engine) -> bool:
    seen = _median_blur(photo.middle(_SHARP_SIDE), engine)
    return seen is not None and seen < _SHARP_BELOW


def _sigma(photo: Photo, engine: Engine, shrink: int) -> float | None:
    """Estimate the blur of a photo in its pixels, on a shrunk copy; None if it cannot be measured."""
    seen = _median_blur(_smaller(photo, shrink), engine)
    return None if seen is None else shrink * math.sqrt(max(seen**2 - _SHARP[shrink] ** 2, 0.0))


def _median_blur(photo: Photo, engine: Engine) -> float | None:
    """Return the median standard deviation of a photo's blur in its pixels; None if it cannot be measured."""
    if min(photo.height, photo.width) < _LEAST_SIDE:
        return None
    scale = engine.restorer.footprint.scale
    summary = KernelSummary(scale)
    for shaped in shaped_tiles(engine, PhotoRows(photo), scale):
        summary.add(shaped.shapes, shaped.trusted)
    return None if summary.size is None else summary.size.median / scale


def _smaller(photo: Photo, shrink: int) -> Photo:
    """Shrink a photo by a whole factor; its sides are rounded up."""
    if shrink == 1:
        return photo
    source = photo.header
    target = _smaller_header(source, shrink)
    rows = CollectedPhoto(target)
    Resizer(source, target, rows).write(photo.pixels, photo.alpha)
    return rows.photo(photo.metadata)


def _smaller_header(header: Header, shrink: int) -> Header:
    return replace(header, width=-(-header.width // shrink), height=-(-header.height // shrink))


def open_deblur(request: Request, shrink: int | None) -> Run:
    """Open the networks and plan all pictures; errors of single pictures are in the plan.

    Args:
        request: the user's request; all pictures use one device.
        shrink: one of `SHRINKS`; None to choose by each picture's blur.

    Raises:
        UsageError: options are invalid or conflict with each other.
        DeviceError: there is no such device.
        WeightsError: the weights are missing, damaged, or lack a network.
    """
    request = replace(request, model=replace(request.model, device=first_device(request.model.device)))
    options = _open_levels(request, shrink)
    planner = Planner(
        expand_sources(request.inputs, recursive=request.recursive),
        request.destination,
        scale=options.scale,
        kernels=None,
        overwrite=request.overwrite,
        result_of=options.result_of,
        ending_of=options.ending_of,
        max_pixels=request.max_pixels,
        weights_sha256=options.weights_sha256,
        settings=options.settings,
        command=_COMMAND,
        besides=files_among(request.model.model),
    )

    def restore(
        photo: Photo,
        engine: Engine,
        common: UpscaleOptions,
        sink: RowSink,
        progress: Progress,
        kernel_map: KernelMapWriter | None,
    ) -> DeblurReport:
        return deblur(photo, engine, options, sink, progress)

    return Run(request, options.levels[1].engine, options, planner.plan(), planner.results, restore)


def _open_levels(request: Request, shrink: int | None) -> DeblurOptions:
    """Open the networks of all levels. A family without a level's scale uses its lowest scale."""
    # Only one set of weights: the default family's dial does not apply to shrunk pictures.
    model = PAIR[0] if request.model.model == DEFAULT_FAMILY else request.model.model
    known = [entry.scale for entry in load_manifest() if entry.family == model]
    opened: dict[int | None, Level] = {}
    levels: dict[int, Level] = {}
    for smaller, wanted in _SCALES.items():
        scale = wanted if wanted in known or not known else min(known)
        key = scale if known else None
        if key not in opened:
            engine, options = open_upscale(
                replace(request.model, model=model, scale=key),
                format=request.destination.format,
                quality=request.quality,
                registration="input",
                blur=request.blur,
                max_pixels=request.max_pixels,
            )
            engine.require(estimator=True, restorer=True)
            opened[key] = Level(engine, options)
        levels[smaller] = opened[key]
    first, last = levels[1].options, levels[4].options
    settings: dict[str, object] = {
        "scale": first.scale,
        "shrink": shrink or "auto",
        **{name: first.settings[name] for name in _SHARED if name in first.settings},
    }
    digest, coarse = (
        locate_weights(model, options.scale if known else None).sha256 for options in (first, last)
    )
    if coarse != digest:
        settings["coarse-weights"] = coarse
    return DeblurOptions(
        scale=1,
        format=first.format,
        quality=first.quality,
        registered=True,
        blur=first.blur,
        weights_sha256=digest,
        settings=settings,
        max_pixels=request.max_pixels,
        levels=levels,
        shrink=shrink,
    )


_SHARED = ("strength", "precision", "tile", "quality")
