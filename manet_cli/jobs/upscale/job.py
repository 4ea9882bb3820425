"""Upscale one picture with one engine, without threads, files or other pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from manet_cli.images import (
    MAX_PIXELS,
    CollectedPhoto,
    EightBitRows,
    Header,
    ImageFormat,
    Photo,
    Resizer,
    RowSink,
)
from manet_cli.inference import Engine, KernelTile, LowResolution, RestoredTile
from manet_cli.inference.dial import Denoise, position
from manet_cli.jobs.blur.source import Blur
from manet_cli.jobs.denoise import recorded
from manet_cli.jobs.kernels.map_writer import KernelMapWriter
from manet_cli.jobs.record import Record
from manet_cli.jobs.sources import STDIN
from manet_cli.jobs.upscale.canvas import Canvas, PhotoRows
from manet_cli.jobs.upscale.checks import BothSinks, CheckReport, ResultCheck, sound_tiles
from manet_cli.jobs.upscale.size import ResultSize

__all__ = ["Progress", "UpscaleOptions", "check_result", "result_tiles", "upscale", "upscaled"]

Progress = Callable[[float], None]
"""Callback for the share done, in [0, 1]."""


@dataclass(frozen=True)
class UpscaleOptions:
    """Options of a run, the same for all its pictures.

    Attributes:
        scale: output pixels per input pixel along a side.
        format: format of the outputs.
        quality: 1 to 100, for formats with a quality; None for the format's default.
        registered: align the result with the input.
        blur: source of the blur: estimated, given, or adjusted.
        weights_sha256: digest of the weight file.
        settings: the settings that change pixels, as given by the user.
        size: size of the results; None for the networks' own size.
        check: compare each result, blurred and subsampled, with its input.
        max_pixels: larger inputs raise an error.
        denoise: 0 (clean weights) to 1 (camera weights), or ``auto``; None for weights without a dial.
        depth: largest bit depth of the results; None for the input's depth.
    """

    scale: int
    format: ImageFormat
    quality: int | None
    registered: bool
    blur: Blur
    weights_sha256: str
    settings: Mapping[str, object]
    size: ResultSize | None = None
    check: bool = False
    max_pixels: int = MAX_PIXELS
    denoise: Denoise | None = None
    depth: int | None = None

    def bits_of(self, header: Header) -> int:
        """Return the bits per channel of the result, for an input's header."""
        most = 16 if self.format.bits16 else 8
        return min(header.bits, self.depth or most, most)

    def enlarged(self, header: Header) -> Header:
        """Return the header of the networks' result, before resizing, for an input's header."""
        return replace(header, width=header.width * self.scale, height=header.height * self.scale)

    def result_of(self, header: Header) -> Header:
        """Return the header of the result, for an input's header.

        Raises:
            OutputError: the requested size is too large or too small.
        """
        enlarged = self.enlarged(header)
        sized = enlarged if self.size is None else self.size.of(enlarged, self.scale)
        return replace(sized, bits=self.bits_of(header))

    def denoise_of(self, photo: Photo) -> float | None:
        """Return the position of the dial for a photo; None for weights without a dial."""
        return None if self.denoise is None else position(self.denoise, photo)

    def record_of(self, name: str, data: bytes, denoise: float | None = None) -> Record:
        """Return the record of an output for an input's content.

        Args:
            name: name of the input.
            data: content of the input's file.
            denoise: position of the dial, 0 to 1; None for weights without a dial.
        """
        settings = self.settings
        if self.denoise is not None and denoise is not None:
            settings = {**settings, "denoise": recorded(self.denoise, denoise)}
        return Record.of("stdin" if name == STDIN else name, data, self.weights_sha256, settings)

    @property
    def networks(self) -> UpscaleOptions:
        """The options for the networks."""
        return self

    def seen_of(self, header: Header) -> Header:
        """Return the header of the networks' input for a picture."""
        return header

    def ending_of(self, header: Header | None) -> str:
        """Return the ending of a result's name; the header is None if unknown."""
        if self.size is None:
            return f"_x{self.scale}"
        return self.size.ending(header and self.result_of(header))


def upscale(
    photo: Photo,
    engine: Engine,
    options: UpscaleOptions,
    sink: RowSink,
    progress: Progress = lambda share: None,
    kernel_map: KernelMapWriter | None = None,
) -> CheckReport | None:
    """Run the networks on a photo.

    Args:
        photo: the input.
        engine: runs the networks.
        options: options of the run.
        sink: receives the rows of the result as they are finished.
        progress: callback for the share done.
        kernel_map: receives the kernels; None to drop them.

    Returns:
        The result of the check; None without a check.

    Raises:
        ManetError: the networks' result is wrong (NaN, or of one colour), or memory ran out.
    """
    enlarged, result = options.enlarged(photo.header), options.result_of(photo.header)
    if result.bits < enlarged.bits:
        sink, result = EightBitRows(sink), replace(result, bits=enlarged.bits)
    if result != enlarged:
        sink = Resizer(enlarged, result, sink)
    check = _check_of(photo, engine, options) if options.check else None
    if check:  # sees the rows before resizing
        sink = BothSinks(sink, check)
    lr = PhotoRows(photo)
    canvas = Canvas(photo, lr, options.scale, sink)
    done, total = 0, lr.height * lr.width * options.scale**2
    progress(0.0)
    for tile in result_tiles(lr, engine, options, kernel_map.write if kernel_map else None):
        canvas.paint(tile)
        done += tile.pixels.shape[2] * tile.pixels.shape[3]
        progress(done / total)
    return check.report() if check else None


def upscaled(photo: Photo, engine: Engine, options: UpscaleOptions) -> Photo:
    """Upscale a photo in memory; arguments and errors as in `upscale`."""
    rows = CollectedPhoto(options.result_of(photo.header))
    upscale(photo, engine, options, rows)
    return rows.photo(photo.metadata)


def result_tiles(
    lr: LowResolution,
    engine: Engine,
    options: UpscaleOptions,
    on_kernels: Callable[[KernelTile], None] | None = None,
) -> Iterator[RestoredTile]:
    """Yield the result tile by tile; call ``on_kernels`` with the kernels of each tile."""
    codes = options.blur.codes(engine, lr, on_kernels)
    return sound_tiles(engine.restore(lr, codes, registered=options.registered), lr, options.scale)


def check_result(photo: Photo, result: Photo, engine: Engine, options: UpscaleOptions) -> CheckReport:
    """Compare an existing result with its input."""
    check = _check_of(photo, engine, options)
    check.write(result.pixels, result.alpha)
    return check.report()


def _check_of(photo: Photo, engine: Engine, options: UpscaleOptions) -> ResultCheck:
    """Return a check of a result's rows against the input photo."""
    lr = PhotoRows(photo)
    return ResultCheck(
        lr,
        photo.metadata,
        options.blur.kernels(engine, lr),
        scale=options.scale,
        kernel_size=engine.kernel_size,
        registered=options.registered,
    )
