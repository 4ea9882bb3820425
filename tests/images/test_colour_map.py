"""The colour map: even and in order, also with colour deficiencies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from manet_cli.images.colour_map import colour_map, kernel_shades, linear_light, oklab_to_srgb, srgb_to_oklab

# Colours as seen without one of the three cones: Machado, Oliveira and Fernandes, "A
# Physiologically-based Model for Simulation of Color Vision Deficiency", 2009, severity 1, on linear light.
VISION = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def seen(colours: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Colours (n, 3) as CIELAB, with a colour deficiency."""
    light = np.clip(linear_light(colours) @ matrix.T, 0, 1)
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = light @ to_xyz.T / to_xyz.sum(axis=1)
    cones = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = cones.T
    return np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), axis=-1)


@pytest.mark.parametrize("vision", VISION)
def test_the_order_is_seen_by_everybody(vision: str) -> None:
    colours = seen(oklab_to_srgb(colour_map(17)), VISION[vision])
    assert np.diff(colours[:, 0]).min() > 1.5  # darker is always less
    assert np.linalg.norm(np.diff(colours, axis=0), axis=1).min() > 4  # seen at a glance


def test_equal_steps_look_equal() -> None:
    colours = oklab_to_srgb(colour_map(33))
    steps = np.linalg.norm(np.diff(srgb_to_oklab(colours), axis=0), axis=1)
    assert steps.max() / steps.min() < 1.25
    # The screen can show them: no value was clamped.
    assert np.abs(srgb_to_oklab(colours) - colour_map(33)).max() < 0.01


def test_kernels_are_white_to_dark() -> None:
    values = np.array([[0.0, 0.1], [0.2, 0.4]])
    lightness = srgb_to_oklab(kernel_shades(values))[..., 0]
    assert lightness == pytest.approx(1 - 0.72 * values / 0.4, abs=0.01)
    assert (kernel_shades(values)[0, 0] == 255).all()
    assert (kernel_shades(values / 2, peak=0.4)[1, 1] == kernel_shades(values)[1, 0]).all()
    assert (kernel_shades(0 * values) == 255).all()


def test_oklab_and_srgb_are_inverse() -> None:
    levels = np.arange(0, 256, 15)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3).astype(np.uint8)
    assert np.abs(oklab_to_srgb(srgb_to_oklab(cube)).astype(int) - cube).max() <= 1
    white = srgb_to_oklab(np.array([[255, 255, 255]], np.uint8))
    assert white[0] == pytest.approx([1, 0, 0], abs=1e-3)
