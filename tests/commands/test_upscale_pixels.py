"""`manet upscale`: the pixels, depth and metadata of results."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from manet_cli.images import (
    Metadata,
    Photo,
    format_by_name,
    read_photo,
    transfer_curves,
    write_photo,
)
from tests.commands.conftest import Manet, pixels, texture


def test_alpha(manet: Manet, tmp_path: Path) -> None:
    """Invisible colours must not bleed into visible ones, and flat areas of alpha stay flat."""
    rgba = np.zeros((24, 24, 4), np.uint8)
    rgba[..., :] = (0, 255, 0, 0)  # invisible green
    rgba[6:18, 6:18] = (200, 30, 30, 255)
    path = tmp_path / "sprite.png"
    Image.fromarray(rgba).save(path)
    assert manet("upscale", path).code == 0
    result = pixels(tmp_path / "sprite_x4.png")
    assert result.shape == (96, 96, 4)
    alpha = result[..., 3]
    assert (alpha[34:62, 34:62] == 255).all()
    assert (alpha[:14] == 0).all()
    visible = result[alpha > 128]
    assert visible[:, 1].max() < 90
    assert abs(visible[:, 0].mean() - 200) < 10
    opaque = tmp_path / "opaque.png"
    Image.fromarray(texture(20, 20)).convert("RGBA").save(opaque)
    plain = tmp_path / "plain.png"
    Image.fromarray(texture(20, 20)).save(plain)
    manet("upscale", opaque, plain)
    assert (pixels(tmp_path / "opaque_x4.png")[..., 3] == 255).all()
    assert (pixels(tmp_path / "opaque_x4.png")[..., :3] == pixels(tmp_path / "plain_x4.png")).all()


def test_grey_stays_grey_and_16_bits_stay(manet: Manet, tmp_path: Path) -> None:
    grey = texture(20, 25)[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert manet("upscale", tmp_path / "grey.png", tmp_path / "deep.png").code == 0
    eight, sixteen = pixels(tmp_path / "grey_x4.png"), pixels(tmp_path / "deep_x4.png")
    assert eight.shape == sixteen.shape == (80, 100)
    assert np.abs(sixteen / 257 - eight).max() <= 0.51
    assert len(np.unique(sixteen)) > 256


def test_16_bit_colours_and_alpha_stay(manet: Manet, tmp_path: Path) -> None:
    colours = texture(20, 25)
    alpha = texture(20, 25)[::-1, :, 1]
    for name, factor in (("eight", np.uint8(1)), ("sixteen", np.uint16(257))):
        photo = Photo(colours * factor, alpha * factor, Metadata())
        write_photo(photo, tmp_path / f"{name}.png", format_by_name("png"))
    assert manet("upscale", tmp_path / "eight.png", tmp_path / "sixteen.png", "--format", "tiff").code == 0
    eight, sixteen = (read_photo(tmp_path / f"{name}_x4.tif", name) for name in ("eight", "sixteen"))
    assert sixteen.alpha is not None
    assert eight.alpha is not None
    assert sixteen.header == replace(eight.header, bits=16)
    assert np.abs(sixteen.alpha / 257 - eight.alpha).max() <= 0.51
    visible = eight.alpha > 200  # nearly invisible pixels are divided by a rounded alpha
    assert np.abs(sixteen.pixels / 257 - eight.pixels)[visible].max() <= 1.2
    assert len(np.unique(sixteen.pixels)) > 256


def test_16_bits_become_8_where_that_is_asked_for(manet: Manet, tmp_path: Path) -> None:
    deep = texture(20, 25).astype(np.uint16) * 257
    write_photo(Photo(deep, None, Metadata()), tmp_path / "deep.png", format_by_name("png"))
    manet("upscale", tmp_path / "deep.png", "-o", tmp_path / "sixteen.png")
    sixteen = read_photo(tmp_path / "sixteen.png", "sixteen").pixels
    eight = ("--depth", "8", "-o", str(tmp_path / "eight.png"))
    runs: list[tuple[tuple[str, ...], str | None]] = [
        (("-o", f"{tmp_path}/deep.jpg"), "deep.png: reduced from 16 to 8 bits per channel: JPEG"),
        (("--format", "webp", "-o", f"{tmp_path}/w/"), "channel: WebP"),
        (eight, None),
        (("--depth", "8", "--size", "50x", "-o", f"{tmp_path}/small.png"), None),
    ]
    for options, said in runs:
        outcome = manet("upscale", tmp_path / "deep.png", *options)
        assert outcome.code == 0, outcome.stderr
        told = " ".join(outcome.stderr.split())
        assert "16 bits" not in told if said is None else said in told
        made = read_photo(Path(outcome.lines[0]), "made")
        assert made.header.bits == 8
        if made.width == 100:
            close = 0.51 if options[0] == "--depth" else 60
            assert np.abs(made.pixels - sixteen / 257).max() <= close
    again = manet("upscale", tmp_path / "deep.png", *eight)
    assert "made already, skipped" in again.stderr
    words = shlex.split(manet("replay", tmp_path / "eight.png").stdout)
    assert "--depth=8" in words
    plain = manet("upscale", tmp_path / "deep.png", "-o", tmp_path / "eight.png", "--overwrite")
    assert plain.code == 0
    assert read_photo(tmp_path / "eight.png", "made").header.bits == 16


def test_a_picture_in_linear_light_gives_the_same_picture(manet: Manet, tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    place = srgb.index(b"para" + bytes(4))
    linear = srgb[:place] + b"curv" + bytes(28) + srgb[place + 32 :]
    curves = transfer_curves(linear, 3)
    assert curves is not None
    plain = texture(20, 25).astype(np.uint16) * 257
    light = np.rint(curves.from_srgb(plain / 65_535) * 65_535).astype(np.uint16)
    photo = Photo(light, None, Metadata(icc_profile=linear))
    write_photo(photo, tmp_path / "linear.tif", format_by_name("tiff"))
    write_photo(Photo(plain, None, Metadata()), tmp_path / "plain.tif", format_by_name("tiff"))
    files = tmp_path / "linear.tif", tmp_path / "plain.tif"
    assert manet("upscale", *files, "--format", "tiff", "--precision", "fp32").code == 0
    expected, result = (read_photo(tmp_path / f"{name}_x4.tif", name) for name in ("plain", "linear"))
    assert result.metadata.icc_profile == linear
    seen = curves.to_srgb(result.pixels / 65_535) * 255
    assert np.abs(seen - expected.pixels / 257).max() < 0.3


def test_metadata_is_kept(manet: Manet, tmp_path: Path) -> None:
    path = tmp_path / "camera.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    Image.fromarray(texture(20, 30)).save(path, exif=exif, dpi=(300, 300), icc_profile=b"profile" * 20)
    assert manet("upscale", path, "-o", tmp_path / "out.jpg").code == 0
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.size == (80, 120), "turned upright"
        assert image.getexif()[0x0112] == 1
        assert image.getexif()[0x010F] == "Maker"
        assert image.info["icc_profile"] == b"profile" * 20
        assert image.info["dpi"] == (300, 300)


def test_tiles_do_not_show(manet: Manet, tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.fromarray(texture(20, 60)).save(path)
    common = ("upscale", path, "--precision", "fp32")
    manet(*common, "--tile", "0", "-o", tmp_path / "whole.png")
    manet(*common, "--tile", "32", "-o", tmp_path / "tiled.png")
    manet(*common, "--tile", "32", "--exact", "-o", tmp_path / "exact.png")
    whole = pixels(tmp_path / "whole.png")
    assert np.abs(pixels(tmp_path / "tiled.png") - whole).max() <= 1
    assert np.abs(pixels(tmp_path / "exact.png") - whole).max() <= 1
