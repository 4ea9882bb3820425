"""``manet kernels``: the blur kernel of every pixel, as an array."""

from __future__ import annotations

import time
from enum import Enum
from typing import Annotated

import typer

from manet_cli.commands import options as shared
from manet_cli.errors import ManetError

__all__ = ["kernels"]


class Dtype(str, Enum):
    """Number format of a kernel map."""

    float16 = "float16"
    float32 = "float32"


def kernels(
    input: Annotated[str, typer.Argument(metavar="INPUT", help="A picture, or - for stdin.")],
    scale: shared.Scale = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", metavar="FILE.npy", help="File to write. (default: INPUT_x4_kernels.npy)"
        ),
    ] = None,
    stride: Annotated[
        int, typer.Option("--stride", min=1, help="Take every Nth pixel of every Nth row.")
    ] = 1,
    dtype: Annotated[Dtype, typer.Option("--dtype", help="Number format of the array.")] = Dtype.float16,
    large: Annotated[bool, typer.Option("--large", help="Allow an array of more than 2 GiB.")] = False,
    model: shared.Model = "default",
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    tile: shared.Tile = "auto",
    max_pixels: shared.MaxPixels = shared.DEFAULT_MAX_PIXELS,
    overwrite: shared.Overwrite = False,
    as_json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Estimate the blur kernel of every pixel and write them as a NumPy array.

    The array has the shape (height, width, 21, 21); each kernel sums to 1. Read it with numpy.load(FILE,
    mmap_mode="r"), which takes no memory.
    """
    from manet_cli.console import Reporter
    from manet_cli.inference import SMALLEST_TILE
    from manet_cli.jobs.kernels import plan_kernel_map
    from manet_cli.jobs.setup import ModelOptions, open_model

    reporter = Reporter(as_json=as_json, quiet=quiet)
    side = shared.parse_tile(tile, SMALLEST_TILE)
    opened = open_model(ModelOptions(model, scale, device, precision, side, downloads=reporter.progress))
    opened.engine.require(estimator=True)
    fields: dict[str, object] = {"input": input, "output": None, "status": "failed", "scale": opened.scale}
    started = time.perf_counter()
    try:
        job = plan_kernel_map(
            input,
            output,
            scale=opened.scale,
            kernel_size=opened.engine.kernel_size,
            stride=stride,
            dtype=dtype.value,
            large=large,
            overwrite=overwrite,
            max_pixels=max_pixels,
        )
        shape = "x".join(map(str, job.shape))
        reporter.message(f"{job.output}: {shape} {job.dtype}, {job.size / 1e6:.1f} MB")
        with reporter.progress(input) as progress:
            job.run(opened.engine, progress)
    except ManetError as error:
        reporter.result({**fields, "seconds": 0.0, "error": str(error)}, None)
        raise
    seconds = round(time.perf_counter() - started, 3)
    fields |= {"output": str(job.output), "status": "done", "shape": job.shape, "dtype": job.dtype}
    reporter.result({**fields, "bytes": job.size, "seconds": seconds, "error": None}, str(job.output))
