"""Loss from bfloat16: kernels and images compared with float32, untiled.

    python benchmarks/precision.py FOLDER [--model NAME|FILE] [--limit 8] [--crop 240] [--device cpu]

This table is the source of ``choose_torch_precision`` in ``manet_cli/inference/torch_device.py``.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

from harness import machine, photos, restored, to_levels
from torch import Tensor

from manet_cli.inference import PRECISIONS, Engine, KernelTile, choose_device
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.weights import load_weights


def psnr(difference: Tensor, peak: float = 1.0) -> float:
    """Return the ratio of ``peak`` to the root mean square of ``difference`` in dB."""
    mean = float(difference.double().square().mean())
    return 10 * math.log10(peak**2 / mean) if mean else math.inf


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="photos, used as LR images")
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int, default=8, help="number of photos")
    parser.add_argument("--crop", type=int, default=240, help="side of the middle crop, pixels")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="bf16", choices=("bf16", "fp16"))
    options = parser.parse_args()

    device = choose_device(options.device)
    weights, _ = load_weights(options.model)
    names = ("fp32", options.precision)
    engines = {name: Engine(weights.build(), device, PRECISIONS[name], tile=0) for name in names}
    print(f"{machine()}; {options.model}, {options.precision} against fp32 on {device}\n")
    print("| photo | kernel PSNR dB | % off by 1 of 255 | % off by more | largest | PSNR dB | times faster |")
    print("|---|---|---|---|---|---|---|")
    table: list[list[float]] = []
    for photo, picture in photos(options.folder, options.limit, options.crop):
        kernels: dict[str, Tensor] = {}
        images: dict[str, Tensor] = {}
        seconds: dict[str, float] = {}
        for name, engine in engines.items():

            def keep(tile: KernelTile, name: str = name, kernels: dict[str, Tensor] = kernels) -> None:
                kernels[name] = tile.kernels.cpu()

            start = time.perf_counter()
            images[name] = restored(engine, picture, EstimatedCodes(engine, picture, keep))
            seconds[name] = time.perf_counter() - start
        full, half = (to_levels(images[name]) for name in names)
        difference = (full - half).abs()
        row = [
            psnr(kernels[names[0]] - kernels[names[1]]),
            float((difference == 1).float().mean()) * 100,
            float((difference > 1).float().mean()) * 100,
            float(difference.max()),
            psnr(full - half, 255.0),
            seconds[names[0]] / seconds[names[1]],
        ]
        table.append(row)
        print_row(photo, row)
    print_row("mean", [sum(column) / len(table) for column in zip(*table, strict=True)])


def print_row(name: str, row: list[float]) -> None:
    """Print a line of the table."""
    kernel_psnr, one, more, largest, image_psnr, ratio = row
    shares = f"{one:.3f} | {more:.5f} | {largest:.1f}"
    print(f"| {name} | {kernel_psnr:.1f} | {shares} | {image_psnr:.1f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
