from __future__ import annotations

import numpy as np

from manet_cli.images import premultiply, to_float, to_integer, unpremultiply


def test_every_8_bit_integer_survives_the_way_to_float_and_back() -> None:
    values = np.arange(256).astype(np.uint8)
    floats = to_float(values)
    assert floats.dtype == np.float32
    assert (floats[0], floats[-1]) == (0.0, 1.0)
    np.testing.assert_array_equal(to_integer(floats, np.uint8), values)


def test_every_16_bit_integer_survives_the_way_to_float_and_back() -> None:
    values = np.arange(65536).astype(np.uint16)
    floats = to_float(values)
    assert floats.dtype == np.float32
    assert (floats[0], floats[-1]) == (0.0, 1.0)
    np.testing.assert_array_equal(to_integer(floats, np.uint16), values)


def test_integers_are_clamped_and_rounded_half_to_even() -> None:
    values = np.array([-1.0, 2.0, 0.5 / 255, 1.5 / 255, 2.4 / 255, np.inf])
    np.testing.assert_array_equal(to_integer(values, np.uint8), [0, 255, 0, 2, 2, 255])


def test_premultiplied_colours_are_the_product() -> None:
    pixels = np.array([[[255, 128, 0], [255, 255, 255]]], np.uint8)
    alpha = np.array([[51, 0]], np.uint8)
    expected = [[[0.2, 0.2 * 128 / 255, 0.0], [0.0, 0.0, 0.0]]]
    result = premultiply(pixels, alpha)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-7)


def test_straight_colours_come_back_wherever_there_is_alpha() -> None:
    generator = np.random.default_rng(1)
    pixels = generator.integers(0, 256, (9, 7, 3)).astype(np.uint8)
    alpha = generator.integers(1, 256, (9, 7)).astype(np.uint8)
    straight = unpremultiply(premultiply(pixels, alpha), to_float(alpha))
    np.testing.assert_array_equal(to_integer(straight, np.uint8), pixels)


def test_colour_without_alpha_is_zero_and_the_rest_is_clamped() -> None:
    premultiplied = np.array([[[0.5], [0.5], [-0.1], [0.3]]])
    alpha = np.array([[0.0, 0.25, 0.5, -0.1]])
    np.testing.assert_array_equal(unpremultiply(premultiplied, alpha), [[[0.0], [1.0], [0.0], [0.0]]])
