"""Colours named by numbers, and profiles that do not fit the pixels."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from manet_cli.errors import InputError
from manet_cli.images import (
    FORMATS,
    Metadata,
    Photo,
    format_by_name,
    profiles,
    read_header,
    read_photo,
    transfer_curves,
    write_photo,
)

from .conftest import encode, pixels, png

P3 = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.3127, 0.329))
BT2020 = ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046), (0.3127, 0.329))
COLOURS = np.array([[(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 120, 60), (128, 128, 128)]], np.uint8)
SRGB = ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06), (0.3127, 0.329))


def cicp_png(primaries: int, transfer: int, full: int = 1, *extra: tuple[bytes, bytes]) -> bytes:
    rows = [COLOURS.tobytes()]
    return png(8, 2, rows, 5, *extra, (b"cICP", bytes((primaries, transfer, 0, full))))


def nclx_avif(primaries: int, transfer: int, **options: Any) -> bytes:  # noqa: ANN401
    wide = np.repeat(np.repeat(COLOURS, 16, 0), 16, 1)
    data = encode(Image.fromarray(wide), "AVIF", quality=100, subsampling="4:4:4", **options)
    start = data.index(b"colrnclx") + 8
    return data[:start] + struct.pack(">HH", primaries, transfer) + data[start + 4 :]


def light(values: npt.NDArray[Any], corners: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401
    """XYZ of numbers with sRGB's curve and these corners, by the definition."""
    share = values / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    xyz = np.array([(x / y, 1, (1 - x - y) / y) for x, y in corners]).T
    matrix = xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])
    return np.asarray(linear @ matrix.T)


def in_srgb(photo: Photo) -> npt.NDArray[np.float64]:
    """The light of a photo's pixels by its profile, from a colour manager."""
    assert photo.metadata.icc_profile is not None
    lab = ImageCms.createProfile("LAB")
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(photo.metadata.icc_profile)), lab, "RGB", "LAB"
    )
    image = ImageCms.applyTransform(Image.fromarray(photo.pixels), transform)
    assert image is not None
    bands = [np.asarray(image.getchannel(band)).astype(float) for band in range(3)]
    return np.stack((bands[0] * 100 / 255, bands[1] - 128, bands[2] - 128), axis=-1)


def lab_of(values: npt.NDArray[Any], corners: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401
    """CIE Lab by the definition, adapted to D50."""
    bradford = np.array(((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)))
    white = np.array([corners[3][0] / corners[3][1], 1, (1 - sum(corners[3])) / corners[3][1]])
    d50 = np.array((0.9642, 1, 0.8249))
    cone = (light(values, corners) @ bradford.T) * (bradford @ d50) / (bradford @ white)
    ratio = cone @ np.linalg.inv(bradford).T / d50
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), axis=-1)


@pytest.mark.parametrize(("number", "corners"), [(12, P3), (9, BT2020)])
def test_numbers_become_a_profile_of_the_same_colours(number: int, corners: Any) -> None:  # noqa: ANN401
    for data in (cicp_png(number, 13), nclx_avif(number, 13)):
        photo = read_photo(data, "a")
        wanted = lab_of(photo.pixels, corners)
        far = np.abs(wanted).max(axis=-1) < 127  # beyond, 8 bits of Lab do not reach
        assert np.abs(in_srgb(photo) - wanted)[far].max() < 1.5
        assert far.sum() >= 3


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda entry: entry.name)
def test_colours_stay_right_in_every_format(
    fmt: Any,  # noqa: ANN401
    caplog: pytest.LogCaptureFixture,
) -> None:
    calm = np.full((32, 32, 3), (200, 120, 60), np.uint8)
    data = png(8, 2, [row.tobytes() for row in calm], 32, (b"cICP", bytes((12, 13, 0, 1))))
    photo = read_photo(data, "a")
    file = io.BytesIO()
    write_photo(photo, file, fmt, name="out")
    result = read_photo(file.getvalue(), "b")
    if result.metadata.icc_profile is None:
        assert fmt.name == "bmp"
        assert "out: BMP cannot store a colour profile; the colours are converted to sRGB" in caplog.text
    corners = SRGB if result.metadata.icc_profile is None else P3
    difference = lab_of(result.pixels, corners) - lab_of(calm, P3)
    assert np.linalg.norm(difference, axis=-1).mean() < 2
    if result.metadata.icc_profile is not None:
        assert result.metadata.icc_profile == photo.metadata.icc_profile


