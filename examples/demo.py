"""Upscale the example photo, write its blur kernels, and draw both; run by ``make demo``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from sheets import labelled

PHOTO = Path("examples/chelsea_small.png")
OUT = Path("demo")
SCALE = 4
ZOOM_BOX = (120, 60, 232, 135)  # box in the result
GRID = (7, 5)


def manet(*arguments: str) -> None:
    """Print a command and run it, as a user would."""
    print("$ manet", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "manet_cli", *arguments], check=True)


def comparison(photo: Image.Image, result: Image.Image) -> Image.Image:
    """Draw bicubic and our result side by side, with a detail of both, enlarged without smoothing."""
    bicubic = photo.resize(result.size, Image.Resampling.BICUBIC)
    height = result.height // 2 - 2
    width = height * (ZOOM_BOX[2] - ZOOM_BOX[0]) // (ZOOM_BOX[3] - ZOOM_BOX[1])
    zooms = Image.new("RGB", (width, result.height), "white")
    for picture, top in ((bicubic, 0), (result, result.height - height)):
        detail = picture.crop(ZOOM_BOX).resize((width, height), Image.Resampling.NEAREST)
        zooms.paste(detail, (0, top))
    return labelled(
        [("bicubic x4", bicubic), ("manet x4", result), ("zoom: bicubic above, manet below", zooms)]
    )


def kernel_sheet(photo: Image.Image, kernels: npt.NDArray[np.float16]) -> Image.Image:
    """Draw the photo, and beside it the kernels of a grid of pixels, each at its pixel's place."""
    large = photo.resize((photo.width * SCALE, photo.height * SCALE), Image.Resampling.NEAREST)
    sheet = Image.new("L", large.size)
    dots = ImageDraw.Draw(large)
    for row in range(GRID[1]):
        for column in range(GRID[0]):
            x = (2 * column + 1) * photo.width // (2 * GRID[0])
            y = (2 * row + 1) * photo.height // (2 * GRID[1])
            kernel = kernels[y, x].astype(np.float32)
            tile = Image.fromarray((kernel / kernel.max() * 255).astype(np.uint8)).resize((52, 52))
            sheet.paste(tile, (x * SCALE - 26, y * SCALE - 26))
            dots.ellipse((x * SCALE - 2, y * SCALE - 2, x * SCALE + 4, y * SCALE + 4), "red", "white")
    return labelled([("the photo", large), ("blur kernels at the dots", sheet.convert("RGB"))])


def main() -> None:
    """Make the demo's pictures."""
    result, kernels = OUT / f"{PHOTO.stem}_x4.png", OUT / f"{PHOTO.stem}_x4_kernels.npy"
    manet("upscale", str(PHOTO), "-s", str(SCALE), "-o", f"{OUT}/", "--save-kernels", f"{OUT}/")
    with Image.open(PHOTO) as photo, Image.open(result) as upscaled:
        comparison(photo, upscaled).save(OUT / "comparison.png")
        kernel_sheet(photo, np.load(kernels, mmap_mode="r")).save(OUT / "kernels.png")
    print("\nThe result, a comparison, the kernel map and a picture of it:")
    for path in (result, OUT / "comparison.png", kernels, OUT / "kernels.png"):
        print(" ", path)


if __name__ == "__main__":
    main()
