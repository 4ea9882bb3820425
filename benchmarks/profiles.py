"""Colour profiles: loss if the networks get a file's numbers unchanged, or converted to sRGB's curve.

    python benchmarks/profiles.py FOLDER [--model NAME|FILE] [--limit 14] [--crop 256]

The photos count as sRGB. They are blurred, made small, and stored in another colour space in 16 bits. PSNR-Y
compares the results with the photo, in sRGB. This table is the source of the limits in `images/transfer.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from harness import machine
from PIL import Image

from manet_cli import open_model
from manet_cli.degradations.gaussian import GaussianParameters
from manet_cli.degradations.protocol import Degradation

Array = npt.NDArray[Any]
Curve = Callable[[Array], Array]

# RGB to XYZ relative to D50, from the primaries of each space.
SRGB = [
    [0.4360747, 0.3850649, 0.1430804],
    [0.2225045, 0.7168786, 0.0606169],
    [0.0139322, 0.0971045, 0.7141733],
]
P3 = [
    [0.5151187, 0.2919778, 0.1571035],
    [0.2411892, 0.6922441, 0.0665668],
    [-0.0010505, 0.0418791, 0.7840713],
]
ADOBE = [
    [0.6097559, 0.2052401, 0.149224],
    [0.3111242, 0.625656, 0.0632197],
    [0.0194811, 0.0608902, 0.7448387],
]
PROPHOTO = [[0.7976749, 0.1351917, 0.0313534], [0.2880402, 0.7118741, 0.0000857], [0.0, 0.0, 0.82521]]
LUMA = np.array([65.481, 128.553, 24.966]) / 255
BORDER = 4


def srgb_to_light(values: Array) -> Array:
    """Decode sRGB numbers; a negative number is decoded like its absolute value, with its sign."""
    size = np.abs(values)
    light: Array = np.sign(values) * np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4)
    return light


def light_to_srgb(light: Array) -> Array:
    """Encode light as sRGB numbers; a negative number is encoded like its absolute value, with its sign."""
    size = np.abs(light)
    values: Array = np.sign(light) * np.where(
        size <= 0.0031308, size * 12.92, 1.055 * size ** (1 / 2.4) - 0.055
    )
    return values


def gamma(exponent: float) -> tuple[Curve, Curve]:
    """Return the decoding and the encoding of a power law."""
    return (lambda values: values.clip(0) ** exponent, lambda light: light.clip(0) ** (1 / exponent))


SPACES: dict[str, tuple[list[list[float]], tuple[Curve, Curve]]] = {
    "Display P3": (P3, (srgb_to_light, light_to_srgb)),
    "Adobe RGB, gamma 2.2": (ADOBE, gamma(2.2)),
    "ProPhoto, gamma 1.8": (PROPHOTO, gamma(1.8)),
    "linear light, sRGB primaries": (SRGB, gamma(1.0)),
    "linear light, ProPhoto primaries": (PROPHOTO, gamma(1.0)),
}


def psnr(result: Array, truth: Array) -> float:
    """PSNR-Y in dB of RGB pictures in [0, 1], without their borders."""
    inner = slice(BORDER, -BORDER)
    difference = (result.clip(0, 1) - truth)[inner, inner] @ LUMA
    return float(-10 * np.log10(np.mean(difference**2)))


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="HR photos")
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int, default=14, help="number of photos")
    parser.add_argument("--crop", type=int, default=256, help="side of the middle crop, pixels")
    options = parser.parse_args()

    model = open_model(options.model)
    blur = Degradation(scale=model.scale, kernel=GaussianParameters.from_degrees(7, 2, 30))

    def upscaled(picture: Array) -> Array:
        result = model.upscale(picture.clip(0, 1).astype(np.float32), registration="protocol")
        return np.asarray(result, np.float64)

    rows: dict[str, list[list[float]]] = {name: [] for name in SPACES}
    for path in sorted(options.folder.glob("*.png"))[: options.limit]:
        photo = np.asarray(Image.open(path).convert("RGB")) / 255.0
        top, left = ((side - options.crop) // 2 for side in photo.shape[:2])
        if min(top, left) < 0:
            continue
        hr = photo[top : top + options.crop, left : left + options.crop]
        tensor = torch.from_numpy(hr.astype(np.float32)).permute(2, 0, 1)[None]
        lr = blur.apply(tensor).lr[0].permute(1, 2, 0).numpy().clip(0, 1).astype(np.float64)
        plain = psnr(upscaled(lr), hr)
        for name, (primaries, (decoded, encoded)) in SPACES.items():
            into = np.linalg.inv(np.array(primaries)) @ np.array(SRGB)
            back = np.linalg.inv(into)
            stored = np.rint(encoded(srgb_to_light(lr) @ into.T).clip(0, 1) * 65_535) / 65_535
            as_it_is = light_to_srgb(decoded(upscaled(stored)) @ back.T)
            recoded = light_to_srgb(srgb_to_light(upscaled(light_to_srgb(decoded(stored)))) @ back.T)
            rows[name].append([plain, psnr(as_it_is, hr), psnr(recoded, hr)])
    print(f"{machine()}; {options.model}, {len(next(iter(rows.values())))} photos\n")
    print(
        "| colour space of the file | sRGB file: dB | seen as it is | with sRGB's curve |\n|---|---|---|---|"
    )
    for name, table in rows.items():
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in np.mean(table, axis=0)) + " |")


if __name__ == "__main__":
    main()
