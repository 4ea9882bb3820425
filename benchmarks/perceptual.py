"""Blends of two restorers: PSNR-Y, SSIM-Y and a perceptual distance.

    pip install 'manet-cli[perceptual]'
    python benchmarks/perceptual.py testsets/Set14 --second runs/crisp/weights.safetensors
    python benchmarks/perceptual.py testsets/BSD100 --protocols camera --limit 20 --second ...

F is the share of the second restorer; both have the same shape, and the first weights' estimator is used for
both. F blends either the weights, which costs no time, or the two results.

The distance is LPIPS (Zhang et al., arXiv:1801.03924) without learnt weights: the features of each pixel are
scaled to length 1; squared differences are added over channels, averaged over pixels and added over stages.
The features are from EfficientNet-Lite1; `manet train --stage crisp` uses Lite0.

"pattern" is how much the finest detail depends on its place in squares of 4x4 pixels (`phase_contrast`);
above each table is that of the sharp pictures. A screen of dots has more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from harness import machine
from torch import Tensor
from torch.nn import functional as F

from manet_cli.degradations.quantization import apply_quantization
from manet_cli.evaluation.metrics import psnr_y, ssim_y
from manet_cli.evaluation.pictures import ImageRows, hr_tensor
from manet_cli.evaluation.protocols import parse_protocol
from manet_cli.images import has_readable_suffix, read_photo
from manet_cli.inference import PRECISIONS, Engine
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.inference.streams import assembled
from manet_cli.training.crisp_stage import phase_contrast
from manet_cli.training.features import Features, load_features
from manet_cli.weights import Weights, load_weights

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
STAGES = 4


def distance(features: Features, image: Tensor, reference: Tensor) -> float:
    """Return the perceptual distance of two images (1, 3, H, W) in [0, 1]: 0 for equal ones."""
    with torch.no_grad():
        stages = zip(features(image), features(reference), strict=True)
        apart = [(F.normalize(one) - F.normalize(other)).square().sum(dim=1).mean() for one, other in stages]
    return float(torch.stack(apart).sum())


def between(first: Weights, second: Weights, share: float) -> Weights:
    """Return the first weights, with their restorer blended with the second one; 1 is the second."""
    tensors = {
        name: torch.lerp(tensor.float(), second.tensors[name].float(), share)
        if name.startswith("restorer.")
        else tensor
        for name, tensor in first.tensors.items()
    }
    return Weights(tensors, first.config, published=False, sha256="")


def restored(engine: Engine, lr: Tensor, scale: int) -> Tensor:
    """Return the blind result (1, 3, s*H, s*W) in the published registration, not rounded."""
    rows = ImageRows(lr)
    tiles = engine.restore(rows, EstimatedCodes(engine, rows), registered=False)
    return assembled(tiles, rows.height * scale, rows.width * scale)


def figures(features: Features, result: Tensor, hr: Tensor, scale: int) -> list[float]:
    """Return PSNR-Y in dB, SSIM-Y, the distance and the pattern of a result in 8 bits."""
    image = apply_quantization(result)
    inner = (..., slice(scale, -scale), slice(scale, -scale))
    return [
        psnr_y(image, hr, border=scale),
        ssim_y(image, hr, border=scale),
        distance(features, image[inner], hr[inner]),
        float(phase_contrast(image).mean()),
    ]


def middle(hr: Tensor, side: int) -> Tensor:
    """Return the middle of an image, at most ``side`` pixels a side."""
    top, left = (max(0, (length - side) // 2) for length in hr.shape[-2:])
    return hr[..., top : top + side, left : left + side]


def main() -> None:
    """Read the options, measure, and print a table for each protocol."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="sharp pictures")
    parser.add_argument("-s", "--scale", type=int, default=4)
    parser.add_argument("--first", default="camera", help="weights at F = 0, and the estimator for both")
    parser.add_argument("--second", required=True, help="weights at F = 1")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="F, from 0 to 1")
    parser.add_argument("--protocols", nargs="+", default=["grid", "camera"], help="as in manet evaluate")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--limit", type=int, help="number of pictures")
    parser.add_argument("--crop", type=int, default=10_000, help="side of the middle crop, pixels")
    options = parser.parse_args()

    features = load_features(1, extra="perceptual", stages=STAGES)
    first, second = (load_weights(name, options.scale)[0] for name in (options.first, options.second))
    if first.config.restorer != second.config.restorer:
        parser.error("the two restorers have different shapes")
    device, dtype = torch.device("cpu"), PRECISIONS[options.precision]
    shares = sorted({0.0, *options.shares, 1.0})
    engines = [Engine(between(first, second, share).build(), device, dtype) for share in shares]
    paths = sorted(path for path in options.folder.iterdir() if has_readable_suffix(path))[: options.limit]
    print(f"{machine()}; {options.first} to {options.second}, x{options.scale}, {options.precision}")
    for name in options.protocols:
        found: list[list[list[float]]] = []
        sharp: list[float] = []
        for path in paths:
            hr = middle(hr_tensor(read_photo(path.read_bytes(), path.name), path.name), options.crop)
            for degradation in parse_protocol(name, options.scale).degradations:
                degraded = degradation.apply(hr)
                sharp.append(float(phase_contrast(degraded.hr).mean()))
                results = [restored(engine, degraded.lr, options.scale) for engine in engines]
                results += [torch.lerp(results[0], results[-1], share) for share in shares]
                found.append([figures(features, result, degraded.hr, options.scale) for result in results])
        means = torch.tensor(found, dtype=torch.float64).mean(dim=0).unflatten(0, (2, len(shares)))  # type: ignore[no-untyped-call]
        pattern = sum(sharp) / len(sharp)
        print(f"\n{options.folder.name}, {name}, {len(found)} images, sharp: pattern {pattern:.3f}\n")
        columns = "PSNR-Y, dB | SSIM-Y | distance | pattern"
        print(f"| F | weights: {columns} | results: {columns} |")
        print("|---|---|---|---|---|---|---|---|---|")
        for share, weights, blended in zip(shares, *means.tolist(), strict=True):
            cells = [
                f"{psnr:.2f} | {ssim:.4f} | {apart:.4f} | {pattern:.3f}"
                for psnr, ssim, apart, pattern in (weights, blended)
            ]
            print(f"| {share:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
