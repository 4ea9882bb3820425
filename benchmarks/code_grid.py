"""Loss from computing kernel codes only at every n-th pixel and interpolating them.

    python benchmarks/code_grid.py FOLDER [-s 4] [--protocols grid mode1 ... mode6] [--strides 4 8]

FOLDER has sharp pictures. The PSNR-Y of the blind result, as in ``manet evaluate``, is measured with codes of
every pixel and with codes of every n-th pixel of every n-th row, on the same degraded pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from harness import blind_psnr, machine

from manet_cli.evaluation.pictures import hr_tensor
from manet_cli.evaluation.protocols import parse_protocol
from manet_cli.images import read_photo
from manet_cli.inference import PRECISIONS, Engine
from manet_cli.weights import load_weights


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="sharp pictures")
    parser.add_argument("-s", "--scale", type=int, default=4)
    parser.add_argument("--model", default="default")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--protocols", nargs="*", default=["grid", *(f"mode{mode}" for mode in range(1, 7))])
    parser.add_argument("--strides", type=int, nargs="*", default=[4])
    parser.add_argument("--limit", type=int, help="number of pictures")
    options = parser.parse_args()

    weights, scale = load_weights(options.model, options.scale)
    strides = [1, *options.strides]
    device, dtype = torch.device("cpu"), PRECISIONS[options.precision]
    engines = [Engine(weights.build(), device, dtype, code_stride=stride) for stride in strides]
    print(f"{machine()}; {options.model} x{scale}, {options.precision}, {options.folder.name}\n")
    print(
        "| protocol | pictures | every pixel, dB | "
        + " | ".join(f"every {stride}th, worst picture" for stride in strides[1:])
        + " |"
    )
    print("|---|---|---|" + "---|" * (len(strides) - 1))
    paths = sorted(path for path in options.folder.iterdir() if path.is_file())[: options.limit]
    for name in options.protocols:
        found = []
        for path in paths:
            hr = hr_tensor(read_photo(path.read_bytes(), path.name), path.name)
            for degradation in parse_protocol(name, scale).degradations:
                degraded = degradation.apply(hr)
                found.append([blind_psnr(engine, degraded.lr, degraded.hr, scale) for engine in engines])
        table = torch.tensor(found, dtype=torch.float64)
        mean, worst = table.mean(0).tolist(), (table - table[:, :1]).amin(0).tolist()
        cells = [f"{mean[n] - mean[0]:+.4f}, {worst[n]:+.3f}" for n in range(1, len(strides))]
        print(f"| {name} | {len(found)} | {mean[0]:.3f} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
