"""How fast many small pictures go: files in a batch, against the networks alone, one picture at a time.

The rounds of all variants take turns, so that what else the machine does meets them alike, and the seconds of
each are summed. A batch runs pictures of one size together, as many as a stack takes and a round has.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from PIL import Image

from manet_cli.images import format_by_name, read_photo
from manet_cli.jobs.blur.source import BlurOptions
from manet_cli.jobs.models import ModelOptions, open_upscaler
from manet_cli.jobs.sources import expand_sources
from manet_cli.jobs.upscale.job import Upscaler
from manet_cli.jobs.upscale.pipeline import run_plan
from manet_cli.jobs.upscale.plan import Item, Planner, plan_destination
from manet_cli.jobs.upscale.result import Result

__all__ = ["show_thumbnails"]


def write_thumbnails(folder: Path, count: int, side: int) -> None:
    """Write JPEG files of waves and noise, all of one size."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    for i in range(count):
        waves = np.sin((rows + columns * generator.normal()) / 5 + i)[..., np.newaxis] * 90 + 128
        pixels = (waves + generator.normal(0, 8, (side, side, 3))).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:03}.jpg", quality=90)


def planned(upscaler: Upscaler, folder: Path, output: Path) -> list[Item]:
    """Plan a folder."""
    return Planner(
        expand_sources([str(folder)]),
        plan_destination([str(folder)], f"{output}/", None),
        scale=upscaler.scale,
        kernels=None,
        overwrite=True,
        result_of=upscaler.result_of,
        weights_sha256=upscaler.weights_sha256,
        settings=upscaler.settings,
        max_pixels=upscaler.max_pixels,
    ).plan()


def show_thumbnails(count: int, side: int, rounds: int, model: str) -> None:
    """Print a table of pictures per second."""
    upscaler = open_upscaler(
        ModelOptions(model, None, "auto", "auto", None),
        format=format_by_name("png"),
        quality=None,
        registration="input",
        blur=BlurOptions(),
    )
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "in", Path(name) / "out"
        folder.mkdir()
        write_thumbnails(folder, count, side)
        items = planned(upscaler, folder, out)
        photo = read_photo(folder / "000.jpg", "000.jpg")
        waiting = iter(items)

        def networks(pictures: int) -> None:
            for _ in range(pictures):
                upscaler.restored(photo)

        def batch(pictures: int) -> None:
            check(list(run_plan([next(waiting) for _ in range(pictures)], [upscaler], unwatched)))

        def one_after_the_other(pictures: int) -> None:
            check([upscaler.finish(item, lambda share: None) for item in items[:pictures]])

        variants: dict[str, Callable[[int], None]] = {
            "networks alone, one picture at a time": networks,
            "files, one after the other": one_after_the_other,
            "files, as a batch": batch,
        }
        seconds = dict.fromkeys(variants, 0.0)
        networks(8)
        for _ in range(rounds):
            for variant, run in variants.items():
                started = time.perf_counter()
                run(count // rounds)
                seconds[variant] += time.perf_counter() - started
    done = count // rounds * rounds
    print(f"{done} pictures of {side}x{side}, {rounds} rounds\n")
    print("| | pictures per second | of the first |\n|---|---|---|")
    first = next(iter(seconds.values()))
    for variant, taken in seconds.items():
        print(f"| {variant} | {done / taken:.2f} | {first / taken:.0%} |", flush=True)


def unwatched(item: Item) -> nullcontext[Callable[[float], None]]:
    """Follow nothing."""
    return nullcontext(lambda share: None)


def check(results: list[Result]) -> None:
    """Stop unless all were done."""
    assert all(result.status == "done" for result in results), [result.error for result in results]
