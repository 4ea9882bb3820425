"""Time to skip finished pictures, and the part of it that checks whether they are complete.

    python benchmarks/skipping.py                       # 1000 pictures; about two minutes
    python benchmarks/skipping.py --pictures 200 --format jpeg

The results are written directly, with records as of a real run, so nothing is computed. Four passes over
them are timed in turns, and the fastest of each counts: the record alone (`read_record`); the record, the
size and the end (`read_finished`); the record alone and the hash of the input; the whole check of a plan
(`made_from`). `ratio` is the fourth divided by the third. At the end the whole command is timed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness import machine

from manet_cli.images import (
    DEFAULT_FORMAT,
    Metadata,
    Photo,
    format_by_name,
    read_finished,
    read_record,
    write_photo,
)
from manet_cli.jobs.blur.source import BlurOptions
from manet_cli.jobs.models import ModelOptions, open_upscale
from manet_cli.jobs.record import Record, made_from
from manet_cli.weights import file_sha256

SCALE, HEIGHT, WIDTH = 4, 75, 100
ROUNDS = 3


def seconds(work: Callable[[Path, Path], object], pairs: list[tuple[Path, Path]]) -> float:
    """Return the time of one pass."""
    started = time.perf_counter()
    for source, result in pairs:
        work(source, result)
    return time.perf_counter() - started


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--format", default=DEFAULT_FORMAT.name)
    options = parser.parse_args()
    fmt = format_by_name(options.format)
    model = ModelOptions("default", SCALE, "cpu", "auto", None)
    _, run = open_upscale(model, format=fmt, quality=None, registration="input", blur=BlurOptions())
    chance = np.random.default_rng(0)
    print(machine() + "\n")
    with tempfile.TemporaryDirectory() as name:
        folder, pairs = Path(name), []
        for place in ("in", "out"):
            (folder / place).mkdir()
        for number in range(options.pictures):
            source = folder / "in" / f"{number:05}.png"
            result = folder / "out" / f"{number:05}_x{SCALE}{fmt.suffixes[0]}"
            pixels = chance.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            write_photo(Photo(pixels, None, Metadata()), source, format_by_name("png"))
            record = Record.of(source.name, source.read_bytes(), run.weights_sha256, run.settings)
            large = np.kron(pixels, np.ones((SCALE, SCALE, 1), np.uint8))
            write_photo(Photo(large, None, Metadata()), result, fmt, record=record.to_json())
            pairs.append((source, result))
        looks: dict[str, Callable[[Path, Path], object]] = {
            "record alone": lambda source, result: read_record(result),
            "record, size and end": lambda source, result: read_finished(result),
            "record alone, and the input": lambda source, result: (read_record(result), file_sha256(source)),
            "the check of a plan": lambda source, result: made_from(
                result, source, run.weights_sha256, run.settings
            ),
        }
        best = dict.fromkeys(looks, float("inf"))
        for _ in range(ROUNDS):
            for title, look in looks.items():
                best[title] = min(best[title], seconds(look, pairs))
        print(f"{options.pictures} pictures of {WIDTH}x{HEIGHT}, x{SCALE} as {fmt.title}\n")
        print("| pass | seconds |\n|---|---|")
        for title, taken in best.items():
            print(f"| {title} | {taken:.2f} |")
        ratio = best["the check of a plan"] / best["record alone, and the input"]
        command = [sys.executable, "-m", "manet_cli", "upscale", f"{folder}/in", "-o", f"{folder}/out"]
        started = time.perf_counter()
        ended = subprocess.run([*command, "--format", fmt.name, "--json"], capture_output=True, check=True)
        taken = time.perf_counter() - started
        skipped = ended.stdout.count(b'"status": "skipped"')
        print(f"\nratio {ratio:.2f}; the command takes {taken:.1f} s and skips {skipped}")


if __name__ == "__main__":
    main()
