"""Upscaling one picture: read, run, write whole."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from manet_cli.atomic import atomic_path, prepare_folder
from manet_cli.errors import InputError, ManetError, NotStartedError, OutputError
from manet_cli.images import (
    MAX_PIXELS,
    CollectedPhoto,
    Header,
    HeldRows,
    ImageFormat,
    Metadata,
    Photo,
    Resizer,
    RowSink,
    open_output,
    read_photo,
)
from manet_cli.inference import (
    Engine,
    KernelTile,
    LowResolution,
    RestoredTile,
    memory_reported,
    stack_size,
)
from manet_cli.jobs.blur.source import Blur
from manet_cli.jobs.kernels.map_writer import KernelMapWriter, kernel_map_shape, open_kernel_map
from manet_cli.jobs.record import Record
from manet_cli.jobs.sources import STDIN, read_input
from manet_cli.jobs.upscale.canvas import Canvas, PhotoRows
from manet_cli.jobs.upscale.checks import BothSinks, CheckReport, ResultCheck, sound_tiles
from manet_cli.jobs.upscale.memory import needed_memory
from manet_cli.jobs.upscale.plan import Item, MadeMeanwhileError, check_still_free
from manet_cli.jobs.upscale.result import Result
from manet_cli.jobs.upscale.size import ResultSize
from manet_cli.stopping import end_if_stopped

__all__ = ["AT_ONCE", "HELD_ROWS", "Ahead", "Progress", "Turn", "Upscaler"]

HELD_ROWS = 64 << 20
"""Bytes of a result that may wait for the encoder until the device is free for the next picture."""

Made = TypeVar("Made")

_COLLECTED = 256 << 20  # bytes of a result that the encoder itself may hold
_FLOATS = 3 * 4  # bytes of a pixel as the networks give it

Progress = Callable[[float], None]
"""Is told the share done, in [0, 1]."""


class Turn(Protocol):
    """How a picture gets a device.

    Attributes:
        held_rows: bytes of a result to keep until the turn is over, so that encoding does not prolong it.
    """

    held_rows: int

    def run(self, upscaler: Upscaler, networks: Callable[[Upscaler], Made]) -> Made:
        """Return what ``networks`` gives for this upscaler or for one like it on another device."""
        ...


class AtOnce:
    """The upscaler's own device, which nobody else uses meanwhile."""

    held_rows = 0

    def run(self, upscaler: Upscaler, networks: Callable[[Upscaler], Made]) -> Made:
        """Return what ``networks`` gives."""
        return networks(upscaler)


AT_ONCE = AtOnce()


@dataclass(frozen=True, eq=False)
class Ahead:
    """What the networks gave for a picture before it is finished, because others went with it.

    Attributes:
        image: (N, 3, h, w), what they were given; the picture's layers, perhaps with more behind them.
        kernels: of the whole picture; None if nobody asks for them.
        result: of the whole picture.
        seconds: that it took, as a share of all that went together.
    """

    image: Tensor
    kernels: KernelTile | None
    result: RestoredTile
    seconds: float

    def tile_of(self, lr: LowResolution) -> RestoredTile | None:
        """Return the result if it is that of this very picture."""
        same = torch.equal(self.image[: lr.layers], lr.rows(0, lr.height))
        return self.result if same else None


