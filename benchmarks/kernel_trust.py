"""Error of the estimated blur of photos with a known blur, by texture.

    python benchmarks/kernel_trust.py HR_FOLDER [--model NAME|FILE] [--limit 14]

This table is the source of ``FLAT_BELOW`` in ``manet_cli/degradations/texture.py``, the texture below which
an estimate is unreliable. Its last lines are about whole photos: medians over the pixels that are not flat.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from statistics import median

import torch
from harness import machine

from manet_cli.degradations.gaussian import GaussianParameters
from manet_cli.degradations.protocol import Degradation
from manet_cli.evaluation.pictures import ImageRows, hr_tensor
from manet_cli.images import has_readable_suffix, read_photo
from manet_cli.jobs.kernels.shaped_tiles import shaped_tiles
from manet_cli.jobs.models import ModelOptions, open_model

KERNELS = ((1, 1, 0), (9, 1, 30), (5, 5, 0), (9, 9, 0))  # variances in HR pixels squared, degrees
BOUNDS = (0, 0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, float("inf"))
BAD = 0.25


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="HR photos")
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int, default=14, help="number of photos")
    options = parser.parse_args()

    opened = open_model(ModelOptions(options.model, None, "cpu", "fp32", None))
    errors, textures = [], []
    whole: dict[tuple[int, int, int], list[float]] = {kernel: [] for kernel in KERNELS}
    paths = sorted(path for path in options.folder.iterdir() if has_readable_suffix(path))
    for path in paths[: options.limit]:
        hr = hr_tensor(read_photo(path, path.name), path.name)
        for sig1, sig2, degrees in KERNELS:
            blur = GaussianParameters.from_degrees(sig1, sig2, degrees)
            lr = ImageRows(Degradation(scale=opened.scale, kernel=blur).apply(hr).lr)
            trusted = []
            for shaped in shaped_tiles(opened.engine, lr, opened.scale):
                ratio = shaped.shapes.size / (sig1 * sig2) ** 0.25
                errors.append(ratio.log().abs().flatten())
                textures.append(shaped.texture.flatten())
                trusted.append(ratio[shaped.trusted])
            whole[sig1, sig2, degrees].append(float(torch.cat(trusted).median()))
    error, texture = torch.cat(errors), torch.cat(textures)
    print(machine())
    print(
        f"{len(paths[: options.limit])} photos, x{opened.scale}, {len(KERNELS)} kernels, {len(error)} pixels"
    )
    print("| texture | share of pixels | median error of the blur size | off by more than 25 % |")
    print("|---|---|---|---|")
    for low, high in itertools.pairwise(BOUNDS):
        found = error[(texture >= low) & (texture < high)]
        if len(found):
            bad = float((found > torch.tensor(1 + BAD).log()).float().mean())
            off = float(found.median().exp()) - 1
            share = len(found) / len(error)
            print(f"| {low:g} to {high:g} | {share:.1%} | {off:.1%} | {bad:.0%} |")
    print("\n| kernel | blur size of a whole photo over the true one: least | median | greatest |")
    print("|---|---|---|---|")
    for kernel, ratios in whole.items():
        least, middle, greatest = min(ratios), median(ratios), max(ratios)
        print(f"| {','.join(map(str, kernel))} | {least:.2f} | {middle:.2f} | {greatest:.2f} |")


if __name__ == "__main__":
    main()
