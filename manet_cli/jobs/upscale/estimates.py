"""Estimate the time for pictures, from a short measurement on the device of the run."""

from __future__ import annotations

import io
import math
import time
from dataclasses import dataclass, replace

from manet_cli.errors import InputError, ManetError
from manet_cli.images import Header, Photo, read_content, read_photo, write_photo
from manet_cli.inference import Engine, memory_reported
from manet_cli.jobs.blur.source import Blur, sigma_kernel
from manet_cli.jobs.durations import duration
from manet_cli.jobs.speed import Speed, measure_speed
from manet_cli.jobs.upscale.canvas import PhotoRows
from manet_cli.jobs.upscale.job import UpscaleOptions, result_tiles, upscaled
from manet_cli.jobs.upscale.memory import needed_memory
from manet_cli.jobs.upscale.plan import Item
from manet_cli.jobs.upscale.result import Result
from manet_cli.stopping import end_if_stopped

__all__ = ["Pace", "measure_pace", "preview"]

_SAMPLE_AREA = 512 * 512  # best size of a sample in pixels: enough to crop from, quick to decode


@dataclass(frozen=True)
class Pace:
    """Measured speed.

    Attributes:
        network: speed of the networks.
        reading: seconds per pixel of an input.
        writing: seconds per pixel of a result.
        sample: description of the measurement.
    """

    network: Speed
    reading: float
    writing: float
    sample: str

    def seconds(self, engine: Engine, options: UpscaleOptions, header: Header) -> tuple[float, float]:
        """Estimate the shortest and longest time for a picture in seconds."""
        result = options.result_of(header)
        pixels = computed_pixels(engine, options.seen_of(header))
        files = self.reading * header.width * header.height + self.writing * result.width * result.height
        return self.network.fastest * pixels + files, self.network.slowest * pixels + files


def computed_pixels(engine: Engine, header: Header) -> int:
    """Return the pixels that the restorer computes for a picture, with overlaps and transparency."""
    return engine.computed_pixels(header.height, header.width, 1 + header.has_alpha)


def measure_pace(engine: Engine, options: UpscaleOptions, items: list[Item]) -> Pace | None:
    """Read a picture of the run, upscale a crop of it, and encode that in memory.

    Returns:
        The speed; None if no picture can be read.
    """
    if options.blur.given is not None:
        # Kernels from a file fit only whole pictures; the restorer's time does not depend on the blur.
        kernel = sigma_kernel((1.0,), options.scale, engine.kernel_size).kernel
        options = replace(options, blur=Blur(options.blur.settings, kernel=kernel))
    # A size for the whole picture may be refused for its crop; resizing is a small part of the time.
    options = replace(options, size=None)
    todo = _to_do(items)
    pixels = sum(computed_pixels(engine, item.header) for item in todo if item.header)
    for item in sorted(todo, key=_distance):
        name = item.source.name
        started = time.perf_counter()
        try:
            with memory_reported(name):
                photo = read_photo(
                    read_content(item.source.path, name, options.max_pixels), name, options.max_pixels
                )
                reading = (time.perf_counter() - started) / (photo.height * photo.width)
                network = _network_speed(engine, options, photo, pixels)
                crop = photo.middle(network.side)
                result = upscaled(crop, engine, options)
                moment = time.perf_counter()
                write_photo(result, io.BytesIO(), options.format, quality=options.quality, name=name)
                writing = (time.perf_counter() - moment) / (result.height * result.width)
        except ManetError:
            end_if_stopped()
            continue
        sample = (
            f"{crop.width}x{crop.height} pixels of {name} measured for "
            f"{duration(time.perf_counter() - started)} on {engine.device.type}"
        )
        return Pace(network, reading, writing, sample)
    return None


def preview(item: Item, engine: Engine, options: UpscaleOptions, pace: Pace | None) -> Result:
    """Return the planned result for one picture, without any work."""
    result = Result(item, "planned", options.scale)
    if item.error:
        return replace(result, status="failed", error=item.error)
    header = item.header and options.result_of(item.header)
    if item.header is None or header is None:
        return replace(result, status="skipped", denoise=item.denoise) if item.done else result
    sized = replace(result, width=header.width, height=header.height)
    if item.done:
        return replace(sized, status="skipped", denoise=item.denoise)
    try:
        options.blur.check(item.header.height, item.header.width)
    except InputError as error:
        return replace(result, status="failed", error=error)
    memory = needed_memory(engine, options.seen_of(item.header), header, options.format)
    seconds = pace.seconds(engine, options, item.header) if pace else None
    return replace(sized, memory=memory, estimate=seconds)


def _to_do(items: list[Item]) -> list[Item]:
    return [item for item in items if item.header and item.source.path and not item.error and not item.done]


def _distance(item: Item) -> float:
    """Return the distance of a picture's size from the best sample size."""
    area = item.header.width * item.header.height if item.header else 1
    return abs(math.log(area / _SAMPLE_AREA))


def _network_speed(engine: Engine, options: UpscaleOptions, photo: Photo, pixels: int) -> Speed:
    """Time the networks on the middle of a photo, for a run of ``pixels`` pixels."""

    def run(side: int) -> int:
        crop = photo.middle(side)
        for _ in result_tiles(PhotoRows(crop), engine, options):
            pass
        return computed_pixels(engine, crop.header)

    longest = max(photo.height, photo.width)
    tile, _ = engine.restorer_tiles(1 + (photo.alpha is not None))
    return measure_speed(run, min(tile or longest, longest), pixels)