@dataclass(frozen=True)
class Upscaler:
    """Everything that a run's pictures have in common.

    Attributes:
        engine: the model, ready to run.
        format: of the outputs.
        quality: for formats that have one; None for the format's default.
        registered: align the result with the input.
        blur: of the pictures: estimated, given, or changed.
        weights_sha256: digest of the weight file.
        settings: the settings that change pixels, as the user asked for them.
        size: that results are brought to after super-resolution; None to leave them.
        check: compare each result, blurred and made small again, with its input.
        max_pixels: larger inputs are refused.
        turn: how a picture gets a device.
        ahead: what the networks gave already for the next picture; None for nothing.
    """

    engine: Engine
    format: ImageFormat
    quality: int | None
    registered: bool
    blur: Blur
    weights_sha256: str
    settings: Mapping[str, object]
    size: ResultSize | None = None
    check: bool = False
    max_pixels: int = MAX_PIXELS
    turn: Turn = AT_ONCE
    ahead: Ahead | None = None

    @property
    def scale(self) -> int:
        """Output pixels per input pixel along a side."""
        return self.engine.restorer.config.scale

    def result_of(self, header: Header) -> Header:
        """Return what the result of an input will be.

        Raises:
            OutputError: the size asked for makes no sense.
        """
        enlarged = _enlarged(header, self.scale)
        return enlarged if self.size is None else self.size.of(enlarged, self.scale)

    def record_of(self, name: str, data: bytes) -> Record:
        """Return the record of an output made from an input's content."""
        return Record.of("stdin" if name == STDIN else name, data, self.weights_sha256, self.settings)

    def preview(self, item: Item) -> Result:
        """Say what `finish` will do with one picture, without doing any of it."""
        if item.error or item.done:
            return replace(self, check=False).finish(item, lambda share: None)
        if item.header is None:
            return Result(item, "planned", self.scale)
        try:
            self.blur.check(item.header.height, item.header.width)
        except InputError as error:
            return Result(item, "failed", self.scale, error=error)
        result = self.result_of(item.header)
        memory = needed_memory(self.engine, item.header, result, self.format, self.stack_size(item))
        return Result(item, "planned", self.scale, result.width, result.height, memory=memory)

    def host_memory(self, item: Item) -> int:
        """Return about how many bytes of the host a picture takes from reading to renaming."""
        if item.header is None:
            return 0
        bytes_of = (
            header.width * header.height * (header.channels + header.has_alpha) * header.bits // 8
            for header in (item.header, self.result_of(item.header))
        )
        ahead = 0
        if self.stack_size(item) > 1:
            # What the networks were given and gave waits, as floating-point numbers, to be painted.
            pixels = item.header.width * item.header.height * (1 + item.header.has_alpha)
            ahead = pixels * (1 + self.scale**2) * _FLOATS
            if item.kernels:
                ahead += item.header.width * item.header.height * self.engine.kernel_size**2 * 4
        return 2 * next(bytes_of) + min(next(bytes_of), self.turn.held_rows + _COLLECTED) + ahead

    def stack_size(self, item: Item) -> int:
        """Return how many pictures like this one go through the networks together; 1 for alone."""
        if item.header is None or self.check or not self.blur.plain:
            return 1
        return stack_size(self.engine, item.header.height, item.header.width)

    def finish(self, item: Item, progress: Progress) -> Result:
        """Make one picture unless it is done already or cannot be; what goes wrong is in the result."""
        if item.error:
            return Result(item, "failed", self.scale, error=item.error)
        try:
            with memory_reported(item.source.name):
                try:
                    return self.skip(item) if item.done else self.run(item, progress)
                except MadeMeanwhileError:
                    return self.skip(item)
        except ManetError as error:
            end_if_stopped()
            return Result(item, "failed", self.scale, error=error)

    def not_started(self, item: Item) -> Result:
        """Say that a picture was left alone because another one failed."""
        name = item.source.name
        error = NotStartedError(f"{name} was not started, because another input failed (--fail-fast)")
        return Result(item, "failed", self.scale, error=error)

    def skip(self, item: Item) -> Result:
        """Leave one picture's output as it is, and check that where a check is asked for.

        What was brought to another size afterwards cannot be checked any more.

        Raises:
            InputError: the input or the output cannot be read for the check.
        """
        report = None
        if self.check and self.size is None and item.source.path and item.output:
            photo = read_photo(item.source.path, item.source.name, self.max_pixels)
            made = read_photo(item.output, str(item.output), self.max_pixels)
            report = self.turn.run(self, lambda on_device: on_device.checked(photo, made))
        header = item.header and self.result_of(item.header)
        width, height = (header.width, header.height) if header else (None, None)
        return Result(item, "skipped", self.scale, width, height, check=report)

    def run(self, item: Item, progress: Progress) -> Result:
        """Make one picture; its seconds are those from reading to renaming.

        Raises:
            MadeMeanwhileError: another process made it since it was planned.
            ManetError: whatever is wrong with this picture; nothing is left behind.
        """
        started = time.perf_counter()
        name = item.source.name
        data = read_input(item.source.path, name)
        photo = read_photo(data, "standard input" if name == STDIN else name, self.max_pixels)
        self.blur.check(photo.height, photo.width)
        header = self.result_of(photo.header)
        record = self.record_of(name, data).to_json()
        del data
        ahead = self.ahead if self.ahead and self.ahead.tile_of(PhotoRows(photo)) else None
        turn = AT_ONCE if ahead else self.turn
        if item.output:
            prepare_folder(item.output.parent)
        with (
            self._kernel_map(item, photo) as kernel_map,
            self._output(item.output, header, photo.metadata, record) as rows,
        ):
            check_still_free(item, record)  # from here on no other process writes these files
            held = HeldRows(rows, turn.held_rows)
            report = turn.run(
                self, lambda on_device: on_device.run_networks(held, photo, kernel_map, progress)
            )
            held.let_go()
        seconds = time.perf_counter() - started + (ahead.seconds if ahead else 0)
        return Result(item, "done", self.scale, header.width, header.height, seconds, check=report)

    def run_networks(
        self, rows: RowSink, photo: Photo, kernel_map: KernelMapWriter | None, progress: Progress
    ) -> CheckReport | None:
        """Run the networks over a photo, see `restore_into`; give what the check found, if there is one."""
        check = self._check_of(photo) if self.check else None
        self.restore_into(rows, photo, kernel_map, progress, check)
        return check.report() if check else None

    def checked(self, photo: Photo, result: Photo) -> CheckReport:
        """Compare a result that was made before with its input."""
        check = self._check_of(photo)
        check.write(result.pixels, result.alpha)
        return check.report()

    def _check_of(self, photo: Photo) -> ResultCheck:
        """Return what compares a result's rows with the photo that it is made from."""
        lr = PhotoRows(photo)
        return ResultCheck(
            lr,
            photo.metadata,
            self.blur.kernels(self.engine, lr),
            scale=self.scale,
            kernel_size=self.engine.kernel_size,
            registered=self.registered,
        )

    def _kernel_map(self, item: Item, photo: Photo) -> AbstractContextManager[KernelMapWriter | None]:
        if item.kernels is None:
            return nullcontext()
        shape = kernel_map_shape(photo.height, photo.width, kernel_size=self.engine.kernel_size)
        return open_kernel_map(item.kernels, shape)

    def restored(self, photo: Photo) -> Photo:
        """Upscale a photo in memory.

        Raises:
            ManetError: as `restore_into` does.
        """
        rows = CollectedPhoto(self.result_of(photo.header))
        self.restore_into(rows, photo)
        return rows.photo(photo.metadata)

    def restore_into(
        self,
        rows: RowSink,
        photo: Photo,
        kernel_map: KernelMapWriter | None = None,
        progress: Progress = lambda share: None,
        check: RowSink | None = None,
    ) -> None:
        """Run the networks over a photo.

        Args:
            rows: is given the rows of the result as they are finished.
            photo: the input.
            kernel_map: is given the kernels; None to keep none.
            progress: is told the share done.
            check: is given the rows too, before they are brought to another size.

        Raises:
            ManetError: the networks' result cannot be right (not a number, black), or memory ran out.
        """
        enlarged, result = _enlarged(photo.header, self.scale), self.result_of(photo.header)
        if result != enlarged:
            rows = Resizer(enlarged, result, rows)
        if check:
            rows = BothSinks(rows, check)
        lr = PhotoRows(photo)
        canvas = Canvas(photo, lr, self.scale, rows)
        done, total = 0, lr.height * lr.width * self.scale**2
        progress(0.0)
        for tile in self.tiles(lr, kernel_map.write if kernel_map else None):
            canvas.paint(tile)
            done += tile.pixels.shape[2] * tile.pixels.shape[3]
            progress(done / total)

    def tiles(
        self, lr: LowResolution, on_kernels: Callable[[KernelTile], None] | None = None
    ) -> Iterator[RestoredTile]:
        """Yield the result tile by tile; ``on_kernels`` is given the kernels as they are estimated."""
        engine = self.engine
        ahead = self.ahead.tile_of(lr) if self.ahead else None
        if self.ahead and ahead:
            if on_kernels and self.ahead.kernels:
                on_kernels(self.ahead.kernels)
            return sound_tiles(iter((ahead,)), lr, self.scale)
        codes = self.blur.codes(engine, lr, on_kernels)
        return sound_tiles(engine.restore(lr, codes, registered=self.registered), lr, self.scale)

    @contextmanager
    def _output(
        self, output: Path | None, header: Header, metadata: Metadata, record: str
    ) -> Iterator[RowSink]:
        """Open the output, standard output for no path; it is there, whole, when the block ends."""
        options: dict[str, Any] = {"quality": self.quality, "record": record}
        if output is not None:
            with (
                atomic_path(output) as temporary,
                open_output(temporary, self.format, header, metadata, name=output.name, **options) as rows,
            ):
                yield rows
            return
        try:
            with open_output(sys.stdout.buffer, self.format, header, metadata, **options) as rows:
                yield rows
        except BrokenPipeError as error:
            raise OutputError("standard output was closed before the picture was written") from error


def _enlarged(header: Header, scale: int) -> Header:
    return replace(header, width=header.width * scale, height=header.height * scale)
