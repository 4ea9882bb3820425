"""Make one picture of a run: read its file, run the networks, write the result atomically."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manet_cli.atomic import atomic_path, prepare_folder
from manet_cli.errors import ManetError, NotStartedError, OutputError, Parameter
from manet_cli.images import Header, HeldRows, Metadata, Photo, RowSink, open_output, read_content, read_photo
from manet_cli.inference import Engine, memory_reported
from manet_cli.jobs.kernels.map_writer import KernelMapWriter, kernel_map_shape, open_kernel_map
from manet_cli.jobs.sources import STDIN
from manet_cli.jobs.upscale.devices import Devices
from manet_cli.jobs.upscale.job import Progress, UpscaleOptions, check_result, upscale
from manet_cli.jobs.upscale.memory import HELD_ROWS, host_memory
from manet_cli.jobs.upscale.plan import Item, MadeMeanwhileError, check_still_free
from manet_cli.jobs.upscale.result import Report, Result
from manet_cli.stopping import end_if_stopped

__all__ = ["PictureMaker", "Restore"]

Restore = Callable[[Photo, Engine, UpscaleOptions, RowSink, Progress, KernelMapWriter | None], Report | None]
"""Makes the result of a photo, such as `job.upscale`."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PictureMaker:
    """Makes the pictures of a run, one per call.

    Attributes:
        devices: the engines.
        options: options of the run.
        restore: makes the result of a photo.
    """

    devices: Devices
    options: UpscaleOptions
    restore: Restore = upscale

    def host_memory(self, item: Item) -> int:
        """Estimate the host memory in bytes for a picture, from reading to writing."""
        if item.header is None:
            return 0
        return host_memory(item.header, self.options.result_of(item.header))

    def make(self, item: Item, progress: Progress) -> Result:
        """Make one picture, unless it is done or cannot be made. An error is stored in the result."""
        if item.error:
            return self._failed(item, item.error)
        try:
            with memory_reported(item.source.name):
                try:
                    return self._skip(item) if item.done else self._run(item, progress)
                except MadeMeanwhileError:
                    return self._skip(item)
        except ManetError as error:
            end_if_stopped()
            return self._failed(item, error)

    def not_started(self, item: Item) -> Result:
        """Return the result of a picture that was skipped because another one failed."""
        name = item.source.name
        error = NotStartedError(
            f"{name} was not started, because another input failed (", Parameter("fail_fast", True), ")"
        )
        return self._failed(item, error)

    def _failed(self, item: Item, error: ManetError) -> Result:
        return Result(item, "failed", self.options.scale, error=error)

    def _skip(self, item: Item) -> Result:
        """Skip one picture, and check its existing output if requested.

        A resized result cannot be checked.

        Raises:
            InputError: the input or the output cannot be read for the check.
        """
        options, report = self.options, None
        if options.check and options.size is None and item.source.path and item.output:
            photo = read_photo(item.source.path, item.source.name, options.max_pixels)
            made = read_photo(item.output, str(item.output), options.max_pixels)
            denoise = options.denoise_of(photo)
            with self.devices.take(denoise) as engine:
                report = check_result(photo, made, engine, options)
        header = item.header and options.result_of(item.header)
        width, height = (header.width, header.height) if header else (None, None)
        return Result(item, "skipped", options.scale, width, height, report=report, denoise=item.denoise)

    def _run(self, item: Item, progress: Progress) -> Result:
        """Make one picture; ``seconds`` is the time from reading to writing.

        Raises:
            MadeMeanwhileError: another process made it after the plan.
            ManetError: any error of this picture; no output is written.
        """
        started = time.perf_counter()
        options, name = self.options, item.source.name
        data = read_content(item.source.path, name, options.max_pixels)
        photo = read_photo(data, "standard input" if name == STDIN else name, options.max_pixels)
        options.blur.check(photo.height, photo.width)
        header = options.result_of(photo.header)
        denoise = options.denoise_of(photo)
        if header.bits < photo.header.bits and options.depth is None:
            fmt = options.format.title
            _log.warning("%s: reduced from 16 to 8 bits per channel: %s holds no more", name, fmt)
        record = options.record_of(name, data, denoise).to_json()
        del data
        if item.output:
            prepare_folder(item.output.parent)
        with (
            self._kernel_map(item, photo) as kernel_map,
            self._output(item.output, header, photo.metadata, record) as rows,
        ):
            check_still_free(item, record)  # now locked: no other process writes these files
            # Rows are buffered while the picture uses a device, so that encoding does not block the device.
            held = HeldRows(rows, HELD_ROWS)
            with self.devices.take(denoise) as engine:
                report = self.restore(photo, engine, options, held, progress, kernel_map)
            held.let_go()
        seconds = time.perf_counter() - started
        size = header.width, header.height
        item = replace(item, header=photo.header)  # for standard input, known only now
        return Result(item, "done", options.scale, *size, seconds, report=report, denoise=denoise)

    def _kernel_map(self, item: Item, photo: Photo) -> AbstractContextManager[KernelMapWriter | None]:
        if item.kernels is None:
            return nullcontext()
        shape = kernel_map_shape(photo.height, photo.width, kernel_size=self.devices.kernel_size)
        return open_kernel_map(item.kernels, shape)

    @contextmanager
    def _output(
        self, output: Path | None, header: Header, metadata: Metadata, record: str
    ) -> Iterator[RowSink]:
        """Open the output (standard output without a path), written atomically when the block ends."""
        file_format = self.options.format
        settings: dict[str, Any] = {"quality": self.options.quality, "record": record}
        if output is not None:
            with (
                atomic_path(output) as temporary,
                open_output(temporary, file_format, header, metadata, name=output.name, **settings) as rows,
            ):
                yield rows
            return
        try:
            with open_output(sys.stdout.buffer, file_format, header, metadata, **settings) as rows:
                yield rows
        except BrokenPipeError as error:
            raise OutputError("standard output was closed before the picture was written") from error
