"""Time and peak memory on the CPU: the tiled engine compared with the published graph.

    python benchmarks/cpu.py                    # full-size network, LR 128 to 256; some minutes
    python benchmarks/cpu.py --sizes 128 --rounds 1 --growth 256 512
    python benchmarks/cpu.py --paths testsets/Set5                   # all devices and number formats of a CPU
    python benchmarks/cpu.py --whole photo.png [--against CHECKOUT]  # the same as whole processes

The published graph runs in float32 and PyTorch's default layout on the whole image at once: LR-size kernels
are enlarged to HR size and shrunk back (nearest), multiplied with the basis pixel by pixel (441x15 numbers
each) and summed. Both sides have the same random weights, and their results are compared first. Every run is
a separate process. The variants take turns, so that other load on the machine affects all of them equally.

``--paths`` compares the values of ``--device`` and ``--precision`` on a CPU, with the shipped weights: the
CPU time of the networks on degraded pictures, and the PSNR-Y of the results. ``--whole`` compares whole
processes of ``manet upscale``, start and compilation included, optionally with an older checkout. Run both
with OMP_NUM_THREADS=1: other programs change CPU time less than wall-clock time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from harness import Picture, blind_psnr, machine, peak_memory
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from manet_cli.errors import DeviceError
from manet_cli.evaluation.pictures import hr_tensor
from manet_cli.evaluation.protocols import parse_protocol
from manet_cli.images import read_photo
from manet_cli.inference import PRECISIONS, Engine, choose_device, choose_precision
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.models import RRDBSFT, BlindConfig, BlindModel, MANet, MANetConfig, RRDBSFTConfig
from manet_cli.models.manet import MutualAffineBlock, MutualAffineConv
from manet_cli.models.rrdb_sft import DenseBlock, FeatureTransform
from manet_cli.weights import build_int8, load_weights

OURS = {"ours, float32": torch.float32, "ours, bfloat16": torch.bfloat16}
PATHS = [("cpu", "fp32"), ("cpu", "bf16"), ("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8")]
PUBLISHED = "published"
STAND_IN = BlindConfig(MANetConfig(channels=(16, 32)), RRDBSFTConfig(features=16, blocks=2, growth=8))
MIB = 1 << 20


def random_model(config: BlindConfig) -> BlindModel:
    """Return a model with repeatable random weights, scaled so that activations stay near 1."""
    torch.manual_seed(0)
    model = BlindModel(config).eval().requires_grad_(False)
    assert model.kernel_code is not None
    model.kernel_code.basis.normal_(std=0.2)
    return model


# The published graph, in plain code with the weights of our modules.


def plain_affine_conv(module: MutualAffineConv, features: Tensor) -> Tensor:
    """Scale and shift each of two groups by the other, then convolve it."""
    first, second = features.chunk(2, dim=1)
    outputs = []
    for own, other, affine, conv in zip(
        (first, second), (second, first), module.affine, module.convs, strict=True
    ):
        scale, shift = affine(other).chunk(2, dim=1)
        outputs.append(conv(own * torch.sigmoid(scale) + shift))
    return torch.cat(outputs, dim=1)


def plain_affine_block(module: MutualAffineBlock, features: Tensor) -> Tensor:
    """Two mutual affine convolutions with a residual."""
    inner = F.relu(plain_affine_conv(module.first, features))
    output: Tensor = features + plain_affine_conv(module.second, inner)
    return output


def plain_estimator(module: MANet, lr: Tensor) -> Tensor:
    """Kernels at LR size."""
    height, width = lr.shape[-2:]
    head = module.head(module.pad(lr))
    deep = module.down_conv(plain_affine_block(module.down_block, head))
    deep = plain_affine_block(module.body, deep) + deep
    features = plain_affine_block(module.up_block, module.up_conv(deep)) + head
    return F.softmax(module.tail(features)[..., :height, :width], dim=1)


def plain_transform(module: FeatureTransform, features: Tensor, code: Tensor) -> Tensor:
    """Features scaled and shifted by the outputs of two branches."""
    both = torch.cat((features, code), dim=1)
    scale = torch.sigmoid(module.scale(F.leaky_relu(module.scale_hidden(both), 0.2)))
    shift = module.shift(F.leaky_relu(module.shift_hidden(both), 0.2))
    output: Tensor = features * scale + shift
    return output


def plain_dense(module: DenseBlock, features: Tensor) -> Tensor:
    """Five densely connected convolutions."""
    stack = [features]
    for conv in module.convs[:-1]:
        stack.append(F.leaky_relu(conv(torch.cat(stack, dim=1)), 0.2, inplace=True))
    last: Tensor = module.convs[-1](torch.cat(stack, dim=1))
    return last * 0.2 + features


def plain_restorer(module: RRDBSFT, lr: Tensor, code: Tensor) -> Tensor:
    """SR image from an image and its codes."""
    head = module.head(lr)
    features = head
    for block in module.blocks:
        inner = plain_transform(block.transform, features, code)  # type: ignore[arg-type]
        for dense in block.dense:  # type: ignore[union-attr]
            inner = plain_dense(dense, inner)
        features = features + inner * 0.2
    return F.pixel_shuffle(module.tail(module.trunk(features) + head), module.config.scale)


def plain_blind(model: BlindModel, lr: Tensor) -> Tensor:
    """SR image (1, 3, s*H, s*W), with the HR-size kernel map and the 441x15 product per pixel."""
    assert model.estimator is not None
    assert isinstance(model.restorer, RRDBSFT)
    assert model.kernel_code is not None
    scale = model.restorer.config.scale
    kernel_map = F.interpolate(plain_estimator(model.estimator, lr), scale_factor=scale, mode="nearest")
    kernels = F.interpolate(kernel_map, scale_factor=1 / scale, mode="nearest", recompute_scale_factor=True)
    basis = model.kernel_code.basis[None, :, :, None, None]
    code = (kernels[:, :, None] * basis).sum(dim=1)
    return plain_restorer(model.restorer, lr, code)


# Runs


def picture(side: int) -> Picture:
    """Return a smooth random picture with some noise, the same every time."""
    generator = torch.Generator().manual_seed(side)
    coarse = torch.rand(1, 3, max(side // 16, 2), max(side // 16, 2), generator=generator)
    image = F.interpolate(coarse, size=(side, side), mode="bicubic") + 0.02 * torch.rand(
        1, 3, side, side, generator=generator
    )
    return Picture((image[0].clamp(0, 1) * 255).byte().permute(1, 2, 0).contiguous().numpy())


def run_ours(engine: Engine, source: Picture) -> NDArray[np.uint8]:
    """Upscale into an 8-bit canvas, as for writing a file."""
    scale = engine.restorer.footprint.scale
    canvas = np.empty((source.height * scale, source.width * scale, 3), np.uint8)
    for tile in engine.restore(source, EstimatedCodes(engine, source)):
        pixels = (tile.pixels[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        canvas[tile.area] = pixels
    return canvas


def run_published(model: BlindModel, source: Picture) -> NDArray[np.uint8]:
    """Upscale the whole image at once."""
    with torch.inference_mode():
        image = plain_blind(model, source.rows(0, source.height))[0]
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def work(variant: str, side: int, small: bool) -> None:
    """Measure one run in this process and print it as JSON."""
    model = random_model(STAND_IN if small else BlindConfig(MANetConfig(), RRDBSFTConfig()))
    run: Callable[[Picture], NDArray[np.uint8]]
    if variant == PUBLISHED:

        def run(source: Picture) -> NDArray[np.uint8]:
            return run_published(model, source)
    else:
        engine = Engine(model, torch.device("cpu"), OURS[variant])

        def run(source: Picture) -> NDArray[np.uint8]:
            return run_ours(engine, source)

    run(picture(32))
    source = picture(side)
    before, start, busy = peak_memory(), time.perf_counter(), time.process_time()
    output = run(source)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    extra = peak_memory() - before
    print(
        json.dumps(
            {"seconds": seconds, "busy": busy, "peak": peak_memory(), "extra": extra, "output": output.nbytes}
        )
    )


def measure(variant: str, side: int, *, small: bool = False) -> dict[str, float]:
    """Measure one run in a separate process."""
    command = [sys.executable, __file__, "--worker", variant, "--sizes", str(side)]
    result = subprocess.run(command + ["--small"] * small, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(result.stdout)
    return figures


def check_agreement() -> float:
    """Return the largest difference between the two sides, relative to the largest value."""
    model = random_model(BlindConfig(MANetConfig(), RRDBSFTConfig(blocks=2)))
    source = picture(37)
    with torch.inference_mode():
        theirs = plain_blind(model, source.rows(0, source.height))
        ours = model(source.rows(0, source.height))[1]
    return float((ours - theirs).abs().max() / theirs.abs().max())


def compare(sizes: list[int], rounds: int) -> None:
    """Print the table of both sides."""
    variants = [PUBLISHED, *OURS]
    print(
        "| LR size | variant | median s | times faster | CPU s | peak MiB | of which run | times less (run) |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for side in sizes:
        found: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
        for _ in range(rounds):
            for variant in variants:
                found[variant].append(measure(variant, side))
        base_seconds = statistics.median(run["seconds"] for run in found[PUBLISHED])
        base_extra = max(run["extra"] for run in found[PUBLISHED])
        for variant, runs in found.items():
            seconds = statistics.median(run["seconds"] for run in runs)
            busy = statistics.median(run["busy"] for run in runs)
            peak, extra = max(run["peak"] for run in runs), max(run["extra"] for run in runs)
            print(
                f"| {side}x{side} | {variant} | {seconds:.2f} | {base_seconds / seconds:.2f} | {busy:.1f} "
                f"| {peak / MIB:.0f} | {extra / MIB:.0f} | {base_extra / extra:.1f} |",
                flush=True,
            )


def show_growth(sizes: list[int]) -> None:
    """Print how the memory of a run grows with the image, with a small network."""
    print("\n| LR size | run MiB | input and output MiB | rest MiB |")
    print("|---|---|---|---|")
    for side in sizes:
        run = measure("ours, float32", side, small=True)
        output = run["output"] / MIB
        print(
            f"| {side}x{side} | {run['extra'] / MIB:.0f} | {output + 3 * side * side / MIB:.0f} "
            f"| {run['extra'] / MIB - output:.0f} |",
            flush=True,
        )


def path_engines(scale: int) -> dict[str, Engine]:
    """Return an engine for each available path; the first is float32 with the codes of every pixel."""
    weights, _ = load_weights("clean", scale)
    engines = {"cpu, fp32, codes of every pixel": Engine(weights.build(), torch.device("cpu"))}
    for name, precision in PATHS:
        try:
            device = choose_device(name)
        except DeviceError as error:
            print(f"left out: {error}")
            continue
        model = build_int8(weights) if precision == "int8" else weights.build()
        engine = Engine(model, device, PRECISIONS[precision], code_stride=weights.code_stride)
        engines[f"{name}, {precision}"] = engine
    return engines


def compare_paths(folder: Path, scale: int, protocol: str, rounds: int) -> None:
    """Print each path's CPU time and PSNR-Y over the degraded pictures of a folder."""
    engines = path_engines(scale)
    seconds, quality, pictures = dict.fromkeys(engines, 0.0), dict.fromkeys(engines, 0.0), 0
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        hr = hr_tensor(read_photo(path.read_bytes(), path.name), path.name)
        for degradation in parse_protocol(protocol, scale).degradations:
            degraded = degradation.apply(hr)
            pictures += 1
            # The first run compiles the networks for this size, and gives the result.
            for name, engine in engines.items():
                quality[name] += blind_psnr(engine, degraded.lr, degraded.hr, scale)
            runs: dict[str, list[float]] = {name: [] for name in engines}
            for _ in range(rounds):
                for name, engine in engines.items():
                    started = time.process_time()
                    blind_psnr(engine, degraded.lr, degraded.hr, scale)
                    runs[name].append(time.process_time() - started)
            for name, found in runs.items():
                seconds[name] += min(found)
    first, *_ = engines
    print(f"\n{folder.name}, x{scale}, {protocol}, {pictures} pictures, least of {rounds} runs each\n")
    print("| device, format | times faster | PSNR-Y, dB | difference |")
    print("|---|---|---|---|")
    for name in engines:
        mean, loss = quality[name] / pictures, (quality[name] - quality[first]) / pictures
        print(f"| {name} | {seconds[first] / seconds[name]:.2f} | {mean:.3f} | {loss:+.4f} |")


