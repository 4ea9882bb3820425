"""Files: how much of the metadata is kept, memory for large pictures, time to encode.

    python benchmarks/files.py metadata encoding
    python benchmarks/files.py memory                                # 24 megapixels; some minutes
    python benchmarks/files.py memory --megapixels 24 100 --formats png tiff jpeg

`metadata`: the bytes of EXIF, ICC profile, XMP and IPTC that are read from two photos (test files made with
exiftool), and that are read again after writing the photo, four times as large, in each format.

`encoding`: seconds and bytes of our PNG and TIFF encoders and of Pillow's.

`memory`: `manet upscale` x4 in a separate process, the real command line on real files. The networks are
replaced by stand-ins that cost almost nothing (one kernel everywhere; each pixel repeated), so only reading,
tiling, assembling and writing are measured. With `--model` the networks are real. `peak` is the largest
memory of the process; `private` is the largest without file pages, which the system may drop at any time
(sampled every quarter of a second).
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from harness import machine
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from manet_cli.images import (
    FORMATS,
    Header,
    Metadata,
    Photo,
    format_by_name,
    open_output,
    read_photo,
    write_photo,
)
from manet_cli.models import RRDBSFT, BlindConfig, BlindModel, KernelCode, MANet, MANetConfig, RRDBSFTConfig

SMALL = RRDBSFTConfig(features=4, blocks=1, growth=4, transform_width=4)
WORKER = "--worker"
MEGA = 1_000_000
BAND = 256
FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures"
DESCRIBED = ("camera.jpg", "camera.tif")
EXAMPLE = Path(__file__).parents[1] / "examples" / "chelsea_small.png"
ENLARGED, ROUNDS = 16, 3
BLOCKS = ("exif", "icc_profile", "xmp", "iptc")


@dataclass
class Usage:
    """Memory of a process in bytes, and its seconds."""

    peak: int = 0
    private: int = 0
    seconds: float = 0.0


def upscale_with_stand_ins(arguments: list[str]) -> None:
    """Run the command line in this process, with stand-ins for the networks."""

    def kernels(self: MANet, lr: Tensor) -> Tensor:
        values = self.config.kernel_size**2
        return torch.full((1, 1, 1, 1), 1 / values).expand(len(lr), values, *lr.shape[2:])

    def code(self: KernelCode, found: Tensor) -> Tensor:
        return torch.zeros(len(found), self.basis.shape[1], *found.shape[2:])

    def restored(self: RRDBSFT, lr: Tensor, code: Tensor) -> Tensor:
        return F.interpolate(lr, scale_factor=self.config.scale)

    MANet.kernels_of_padded = kernels  # type: ignore[method-assign]
    KernelCode.forward = code  # type: ignore[method-assign, assignment]
    RRDBSFT.forward = restored  # type: ignore[method-assign]
    from manet_cli.cli import main as command_line

    sys.argv = ["manet", *arguments]
    command_line()


def write_picture(path: Path, megapixels: float, format_name: str, bits: int) -> tuple[int, int]:
    """Write smooth waves with an aspect ratio of 3:2, band by band; return width and height."""
    width = round((megapixels * MEGA * 1.5) ** 0.5)
    height = round(width / 1.5)
    largest = 2**bits - 1
    columns = np.arange(width, dtype=np.float32) / 97
    header = Header(width, height, 3, False, bits)
    with open_output(path, format_by_name(format_name), header, Metadata()) as rows:
        for start in range(0, height, BAND):
            down = np.arange(start, min(start + BAND, height), dtype=np.float32)[:, None] / 61
            waves = np.stack([np.sin(columns + down + phase) for phase in (0, 1, 2)], axis=-1)
            values = ((waves * 0.4 + 0.5) * largest).round()
            rows.write(values.astype(np.uint16 if bits == 16 else np.uint8), None)
    return width, height


def watched(command: list[str]) -> Usage:
    """Run a command to its end and return its usage.

    The peak is read from the process itself: the peak of `getrusage` starts with the memory of this process.
    """
    usage, started = Usage(), time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
            if "VmHWM" in fields:
                usage.peak = max(usage.peak, int(fields["VmHWM"].split()[0]) * 1024)
                usage.private = max(usage.private, int(fields["RssAnon"].split()[0]) * 1024)
            time.sleep(0.25)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: ended with {process.returncode}")
    usage.seconds = time.perf_counter() - started
    return usage


def show_memory(options: argparse.Namespace) -> None:
    """Print a table of the memory for large pictures."""
    print(
        "| input | output | peak MB | private MB | seconds | file MB |\n|---|---|---|---|---|---|", flush=True
    )
    source_format = "tiff" if options.bits == 16 else "jpeg"
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        weights = folder / "small.safetensors"
        torch.manual_seed(0)
        save_file(BlindModel(BlindConfig(MANetConfig(channels=(4, 4)), SMALL)).state_dict(), weights)
        start = ["-m", "manet_cli"] if options.model else [__file__, WORKER]
        start = [sys.executable, *start, "upscale", "--model", options.model or str(weights)]
        settings = ["--size", options.size] if options.size else []
        for megapixels in options.megapixels:
            source = folder / f"photo{format_by_name(source_format).suffixes[0]}"
            width, height = write_picture(source, megapixels, source_format, options.bits)
            for format_name in options.formats:
                output = folder / f"large{format_by_name(format_name).suffixes[0]}"
                usage = watched([*start, *settings, str(source), "-o", str(output), "--overwrite", "-q"])
                print(
                    f"| {width}x{height} {source_format}, {options.bits} bits "
                    f"| {format_name} {options.size or 'x4'} | {usage.peak / MEGA:.0f} "
                    f"| {usage.private / MEGA:.0f} | {usage.seconds:.0f} "
                    f"| {output.stat().st_size / MEGA:.0f} |",
                    flush=True,
                )
                output.unlink()


def show_metadata(options: argparse.Namespace) -> None:
    """Print a table of the metadata that each format keeps of two photos."""

    def row(photo: str, written: str, metadata: Metadata, before: int) -> str:
        sizes = [len(getattr(metadata, name) or b"") for name in BLOCKS]
        dpi = "-" if metadata.dpi is None else f"{metadata.dpi[0]:.0f}"
        share = f"{sum(sizes)} ({100 * sum(sizes) / (before or sum(sizes)):.0f} %)"
        return f"| {photo} | {written} | {' | '.join(map(str, sizes))} | {share} | {dpi} |"

    print("| photo | written as | EXIF | ICC | XMP | IPTC | bytes kept | dots per inch |")
    print("|---|---|---|---|---|---|---|---|")
    for name in DESCRIBED:
        photo = read_photo(FIXTURES / name, name)
        large = replace(photo, pixels=np.repeat(np.repeat(photo.pixels, 4, axis=0), 4, axis=1))
        print(row(name, "", photo.metadata, 0))
        before = sum(len(getattr(photo.metadata, block) or b"") for block in BLOCKS)
        for fmt in FORMATS:
            file = io.BytesIO()
            write_photo(large, file, fmt)
            print(row("", fmt.name, read_photo(file.getvalue(), name).metadata, before))
    print()


def show_encoding(options: argparse.Namespace) -> None:
    """Print the time and size of our encoders and of Pillow's for an enlarged photo."""
    with Image.open(EXAMPLE) as small:
        size = small.width * ENLARGED, small.height * ENLARGED
        image = small.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    photo = Photo(np.asarray(image), None, Metadata())
    print(f"{size[0]}x{size[1]} pixels, fastest of {ROUNDS} rounds\n")
    print("| format | seconds of a core: ours, Pillow | MB: ours, Pillow |\n|---|---|---|")
    for name, settings in (("png", {}), ("tiff", {"compression": "tiff_adobe_deflate"})):
        fmt = format_by_name(name)
        taken: dict[str, tuple[float, int]] = {}
        for _ in range(ROUNDS):
            for who in ("ours", "Pillow"):
                file, started = io.BytesIO(), time.process_time()
                if who == "ours":
                    write_photo(photo, file, fmt)
                else:
                    image.save(file, fmt.pillow_name, **settings)
                best = taken.get(who, (float("inf"), 0))[0]
                taken[who] = min(best, time.process_time() - started), file.tell()
        seconds = ", ".join(f"{taken[who][0]:.2f}" for who in taken)
        print(f"| {name} | {seconds} | {', '.join(f'{taken[who][1] / MEGA:.2f}' for who in taken)} |")
    print()


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "metadata": show_metadata,
    "encoding": show_encoding,
    "memory": show_memory,
}


def main() -> None:
    """Read the options and run."""
    if sys.argv[1:2] == [WORKER]:
        upscale_with_stand_ins(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("parts", nargs="+", choices=PARTS, help="what to measure")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[24.0], help="memory: inputs")
    parser.add_argument("--formats", nargs="+", default=["png", "tiff"], help="memory: output formats")
    parser.add_argument("--bits", type=int, choices=(8, 16), default=8, help="memory: bits per channel")
    parser.add_argument("--size", help="memory: as for manet upscale")
    parser.add_argument("--model", help="memory: real weights instead of the stand-ins")
    parser.add_argument(
        "--folder", type=Path, help="folder for the pictures; by default the system's temporary folder"
    )
    options = parser.parse_args()
    print(machine() + "\n")
    for part in options.parts:
        PARTS[part](options)


if __name__ == "__main__":
    main()
