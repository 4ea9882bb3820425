"""Training: steps per second of each stage, share of time waiting for data, and the ratio to a plain loop.

    python benchmarks/training.py PHOTOS [--stage manet sr finetune crisp] [--batch-size 16]
                                  [--patch-size 192] [--features 64] [--blocks 10] [--growth 32]
                                  [--seconds 30] [--device auto]

Ours is `manet train`. The plain loop does the same step in float32, without fused Adam, moving average or
memory format, on one batch made before. Both run in turns in this process, so that other load on the machine
affects both equally. The last figure compares with the rate at which the device multiplies large matrices.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from harness import machine
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from manet_cli.inference import choose_torch_device
from manet_cli.models import BlindConfig, BlindModel, MANetConfig, RRDBSFTConfig
from manet_cli.training.batches import BatchMaker, Shard
from manet_cli.training.checkpoints import RunFolder
from manet_cli.training.distribution import World
from manet_cli.training.loading import fits_on
from manet_cli.training.loop import Trainer
from manet_cli.training.losses import Losses
from manet_cli.training.photos import PhotoCache, open_cache
from manet_cli.training.recipe import Recipe
from manet_cli.training.recipe_files import load_recipe
from manet_cli.training.stages import build_stage, stage_losses

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--stage", nargs="+", default=["manet", "sr", "finetune"])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--patch-size", type=int, default=192)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--growth", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=30.0, help="seconds of each of the three rounds")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    device = choose_torch_device(options.device)
    paths = sorted(path for path in options.photos.rglob("*") if path.suffix.lower() in SUFFIXES)
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        cache = open_cache(paths, options.photos, Path(folder) / "cache", smallest=options.patch_size + 20)
        if fits_on(device, cache.pixels):
            cache = cache.to(device)
        for stage in options.stage:
            print(measure(stage, options, cache, device, Path(folder) / stage), flush=True)


def measure(
    stage: str, options: argparse.Namespace, cache: PhotoCache, device: torch.device, folder: Path
) -> str:
    """Return one stage's figures as a line."""
    recipe = load_recipe(
        stage,
        options.scale,
        options={
            "batch_size": options.batch_size,
            "patch_size": options.patch_size,
            "compile": options.compile,
        },
    )
    rates, plain_rates, waits, shares = [], [], [], []
    work = operations(recipe, options, cache, device)
    for turn in range(3):
        rate, waited = trained(recipe, options, cache, device, folder / str(turn))
        rates.append(rate)
        waits.append(waited)
        plain_rates.append(plain(recipe, options, cache, device))
        shares.append(work * rate / product_rate(device))
    ratio = statistics.median(ours / theirs for ours, theirs in zip(rates, plain_rates, strict=True))
    return (
        f"{stage:9s} {statistics.median(rates):8.3f} it/s, "
        f"{100 * statistics.median(waits):.1f} % waiting for data, "
        f"{ratio:.2f}x the plain float32 loop ({statistics.median(plain_rates):.3f} it/s), "
        f"{100 * statistics.median(shares):.0f} % of the rate of bf16 matrix products"
    )


def new_model(recipe: Recipe, options: argparse.Namespace) -> BlindModel:
    """Return networks with random weights."""
    torch.manual_seed(0)
    shape = RRDBSFTConfig(
        scale=recipe.scale, features=options.features, blocks=options.blocks, growth=options.growth
    )
    return BlindModel(BlindConfig(MANetConfig(), shape))


def trained(
    recipe: Recipe, options: argparse.Namespace, cache: PhotoCache, device: torch.device, folder: Path
) -> tuple[float, float]:
    """Return the steps per second of `manet train` and its share of time waiting for data."""
    warmup, seconds = max(2.0, options.seconds / 4), options.seconds
    toml = folder.parent / "recipe.toml"
    toml.parent.mkdir(parents=True, exist_ok=True)
    # Every log line waits for the device, so a fast device gets fewer lines.
    every = 1 if device.type == "cpu" else 20
    toml.write_text(f"[report]\nlog_every = {every}\ncheckpoint_seconds = 100000\n", encoding="utf-8")
    timed = load_recipe(
        recipe.stage,
        recipe.scale,
        config=toml,
        options={
            "batch_size": recipe.batch_size,
            "patch_size": recipe.patch_size,
            "compile": recipe.compile,
            "max_minutes": (warmup + seconds) / 60,
        },
    )
    run = RunFolder(folder)
    maker = BatchMaker(cache, timed, device, Shard())
    with run.prepared():
        Trainer(timed, new_model(recipe, options), maker, World(), run, None, lambda report: None).run()
    lines = [line for line in run.read_log() if float(str(line["seconds"])) > warmup]
    spans = [1 / float(str(line["steps_per_second"])) for line in lines]
    waited = sum(float(str(line["data_share"])) * span for line, span in zip(lines, spans, strict=True))
    return len(spans) / sum(spans), waited / sum(spans)


def plain(recipe: Recipe, options: argparse.Namespace, cache: PhotoCache, device: torch.device) -> float:
    """Return the steps per second of the plain loop on one batch."""
    maker = BatchMaker(cache, recipe, device, Shard())
    draws = maker.draw(0, 0.0)
    batch = maker.degrade(maker.crops(draws), draws)
    stage = build_stage(recipe, new_model(recipe, options).to(device))
    adam = torch.optim.Adam(stage.parameters(), lr=1e-5, foreach=False, fused=False)
    none = torch.zeros((), device=device)
    steps, begun = -1, time.monotonic()
    while time.monotonic() - begun < options.seconds or steps < 1:
        adam.zero_grad()
        loss = total(stage_losses(stage, recipe.stage, batch, none))
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        float(loss.detach())
        steps += 1
        if steps == 0:  # the first one warms up
            begun = time.monotonic()
    return steps / (time.monotonic() - begun)


def operations(recipe: Recipe, options: argparse.Namespace, cache: PhotoCache, device: torch.device) -> int:
    """Return the floating-point operations of a step's convolutions and products, forward and backward."""
    maker = BatchMaker(cache, recipe, device, Shard())
    draws = maker.draw(0, 0.0)
    batch = maker.degrade(maker.crops(draws), draws)
    stage = build_stage(recipe, new_model(recipe, options).to(device))
    with FlopCounterMode(display=False) as counter:
        losses = stage_losses(stage, recipe.stage, batch, torch.zeros((), device=device))
        total(losses).backward()  # type: ignore[no-untyped-call]
    count: int = counter.get_total_flops()
    return count


def total(losses: Losses) -> Tensor:
    """Return the loss that a step differentiates: the network's, plus the discriminator's if there is one."""
    return losses["loss"] + losses.get("discriminator", 0)


def product_rate(device: torch.device) -> float:
    """Return the floating-point operations per second of large bf16 matrix products."""
    size, rounds = (8192, 20) if device.type == "cuda" else (2048, 5)
    matrix = torch.randn(size, size, device=device).to(torch.bfloat16)
    (matrix @ matrix).sum().item()
    begun = time.monotonic()
    for _ in range(rounds):
        product = matrix @ matrix
    product.sum().item()
    return 2 * size**3 * rounds / (time.monotonic() - begun)


if __name__ == "__main__":
    main()
