"""Shared by the benchmarks: photos as inputs of the engine, whole runs, and a line about the machine."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from manet_cli.degradations.quantization import apply_quantization
from manet_cli.evaluation.metrics import psnr_y
from manet_cli.evaluation.pictures import ImageRows
from manet_cli.inference import Engine
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.inference.streams import Codes, assembled

__all__ = ["SUFFIXES", "Picture", "blind_psnr", "machine", "peak_memory", "photos", "restored", "to_levels"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


class Picture:
    """An 8-bit RGB array (H, W, 3) as an input of the engine."""

    layers = 1

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels
        self.height, self.width = pixels.shape[:2]

    def rows(self, start: int, stop: int) -> Tensor:
        """Return rows [start, stop) as (1, 3, stop - start, width), float32 in [0, 1]."""
        rows = torch.from_numpy(self._pixels[start:stop].copy())
        return rows.permute(2, 0, 1)[None].float() / 255


def photos(folder: Path, limit: int, side: int) -> list[tuple[str, Picture]]:
    """Return the names and central crops of at most ``side`` pixels of the first ``limit`` images."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)[:limit]
    if not files:
        sys.exit(f"{folder}: no images in this folder.")
    found = []
    for path in files:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        top, left = (max(length - side, 0) // 2 for length in pixels.shape[:2])
        found.append((path.name, Picture(pixels[top : top + side, left : left + side].copy())))
    return found


def restored(engine: Engine, picture: Picture, codes: Codes | None = None) -> Tensor:
    """Return the registered result (3, s*H, s*W) in float32, not clamped; without codes, estimate them."""
    scale = engine.restorer.footprint.scale
    tiles = engine.restore(picture, codes or EstimatedCodes(engine, picture))
    return assembled(tiles, picture.height * scale, picture.width * scale)[0]


def blind_psnr(engine: Engine, lr: Tensor, hr: Tensor, scale: int) -> float:
    """Return the PSNR-Y in dB of the blind result in 8 bits, in the published registration."""
    rows = ImageRows(lr)
    tiles = engine.restore(rows, EstimatedCodes(engine, rows), registered=False)
    result = apply_quantization(assembled(tiles, rows.height * scale, rows.width * scale))
    return psnr_y(result, hr, border=scale)


def to_levels(image: Tensor) -> Tensor:
    """Return the 8-bit levels of an image in [0, 1], as whole float32 numbers."""
    return (image.clamp(0, 1) * 255).round()


def machine() -> str:
    """Return a line about the processor, PyTorch and its threads."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        name = names[0].split(":", 1)[1].strip() if names else name
    return (
        f"{name} ({os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}), "
        f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads"
    )


def peak_memory() -> int:
    """Return the peak memory of this process so far, in bytes."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