def test_a_profile_near_srgb_changes_no_pixel_of_a_bmp(caplog: pytest.LogCaptureFixture) -> None:
    for profile, channels in ((profiles.srgb(), 3), (profiles.grey(profiles.SRGB_CURVE), 1)):
        file = io.BytesIO()
        write_photo(Photo(pixels(channels), None, Metadata(icc_profile=profile)), file, format_by_name("bmp"))
        np.testing.assert_array_equal(read_photo(file.getvalue(), "b").pixels, pixels(channels))
    assert not caplog.records


@pytest.mark.parametrize(("primaries", "transfer"), [(1, 13), (2, 2), (1, 1), (1, 6)])
def test_srgb_by_numbers_needs_no_profile(primaries: int, transfer: int) -> None:
    for data in (cicp_png(primaries, transfer), nclx_avif(primaries, transfer)):
        assert read_photo(data, "a").metadata.icc_profile is None


@pytest.mark.parametrize(
    ("primaries", "transfer", "full", "words"),
    [
        (9, 16, 1, r"in HDR colours \(PQ\)"),
        (9, 18, 1, r"in HDR colours \(HLG\)"),
        (1, 16, 1, r"in HDR colours \(PQ\)"),
        (10, 8, 1, "in unusual colours"),
        (1, 9, 1, "in unusual colours"),
        (12, 13, 0, "in colours of video range"),
    ],
)
def test_what_cannot_be_kept_is_refused(primaries: int, transfer: int, full: int, words: str) -> None:
    files = [cicp_png(primaries, transfer, full)]
    if full:  # of AVIF the decoder applies the range
        files.append(nclx_avif(primaries, transfer))
    for data in files:
        for read in (read_header, read_photo):
            with pytest.raises(InputError, match=rf"^a is {words}.*convert it to sRGB"):
                read(data, "a")


def test_linear_light_by_numbers_is_recoded_for_the_networks() -> None:
    profile = read_photo(cicp_png(9, 8), "a").metadata.icc_profile
    curves = transfer_curves(profile, 3)
    assert curves is not None
    assert float(curves.to_srgb(np.full((1, 3), 0.2))[0, 0]) == pytest.approx(0.4845, abs=0.002)
    assert transfer_curves(read_photo(cicp_png(12, 13), "a").metadata.icc_profile, 3) is None


def test_the_standards_rank_numbers_and_profiles() -> None:
    other = profiles.coloured(profiles.Curve(1.8), SRGB)
    named = (b"iCCP", b"x\0\0" + zlib.compress(other))
    by_numbers = read_photo(cicp_png(12, 13), "a").metadata.icc_profile
    assert read_photo(cicp_png(12, 13, 1, named), "a").metadata.icc_profile == by_numbers
    if b"colrprof" in (data := nclx_avif(12, 13, icc_profile=other)):
        assert read_photo(data, "a").metadata.icc_profile == other


def test_grey_pixels_get_a_grey_profile_of_the_same_curve(caplog: pytest.LogCaptureFixture) -> None:
    for curve in (profiles.Curve(1.8), profiles.SRGB_CURVE):
        profile = profiles.coloured(curve, P3)
        data = encode(Image.fromarray(pixels(1)[..., 0]), "JPEG", icc_profile=profile)
        caplog.clear()
        found = read_photo(data, "a").metadata.icc_profile
        assert found == profiles.grey(curve)
        assert "a: its profile is for RGB" in caplog.text
        here, there = transfer_curves(found, 1), transfer_curves(profile, 3)
        assert (here is None) == (there is None)
        if here and there:
            np.testing.assert_array_equal(here.nodes[0], there.nodes[1])
        ImageCms.getProfileName(ImageCms.ImageCmsProfile(io.BytesIO(found)))


@pytest.mark.parametrize(
    ("channels", "space"),
    [(1, b"CMYK"), (1, b"RGB "), (1, b"Lab "), (3, b"GRAY"), (3, b"CMYK"), (3, b"Lab ")],
)
@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF"])
def test_profiles_for_other_pixels_go_and_it_is_said(
    name: str, channels: int, space: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    values = pixels(channels)
    image = Image.fromarray(values[..., 0] if channels == 1 else values)
    data = encode(image, name, icc_profile=bytes(16) + space + bytes(120))
    assert read_photo(data, "a").metadata.icc_profile is None
    assert "a: its colour profile does not fit its" in caplog.text


def test_grey_that_is_written_as_rgb_keeps_the_meaning_of_its_numbers() -> None:
    photo = Photo(pixels(1), None, Metadata(icc_profile=profiles.grey(profiles.Curve(1.0))))
    file = io.BytesIO()
    write_photo(photo, file, format_by_name("webp"))
    found = read_photo(file.getvalue(), "a").metadata.icc_profile
    assert found == profiles.coloured(profiles.Curve(1.0), SRGB)
