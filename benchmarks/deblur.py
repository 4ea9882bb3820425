"""Gain of `manet deblur` over the blurred pictures: PSNR-Y in dB, by blur, clean and as JPEG.

    python benchmarks/deblur.py testsets/Set14
    python benchmarks/deblur.py testsets/BSD100 --every 10

The middle of each sharp photo is blurred by a Gaussian and stored as PNG, or as JPEG with halved chroma. Then
the command deblurs all pictures of a kind in one run. A border of 8 pixels is not measured. The last column
counts the pictures by the factor by which the command first made them smaller.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
from harness import machine
from PIL import Image

from manet_cli.images import has_readable_suffix

SIGMAS = (0.0, 0.5, 1.0, 2.0, 3.0)
QUALITIES = (None, 85)
BORDER = 8
LUMA = (65.481, 128.553, 24.966)


def blurred(picture: npt.NDArray[np.uint8], sigma: float) -> npt.NDArray[np.uint8]:
    """Return a picture (H, W, 3) blurred by a Gaussian of ``sigma`` pixels, with mirrored borders."""
    if sigma == 0:
        return picture
    reach = round(5 * sigma) + 1
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    values = np.pad(picture.astype(np.float64), ((reach, reach), (reach, reach), (0, 0)), "reflect")
    for axis in (0, 1):
        values = np.apply_along_axis(np.convolve, axis, values, weights, "valid")
    rounded: npt.NDArray[np.uint8] = values.round().clip(0, 255).astype(np.uint8)
    return rounded


def psnr(picture: npt.NDArray[np.uint8], sharp: npt.NDArray[np.uint8]) -> float:
    """Return the PSNR of the luma of two pictures (H, W, 3) in dB."""
    error = (picture.astype(np.float64) - sharp) @ np.array(LUMA) / 255
    squared = np.square(error[BORDER:-BORDER, BORDER:-BORDER]).mean()
    return float(10 * np.log10(255**2 / max(squared, 1e-3)))


def read(path: Path) -> npt.NDArray[np.uint8]:
    """Return a picture as (H, W, 3)."""
    with Image.open(path) as image:
        pixels: npt.NDArray[np.uint8] = np.asarray(image.convert("RGB"))
    return pixels


def middles(folder: Path, every: int, side: int) -> dict[str, npt.NDArray[np.uint8]]:
    """Return the middles of every n-th picture of a folder."""
    paths = sorted(path for path in folder.iterdir() if has_readable_suffix(path))[::every]
    found = {}
    for path in paths:
        picture = read(path)
        top, left = (max(length - side, 0) // 2 for length in picture.shape[:2])
        found[path.stem] = picture[top : top + side, left : left + side]
    return found


def measure(
    sharp: dict[str, npt.NDArray[np.uint8]], sigma: float, quality: int | None, options: list[str]
) -> tuple[float, list[float], Counter[int]]:
    """Return the mean PSNR before, the gains, and the number of pictures by factor of shrinking."""
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name, "in"), Path(name, "out")
        folder.mkdir()
        suffix = ".png" if quality is None else ".jpg"
        for stem, picture in sharp.items():
            image = Image.fromarray(blurred(picture, sigma))
            image.save(folder / f"{stem}{suffix}", quality=quality or 0, subsampling=2)  # PNG ignores both
        command = [sys.executable, "-m", "manet_cli", "deblur", str(folder), "-o", str(out), "--json", "-q"]
        lines = subprocess.run([*command, *options], check=True, stdout=subprocess.PIPE, text=True).stdout
        before, gains, shrinks = [], [], Counter[int]()
        for line in map(json.loads, lines.splitlines()):
            stem = Path(line["input"]).stem
            before.append(psnr(read(Path(line["input"])), sharp[stem]))
            gains.append(psnr(read(Path(line["output"])), sharp[stem]) - before[-1])
            shrinks[line["deblur"]["shrink"]] += 1
    return statistics.mean(before), gains, shrinks


def main() -> None:
    """Read the options, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="sharp photos")
    parser.add_argument("--every", type=int, default=1, help="use every n-th photo")
    parser.add_argument("--side", type=int, default=192, help="side of the middle crop, pixels")
    parser.add_argument("--sigma", type=float, nargs="+", default=SIGMAS, help="blur, pixels")
    arguments, options = parser.parse_known_args()  # the other options go to manet deblur
    sharp = middles(arguments.folder, arguments.every, arguments.side)
    print(f"{machine()}\n\n{arguments.folder.name}, {len(sharp)} photos, {' '.join(options)}\n")
    print("| stored as | blur, pixels | dB before | gain, dB | least | most | made smaller first |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for quality in QUALITIES:
        for sigma in arguments.sigma:
            before, gains, shrinks = measure(sharp, sigma, quality, options)
            kind = "PNG" if quality is None else f"JPEG {quality}"
            counts = ", ".join(f"{count} of {shrink}" for shrink, count in sorted(shrinks.items()))
            print(
                f"| {kind} | {sigma:g} | {before:.2f} | {statistics.mean(gains):+.2f} "
                f"| {min(gains):+.2f} | {max(gains):+.2f} | {counts} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
