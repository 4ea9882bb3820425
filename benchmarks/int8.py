"""Measure the ranges of activations that weights need for ``--precision int8``, and write them.

    python benchmarks/int8.py clean -s 4 --recipes robust camera --photos photos/*.jpg -o small_x4.int8.json

The photos are training photos, never test pictures. Crops of them are degraded as in training, a part of them
by each recipe. A block that costs more than ``--most`` dB when it alone is rounded stays in floating point.
The file goes beside the weights, and its name into ``weights.toml`` (key ``int8``).

A range is the mean over the crops of the least and of the greatest value, as NNCF has it by default. NNCF is
not used: it rounds the weights too, once and for all, but ``--denoise`` mixes weights when they are run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from harness import machine
from torch import Tensor, nn

from manet_cli.evaluation.metrics import psnr_y
from manet_cli.models import BlindModel, Int8Block, Range, int8_blocks
from manet_cli.training.batches import BatchMaker, Shard
from manet_cli.training.photos import open_cache
from manet_cli.training.recipe_files import RECIPES, load_recipe
from manet_cli.weights import load_weights
from manet_cli.weights.int8 import ranges_text

SIDE = 64  # of a crop in LR pixels
AT_ONCE = 8
BORDER = 8  # LR pixels that are not compared, since a crop's blur ends at its border


def degraded(photos: Sequence[Path], recipe: str, scale: int, count: int) -> tuple[Tensor, Tensor]:
    """Return crops, LR (N, 3, 64, 64) and HR, degraded as in the training of an estimator with a recipe."""
    options = {"batch_size": count, "patch_size": SIDE * scale}
    settings = load_recipe("manet", scale, name=recipe, options=options)
    with tempfile.TemporaryDirectory() as folder:
        cache = open_cache(photos, photos[0].parent, Path(folder), smallest=settings.crop_size)
        maker = BatchMaker(cache, settings, torch.device("cpu"), Shard())
        draws = maker.draw(0, 1.0)
        batch = maker.degrade(maker.crops(draws), draws)
    return batch.lr, batch.hr


def measured(model: BlindModel, lr: Tensor) -> dict[str, Range]:
    """Return the range of the values that each block's convolutions are given, over crops (N, 3, H, W)."""
    found: dict[nn.Module, list[Tensor]] = {}

    def note(conv: nn.Module, values: tuple[Tensor]) -> None:
        found.setdefault(conv, []).append(torch.stack(values[0].flatten(1).aminmax(dim=1)))

    convs = {name: convolutions(block) for name, block in int8_blocks(model).items()}
    hooks = [conv.register_forward_pre_hook(note) for some in convs.values() for conv in some]
    with torch.inference_mode():
        for part in torch.split(lr, AT_ONCE):
            model(part)
    for hook in hooks:
        hook.remove()
    ranges = {}
    for name, some in convs.items():
        ends = torch.stack([torch.cat(found[conv], dim=1) for conv in some])
        low, high = ends[:, 0].amin(dim=0).mean(), ends[:, 1].amax(dim=0).mean()
        ranges[name] = min(low.item(), 0.0), max(high.item(), 0.0)
    return ranges


def convolutions(block: Int8Block) -> list[nn.Conv2d]:
    """Return the convolutions of a block that are computed in int8."""
    convs = block.convs
    assert isinstance(convs, nn.ModuleList)
    return [conv for conv in convs if isinstance(conv, nn.Conv2d)]


def quality(model: BlindModel, lr: Tensor, hr: Tensor, scale: int) -> float:
    """Return the mean PSNR-Y in dB of the blind results for crops."""
    with torch.inference_mode():
        results = torch.cat([model(part)[1] for part in torch.split(lr, AT_ONCE)])
    pairs = zip(torch.split(results, 1), torch.split(hr, 1), strict=True)
    return sum(psnr_y(result, truth, border=BORDER * scale) for result, truth in pairs) / len(lr)


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", help="family, entry or file of weights")
    parser.add_argument("-s", "--scale", type=int, default=4)
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="training photos")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=["robust", "camera"])
    parser.add_argument("--crops", type=int, default=96, help="for the ranges")
    parser.add_argument("--tried", type=int, default=12, help="of them, to try each block on")
    parser.add_argument("--most", type=float, default=0.0015, help="dB that a block may cost")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    weights, scale = load_weights(options.model, options.scale)
    count = options.crops // len(options.recipes)
    parts = [degraded(options.photos, recipe, scale, count) for recipe in options.recipes]
    # Crops of all recipes alternate, so that those tried are of all.
    lr, hr = (torch.stack([part[i] for part in parts], dim=1).flatten(0, 1) for i in (0, 1))
    model = weights.build()
    ranges = measured(model, lr)
    lr, hr = lr[: options.tried], hr[: options.tried]
    exact, kept = quality(model, lr, hr, scale), {}
    print(f"{machine()}; {options.model} x{scale}, {options.crops} crops, {options.tried} tried\n")
    print("| block | range | difference alone, dB |\n|---|---|---|")
    blocks = int8_blocks(model)
    for name, found in ranges.items():
        blocks[name].input_range = found
        gain = quality(model, lr, hr, scale) - exact
        blocks[name].input_range = None
        left_out = "" if gain >= -options.most else ", left out"
        if not left_out:
            kept[name] = found
        print(f"| {name} | {found[0]:.2f} to {found[1]:.2f} | {gain:+.4f}{left_out} |", flush=True)
    for name, found in kept.items():
        blocks[name].input_range = found
    print(f"| all that are kept | | {quality(model, lr, hr, scale) - exact:+.4f} |")
    if not kept:
        sys.exit("every block was left out: no file was written")
    options.output.write_text(ranges_text(weights.sha256, kept), encoding="utf-8")


if __name__ == "__main__":
    main()