def whole(arguments: list[str], checkout: Path | None = None) -> float:
    """Return the CPU seconds of a process of ``manet upscale``, optionally from another checkout."""
    environment = os.environ | ({"PYTHONPATH": str(checkout.resolve())} if checkout else {})
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "manet_cli", "upscale", *arguments, "--overwrite", "--quiet"]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def compare_whole(photo: Path, rounds: int, checkout: Path | None, their_model: str) -> None:
    """Print how much CPU time whole processes take, relative to the first."""
    with tempfile.TemporaryDirectory() as folder:
        common = [str(photo.resolve()), "-o", str(Path(folder, "result.png"))]
        runs: dict[str, tuple[list[str], Path | None]] = {}
        for precision in ("fp32", "bf16") if checkout else ():
            arguments = [*common, "--model", their_model, "--device", "cpu", "--precision", precision]
            runs[f"checkout, cpu, {precision}"] = arguments, checkout
        for device, precision in PATHS:
            arguments = [*common, "--model", "clean", "--device", device, "--precision", precision]
            runs[f"{device}, {precision}"] = arguments, None
        found: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, run in runs.items():
                found[name].append(whole(*run))
    first, *_ = runs
    print(f"\nWhole processes, {photo.name}, medians of {rounds} runs\n")
    print(f"| device, format | CPU s | times faster than {first} | least and most s |")
    print("|---|---|---|---|")
    for name, seconds in found.items():
        median = statistics.median(seconds)
        ratio = statistics.median(found[first]) / median
        print(f"| {name} | {median:.1f} | {ratio:.2f} | {min(seconds):.1f}, {max(seconds):.1f} |")


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="*", default=[128, 192, 256], help="sides in LR pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--growth", type=int, nargs="*", default=[256, 512, 1024, 2048])
    parser.add_argument("--paths", type=Path, metavar="HR_FOLDER", help="sharp pictures to compare paths on")
    parser.add_argument("-s", "--scale", type=int, default=4, help="scale for --paths")
    parser.add_argument("--protocol", default="9,1,45", help="protocol for --paths")
    parser.add_argument("--whole", type=Path, metavar="PHOTO", help="compare whole processes")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="older checkout for --whole")
    parser.add_argument("--their-model", default="default", help="family of the older checkout's weights")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--small", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.sizes[0], options.small)
        return
    print(machine() + f"; precision auto: {choose_precision(torch.device('cpu'))}")
    if options.paths:
        compare_paths(options.paths, options.scale, options.protocol, options.rounds)
    if options.whole:
        compare_whole(options.whole, options.rounds, options.against, options.their_model)
    if options.paths or options.whole:
        return
    print(f"Both sides agree to {check_agreement():.1e} of the largest value.\n")
    if options.sizes:
        compare(options.sizes, options.rounds)
    if options.growth:
        show_growth(options.growth)


if __name__ == "__main__":
    main()
