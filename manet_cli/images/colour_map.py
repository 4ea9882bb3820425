"""An accessible colour map for numbers, and the Oklab colour space.

The map goes from dark violet over blue and green to light yellow. Lightness rises steadily, so the order is
visible with any colour deficiency and in grey prints, and equal steps look equal. The map is made in Oklab
(Björn Ottosson, "A perceptual color space for image processing", 2020), whose first axis is lightness in
[0, 1].
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["colour_map", "kernel_shades", "linear_light", "oklab_to_srgb", "srgb_to_oklab"]

Floats = npt.NDArray[np.float64]

# Columns: lightness, hue in degrees, chroma within what a screen shows.
_PATH = np.array(
    [
        [0.26, 292, 0.125],
        [0.39, 268, 0.125],
        [0.52, 232, 0.100],
        [0.64, 190, 0.100],
        [0.77, 152, 0.150],
        [0.86, 126, 0.180],
        [0.94, 105, 0.165],
    ]
)
_CONES_OF_LIGHT = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB_OF_CONES = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def colour_map(count: int = 256) -> Floats:
    """Return the map as (count, 3) Oklab colours, from low to high."""
    fine = np.linspace(0, len(_PATH) - 1, 2001)
    lightness, hue, chroma = (_smooth(column)(fine) for column in _PATH.T)
    angle = np.deg2rad(hue)
    path = np.stack((lightness, chroma * np.cos(angle), chroma * np.sin(angle)), axis=1)
    length = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))))
    even = np.linspace(0, length[-1], count)
    return np.stack([np.interp(even, length, column) for column in path.T], axis=1)


def kernel_shades(values: Floats, peak: float | None = None) -> npt.NDArray[np.uint8]:
    """Return the values (h, w) of a kernel as sRGB in 8 bits (h, w, 3): white is 0, dark blue is `peak`.

    Args:
        values: not negative.
        peak: the same for kernels to compare; by default the largest value.
    """
    highest = float(values.max()) if peak is None else peak
    share = np.clip(np.asarray(values, np.float64) / max(highest, 1e-12), 0, 1)
    return oklab_to_srgb(np.stack((1 - 0.72 * share, 0 * share, -0.09 * share), axis=-1))


def oklab_to_srgb(lab: Floats) -> npt.NDArray[np.uint8]:
    """Return Oklab colours (..., 3) as sRGB in 8 bits, clamped to the range of sRGB."""
    light = np.clip((lab @ np.linalg.inv(_LAB_OF_CONES).T) ** 3 @ np.linalg.inv(_CONES_OF_LIGHT).T, 0, 1)
    encoded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    result: npt.NDArray[np.uint8] = np.round(encoded * 255).astype(np.uint8)
    return result


def srgb_to_oklab(pixels: npt.NDArray[np.uint8]) -> Floats:
    """Return sRGB colours in 8 bits (..., 3) as Oklab."""
    lab: Floats = np.cbrt(linear_light(pixels) @ _CONES_OF_LIGHT.T) @ _LAB_OF_CONES.T
    return lab


def linear_light(pixels: npt.NDArray[np.uint8]) -> Floats:
    """Return 8-bit sRGB values as linear light in [0, 1]."""
    encoded = np.arange(256) / 255
    table = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    light: Floats = table[pixels]
    return light


def _smooth(values: Floats) -> np.poly1d:
    """Fit a polynomial of degree 4 to values at 0, 1, 2, ... ."""
    return np.poly1d(np.polyfit(np.arange(len(values)), values, 4))
