"""A run of ``manet upscale``: open the model, plan all pictures, then preview or make them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from manet_cli.errors import Parameter, UsageError
from manet_cli.images import MAX_PIXELS
from manet_cli.inference import Engine
from manet_cli.inference.dial import Denoise
from manet_cli.jobs.blur.source import BlurOptions
from manet_cli.jobs.models import ModelOptions, open_on_devices, open_upscale
from manet_cli.jobs.outputs import files_among
from manet_cli.jobs.sources import Source, expand_sources
from manet_cli.jobs.upscale.estimates import Pace, measure_pace, preview
from manet_cli.jobs.upscale.files import Restore
from manet_cli.jobs.upscale.job import UpscaleOptions, upscale
from manet_cli.jobs.upscale.pipeline import Watch, run_plan
from manet_cli.jobs.upscale.plan import Destination, Item, Planner, check_kernels_path
from manet_cli.jobs.upscale.result import Result
from manet_cli.jobs.upscale.sharing import Fleet

__all__ = ["Request", "Run", "open_run"]


@dataclass(frozen=True)
class Request:
    """The user's request.

    Attributes:
        inputs: pictures, folders, patterns, lists of names, or standard input.
        destination: where the outputs go.
        model: the weights, device, number format and tiles.
        blur: the user's options for the blur.
        denoise: 0 (clean weights) to 1 (camera weights), or ``auto``; None for the default of the weights.
        recursive: include the subfolders of a folder.
        quality: for formats with a quality; None for the format's default.
        registration: ``input`` or ``protocol``.
        size: of the results; None for the size by the scale.
        max_pixels: larger inputs raise an error.
        depth: largest bit depth of the results; None for the input's depth.
        kernels: folder or .npy file for kernel maps; None to write none.
        check: compare each result with its input.
        overwrite: replace existing outputs from other inputs, weights or settings.
        fail_fast: start no more pictures after a failure, and none if the plan has errors.
    """

    inputs: list[str]
    destination: Destination
    model: ModelOptions
    blur: BlurOptions
    denoise: Denoise | None = None
    recursive: bool = False
    quality: int | None = None
    registration: str = "input"
    size: str | None = None
    max_pixels: int = MAX_PIXELS
    depth: int | None = None
    kernels: str | None = None
    check: bool = False
    overwrite: bool = False
    fail_fast: bool = False


@dataclass(frozen=True)
class Run:
    """A planned run; nothing is written yet.

    Attributes:
        request: the user's request.
        engine: runs the networks on the first device.
        options: options of all pictures.
        items: the plan, one item per picture.
        left_out: inputs that this tool made from other inputs.
        restore: makes the result of a photo.
    """

    request: Request
    engine: Engine
    options: UpscaleOptions
    items: list[Item]
    left_out: list[Source]
    restore: Restore = upscale

    def preview(self) -> tuple[Pace | None, Iterator[Result]]:
        """Measure the speed, and yield the planned result of each picture. Writes nothing."""
        pace = measure_pace(self.engine, self.options.networks, self.items)
        return pace, (preview(item, self.engine, self.options, pace) for item in self.items)

    def results(self, watch: Watch, fleet: Fleet | None = None) -> Generator[Result]:
        """Make the pictures, and yield the result of each, in the order of the plan.

        Args:
            watch: shows the progress of each picture.
            fleet: shares the work with other processes.

        Raises:
            DeviceError: a device cannot hold the model.
            UsageError: the processes of a fleet have different plans.
        """
        todo = sum(not item.error and not item.done for item in self.items)
        engines = open_on_devices(self.engine, self.options.scale, self.request.model, todo)
        return run_plan(
            self.items,
            engines,
            self.options,
            watch,
            fleet=fleet,
            fail_fast=self.request.fail_fast,
            restore=self.restore,
        )


def open_run(request: Request) -> Run:
    """Open the model and plan all pictures; errors of single pictures are in the plan.

    Raises:
        UsageError: options conflict or are invalid.
        DeviceError: there is no such device.
        WeightsError: the weights are missing, damaged, or lack a network.
    """
    if request.kernels is not None:
        if request.blur.kernel is not None or request.blur.sigma is not None:
            raise UsageError(
                Parameter("save_kernels"),
                " writes a kernel for every pixel, but you gave one kernel for all pixels: leave one out",
            )
        check_kernels_path(request.kernels)
    engine, options = open_upscale(
        request.model,
        format=request.destination.format,
        quality=request.quality,
        registration=request.registration,
        blur=request.blur,
        denoise=request.denoise,
        size=request.size,
        max_pixels=request.max_pixels,
        check=request.check,
        depth=request.depth,
    )
    planner = Planner(
        expand_sources(request.inputs, recursive=request.recursive),
        request.destination,
        scale=options.scale,
        kernels=request.kernels,
        overwrite=request.overwrite,
        result_of=options.result_of,
        ending_of=options.ending_of,
        max_pixels=request.max_pixels,
        weights_sha256=options.weights_sha256,
        settings=options.settings,
        besides=files_among(request.model.model, request.blur.kernel, request.blur.kernel_map),
    )
    return Run(request, engine, options, planner.plan(), planner.results)
