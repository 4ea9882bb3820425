"""Seconds of `manet upscale` with the small and with the full-size networks, on the CPU.

    python benchmarks/sizes.py                       # 512x512, three rounds; some minutes
    python benchmarks/sizes.py --side 256 --rounds 5

Whole processes are timed, from the start to the written PNG. The full-size restorer (64 features, 10 blocks,
growth 32) has random weights, which take as long as trained ones. The two take turns, so that other load on
the machine affects both equally.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from harness import machine
from PIL import Image

from manet_cli.models import BlindModel, RRDBSFTConfig
from manet_cli.weights import Weights, load_weights, write_weights

EXAMPLE = Path(__file__).parents[1] / "examples" / "chelsea_small.png"


def write_full(path: Path) -> None:
    """Write the shipped estimator and basis with a full-size restorer of random weights."""
    small, _ = load_weights("default", 4)
    torch.manual_seed(0)
    config = replace(small.config, restorer=RRDBSFTConfig())
    tensors = BlindModel(config).state_dict()
    tensors |= {name: tensor for name, tensor in small.tensors.items() if not name.startswith("restorer.")}
    write_weights(Weights(tensors, config, published=False, sha256=""), path)


def main() -> None:
    """Read the options, run, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--side", type=int, default=512, help="side of the input, pixels")
    parser.add_argument("--rounds", type=int, default=3, help="number of runs of each")
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {"small": [], "full": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photo, full = folder / "photo.png", folder / "full.safetensors"
        with Image.open(EXAMPLE) as image:
            image.resize((options.side, options.side), Image.Resampling.BICUBIC).save(photo)
        write_full(full)
        for _ in range(options.rounds):
            for kind, model in (("small", "default"), ("full", str(full))):
                command = [
                    sys.executable,
                    "-m",
                    "manet_cli",
                    "upscale",
                    str(photo),
                    "--model",
                    model,
                    "-s",
                    "4",
                ]
                started = time.perf_counter()
                subprocess.run(
                    [*command, "-q", "-o", str(folder / "out.png"), "--overwrite"],
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                seconds[kind].append(time.perf_counter() - started)
    medians = {kind: statistics.median(values) for kind, values in seconds.items()}
    print(f"{machine()}\n\n{options.side}x{options.side}, x4, medians of {options.rounds}")
    for kind, median in medians.items():
        print(f"{kind}: {median:.1f} s")
    print(f"full / small: {medians['full'] / medians['small']:.2f}")


if __name__ == "__main__":
    main()
