"""Whether the estimator tells the orientations of a narrow blur apart.

    python benchmarks/orientations.py HR_FOLDER ... [-s 4] [--model NAME|FILE] [--every 1]

Each photo is degraded with the published kernels (9, 1, 0) and (9, 1, 45 degrees). An orientation is "told"
if the mean of the estimated kernels is nearer to the true kernel than to the other.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from harness import SUFFIXES, machine
from torch import Tensor

from manet_cli.degradations.gaussian import GaussianParameters
from manet_cli.degradations.protocol import Degradation
from manet_cli.evaluation.pictures import ImageRows, hr_tensor
from manet_cli.images import read_photo
from manet_cli.inference import Engine
from manet_cli.weights import load_weights

DEGREES = (0, 45)


def mean_kernel(engine: Engine, lr: Tensor) -> Tensor:
    """Return the mean of the kernels (k * k) estimated for an image (1, 3, h, w)."""
    return torch.cat([tile.kernels.flatten(1) for tile in engine.kernels(ImageRows(lr))], dim=1).mean(dim=1)


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", type=Path, nargs="+", help="sharp photos")
    parser.add_argument("-s", "--scale", type=int, default=4, choices=(2, 3, 4))
    parser.add_argument("--model", default="default")
    parser.add_argument("--every", type=int, default=1, help="use every n-th photo of a folder")
    options = parser.parse_args()

    weights, _ = load_weights(options.model, options.scale)
    engine = Engine(weights.build(), torch.device("cpu"), torch.float32)
    shapes = [GaussianParameters.from_degrees(9, 1, degrees) for degrees in DEGREES]
    kernels = torch.stack([shape.kernel(options.scale).flatten() for shape in shapes])
    print(f"{machine()}; {options.model} x{options.scale}\n")
    print("| photos | orientations | told | wrong |")
    print("|---|---|---|---|")
    for folder in options.folders:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)[:: options.every]
        wrong = []
        for path in paths:
            hr = hr_tensor(read_photo(path, path.name), path.name)
            for number, shape in enumerate(shapes):
                estimate = mean_kernel(engine, Degradation(options.scale, shape).apply(hr).lr)
                if int((kernels - estimate).square().sum(dim=1).argmin()) != number:
                    wrong.append(f"{path.name} {shape.label}")
        count = len(paths) * len(shapes)
        told = count - len(wrong)
        print(f"| {folder} | {count} | {told} | {', '.join(wrong) or 'none'} |", flush=True)


if __name__ == "__main__":
    main()
