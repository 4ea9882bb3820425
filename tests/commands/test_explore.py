"""`manet explore`: the content of the page. tests/browser tests its behaviour."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageCms
from safetensors.torch import save_file

from manet_cli.degradations.kernel_shape import kernel_shapes
from manet_cli.models import BlindConfig, BlindModel, MANetConfig, RRDBSFTConfig
from tests.commands.conftest import Manet, texture

EXAMPLE = Path(__file__).parents[2] / "examples" / "chelsea_small.png"
COMMON = ("--device", "cpu", "--precision", "fp32")
HOSTILE = "<img src=x onerror=alert(1)>&amp;\"'$data</script>.png".replace("/", "\N{DIVISION SLASH}")


class Page(HTMLParser):
    """A page, parsed as in a browser."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.bytes = path.read_bytes()
        self._open = ""
        self.feed(self.bytes.decode("utf-8"))
        self.close()
        self.style = self.texts["style"][0]
        data, self.script = self.texts["script"]
        self.data: dict[str, Any] = json.loads(data)
        self.basis = np.frombuffer(base64.b64decode(self.data["basis"]), "<f4").reshape(-1, 441).copy()
        self.pictures = {
            attributes["id"]: Image.open(
                io.BytesIO(base64.b64decode((attributes["src"] or "").partition("base64,")[2]))
            )
            for tag, attributes in self.tags
            if tag == "img"
        }
        self.before, self.after = self.pictures["before"], self.pictures["after"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open, []).append(data)

    @property
    def planes(self) -> npt.NDArray[np.float64]:
        """The code, sigma_x, sigma_y, theta and flatness of every place, (L + 4, rows, columns)."""
        data = self.data
        raw = np.frombuffer(base64.b64decode(data["planes"]), np.uint8)
        planes = raw.reshape(len(data["low"]), data["rows"], data["columns"])
        low, unit = (np.array(data[name])[:, None, None] for name in ("low", "unit"))
        return np.asarray(low + unit * planes, np.float64)

    @property
    def kernels(self) -> npt.NDArray[np.float64]:
        """The kernels as the page decodes them, (rows, columns, 21, 21)."""
        return rebuilt(np.moveaxis(self.planes[:-4], 0, -1), self.basis)


def rebuilt(codes: npt.NDArray[np.float64], basis: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Kernels (h, w, 21, 21) of codes (h, w, L)."""
    kernels = np.maximum(codes @ basis[:-1] + basis[-1], 0)
    kernels /= kernels.sum(axis=-1, keepdims=True)
    return np.asarray(kernels.reshape(*kernels.shape[:2], 21, 21), np.float64)


def kernel_decibels(
    kernels: npt.NDArray[np.float64], others: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    return np.asarray(-10 * np.log10(((kernels - others) ** 2).mean(axis=(2, 3))), np.float64)


def write_model(path: Path, scale: int) -> Path:
    """Small weights of drawn numbers."""
    torch.manual_seed(0)
    shape = RRDBSFTConfig(scale=scale, features=6, blocks=1, growth=4, transform_width=5)
    model = BlindModel(BlindConfig(MANetConfig(channels=(8, 12)), shape))
    assert model.kernel_code is not None
    model.kernel_code.basis.normal_()
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_model(tmp_path / "small.safetensors", scale=2)


def test_the_page_holds_what_the_other_commands_give(manet: Manet, tmp_path: Path) -> None:
    folder, photo = tmp_path, tmp_path / "photo.png"
    shutil.copy(EXAMPLE, photo)
    (told,) = manet("explore", photo, *COMMON, "--json").json
    manet("kernels", photo, *COMMON, "--dtype", "float32")
    manet("upscale", photo, *COMMON)
    page = Page(folder / "photo_x4_explore.html")

    # As docs/explore.md says of this photo.
    kernels = np.load(folder / "photo_x4_kernels.npy")
    errors = np.abs(page.kernels - kernels)
    assert errors[::2, ::2].max() == pytest.approx(told["largest_error"], rel=0.01)
    assert errors.max() < 0.002
    assert kernels.max() > 0.05
    decibels = kernel_decibels(page.kernels, kernels)
    assert decibels[::2, ::2].mean() == pytest.approx(told["kernel_psnr"], abs=0.01)
    assert decibels.mean() > 80
    assert decibels.min() > 65
    exact = rebuilt(kernels.reshape(75, 112, 441) @ np.linalg.pinv(page.basis[:-1]), page.basis)
    assert decibels.mean() > kernel_decibels(exact, kernels).mean() - 0.3
    page.basis[-1] = 0
    assert 45 < kernel_decibels(page.kernels, kernels).mean() < 55

    shapes = kernel_shapes(torch.from_numpy(kernels), 4)
    sigma_x, sigma_y, theta, flat = page.planes[-4:]
    for found, expected, unit in zip((sigma_x, sigma_y), shapes, page.data["unit"][-4:], strict=False):
        assert np.abs(found - expected.numpy()).max() <= 0.51 * unit
        assert unit < 0.05
    turned = np.abs(theta - shapes.theta.numpy())
    assert np.minimum(turned, 180 - turned).max() < 0.36
    assert 0 < flat.mean() < 0.1

    with Image.open(folder / "photo_x4.png") as upscaled, Image.open(photo) as original:
        assert np.array_equal(np.asarray(page.after), np.asarray(upscaled))
        bicubic = original.resize(upscaled.size, Image.Resampling.BICUBIC)
        assert np.array_equal(np.asarray(page.before), np.asarray(bicubic))
    assert told.pop("seconds") > 0
    assert told == {
        "input": str(photo),
        "output": str(folder / "photo_x4_explore.html"),
        "status": "done",
        "scale": 4,
        "width": 448,
        "height": 300,
        "crop": [0, 0, 112, 75],
        "step": 1,
        "kernel_psnr": told["kernel_psnr"],
        "largest_error": told["largest_error"],
        "bytes": len(page.bytes),
        "error": None,
    }
    assert f"{told['kernel_psnr']:.1f} dB" in page.bytes.decode()


def test_a_part_is_as_in_the_whole(manet: Manet, tmp_path: Path, small: Path) -> None:
    picture = texture(90, 140)
    picture[40:60, 70:90] = 77
    Image.fromarray(picture).save(tmp_path / "a.png")
    for name, more in (("whole", ()), ("part", ("--crop", "61,33,40,35"))):
        command = ("explore", tmp_path / "a.png", "--model", small, *COMMON, *more)
        assert manet(*command, "-o", tmp_path / f"{name}.html").code == 0
    whole, part = Page(tmp_path / "whole.html"), Page(tmp_path / "part.html")
    here = (slice(33, 68), slice(61, 101))
    assert (part.data["left"], part.data["top"], part.data["width"]) == (61, 33, 40)
    units = np.array(part.data["unit"])[:, None, None] + np.array(whole.data["unit"])[:, None, None]
    assert (np.abs(part.planes - whole.planes[:, here[0], here[1]])[:-2] <= 0.51 * units[:-2] + 1e-6).all()
    assert np.array_equal(part.planes[-1], whole.planes[-1][here])
    assert 0 < part.planes[-1].mean() < 0.5
    box = (122, 66, 202, 136)
    assert np.array_equal(np.asarray(part.before), np.asarray(whole.before.crop(box)))
    difference = np.asarray(part.after).astype(int) - np.asarray(whole.after.crop(box))
    assert np.abs(difference).max() <= 1
    assert "40x35 pixels from (61, 33) of 140x90" in part.bytes.decode()


def test_nothing_of_the_user_is_markup(manet: Manet, photo: Path, small: Path) -> None:
    path = photo.rename(photo.with_name(HOSTILE))
    outcome = manet("explore", path, "--model", small, *COMMON)
    assert outcome.code == 0
    page = Page(Path(outcome.lines[0]))
    names = [tag for tag, _ in page.tags]
    assert (names.count("img"), names.count("script")) == (2, 2)
    assert page.texts["title"] == [f"{HOSTILE}: blur"]
    assert page.texts["bdi"] == [HOSTILE]
    assert page.data["name"] == HOSTILE
    assert json.loads(page.data["record"])["input"] == HOSTILE
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("src", "href", "action", "data", "srcset"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, name)


def test_the_policy_lets_only_the_pages_own_parts_run(manet: Manet, photo: Path, small: Path) -> None:
    page = Page(Path(manet("explore", photo, "--model", small, *COMMON).lines[0]))
    policies = [tag["content"] for name, tag in page.tags if "Content-Security-Policy" in tag.values()]
    rules = dict(rule.strip().split(" ", 1) for rule in (policies[0] or "").split(";"))
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": digest(page.style),
        "script-src": digest(page.script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    for part in (page.style, page.script):
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(|eval|innerHTML", part)
    first = [name for name, _ in page.tags].index("meta")
    assert "charset" in page.tags[first][1]
    assert "Content-Security-Policy" in page.tags[first + 1][1].values()


def digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def test_large_pictures_keep_fewer_kernels(
    manet: Manet, photo: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Page(Path(manet("explore", photo, "--model", small, *COMMON).lines[0]))
    monkeypatch.setattr("manet_cli.jobs.explore.data._MOST_PLACES", 100)
    (told,) = manet("explore", photo, "--model", small, *COMMON, "--overwrite", "--json").json
    assert told["step"] == 4
    page = Page(Path(told["output"]))
    assert page.planes.shape[1:] == (8, 11)
    assert "for every 4x4 pixels" in page.bytes.decode()
    assert np.abs(page.kernels - whole.kernels[::4, ::4]).max() <= told["largest_error"] * 2


def test_of_too_large_pictures_the_part_that_shows_its_blur(
    manet: Manet, tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manet_cli.jobs.explore.job.MOST_PIXELS", 2 * 2 * 60 * 40)
    for name, (row, column) in {"a": (12, 170), "b": (100, 24)}.items():
        picture = np.full((160, 240, 3), 90, np.uint8)
        picture[row : row + 40, column : column + 60] = texture(40, 60)
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
        outcome = manet("explore", tmp_path / f"{name}.png", "--model", small, *COMMON, "--json")
        assert outcome.code == 0
        left, top, width, height = outcome.json[0]["crop"]
        assert (width, height) == (60, 40)
        assert abs(left - column) <= 8
        assert abs(top - row) <= 8
        assert f"from ({left}, {top}) of {name}.png" in outcome.stderr
        assert "choose another part with --crop X,Y,W,H" in outcome.stderr
        overview = Page(tmp_path / f"{name}_x2_explore.html").pictures["overview"]
        assert overview.size == (240, 160)
        marked = np.asarray(overview.convert("RGB")).astype(int)
        orange = np.argwhere(np.abs(marked - (0xD5, 0x5E, 0)).max(axis=2) < 3)
        assert np.abs(orange.min(axis=0) - (top, left)).max() <= 3
        assert np.abs(orange.max(axis=0) - (top + 40, left + 60)).max() <= 3


@pytest.mark.parametrize(("height", "width"), [(3000, 7), (7, 3000), (61, 63), (9, 9)])
def test_a_part_lies_inside_whatever_the_shape(
    manet: Manet, tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch, height: int, width: int
) -> None:
    monkeypatch.setattr("manet_cli.jobs.explore.job.MOST_PIXELS", 300)
    Image.fromarray(texture(height, width)).save(tmp_path / "a.png")
    (told,) = manet("explore", tmp_path / "a.png", "--model", small, *COMMON, "--json").json
    left, top, wide, high = told["crop"]
    assert (told["status"], wide * high <= 75) == ("done", True)
    assert 0 <= left <= width - wide
    assert 0 <= top <= height - high


def test_too_large_parts_are_refused_with_one_that_fits(
    manet: Manet, photo: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manet_cli.jobs.explore.job.MOST_PIXELS", 2_000)
    command = ("explore", photo, "--model", small, *COMMON)
    outcome = manet(*command, "--crop", "0,0,41,30")
    assert outcome.code == 1
    assert "82x60 pixels" in outcome.stderr
    (part,) = re.findall(r"such as (--crop [\d,]+)", outcome.stderr)
    assert sorted(os.listdir(photo.parent)) == ["photo.png", "small.safetensors"]
    (told,) = manet(*command, *part.split(), "--json").json
    assert 1_500 < told["width"] * told["height"] <= 2_000
    monkeypatch.setattr("manet_cli.jobs.explore.job._LONGEST_SIDE", 50)
    monkeypatch.setattr("manet_cli.jobs.explore.job.MOST_PIXELS", 8_000_000)
    outcome = manet(*command, "--overwrite", "--crop", "0,0,41,30")
    assert "--crop 8,2,25,25" in outcome.stderr


def test_two_megapixels_of_noise_fit_in_15_megabytes(manet: Manet, tmp_path: Path) -> None:
    model = write_model(tmp_path / "small.safetensors", scale=4)
    # A quarter of them: the size of a page grows with its pixels.
    noise = np.random.default_rng(0).integers(0, 256, (153, 204, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    (told,) = manet("explore", tmp_path / "noise.png", "--model", model, *COMMON, "--json").json
    assert (told["width"] * told["height"], told["step"]) == (204 * 153 * 16, 1)
    assert 4 * told["bytes"] < 15e6


def test_pictures_of_every_kind(manet: Manet, tmp_path: Path, small: Path) -> None:
    rgb = texture(20, 25)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    alpha = np.tile(np.arange(25, dtype=np.uint8) * 10, (20, 1))
    pictures: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "profile": (Image.fromarray(rgb), {"icc_profile": profile}),
        "alpha": (Image.fromarray(np.dstack([rgb, alpha])), {}),
        "grey": (Image.fromarray(rgb[..., 0]), {"icc_profile": profile}),
        "grey16": (Image.fromarray(rgb[..., 0].astype(np.uint16) * 257), {}),
        "tiny": (Image.fromarray(rgb[:1, :1]), {}),
        "flat": (Image.new("RGB", (20, 10), "tan"), {}),
    }
    pages = {}
    for name, (picture, options) in pictures.items():
        picture.save(tmp_path / f"{name}.png", **options)
        outcome = manet("explore", tmp_path / f"{name}.png", "--model", small, *COMMON)
        assert outcome.code == 0, outcome.stderr
        pages[name] = Page(Path(outcome.lines[0]))
        assert pages[name].after.size == (picture.width * 2, picture.height * 2)
        assert np.isfinite(pages[name].kernels).all()
    assert pages["profile"].after.info["icc_profile"] == profile
    assert "icc_profile" not in pages["grey"].after.info
    assert (pages["alpha"].before.mode, pages["alpha"].after.mode) == ("RGBA", "RGBA")
    assert pages["flat"].planes[-1].all()
    grey, grey16 = (np.asarray(pages[name].after).astype(int) for name in ("grey", "grey16"))
    assert np.abs(grey - grey16).max() <= 1


def test_a_page_is_made_once(manet: Manet, photo: Path, small: Path) -> None:
    out = photo.parent / "below" / "page.htm"
    command = ("explore", photo, "--model", small, *COMMON, "-o", out)
    assert manet(*command, "-q").stderr == ""
    first = out.read_bytes()
    assert str(photo.parent).encode() not in first
    again = manet(*command)
    assert (again.code, again.stdout, again.stderr) == (0, "", f"{out}: made already, skipped\n")
    skipped = manet(*command, "--json").json[0]
    assert (skipped["status"], skipped["width"], skipped["crop"]) == ("skipped", 82, [0, 0, 41, 30])
    other = manet(*command, "--crop", "0,0,20,20")
    assert (other.code, other.stdout) == (1, "")
    assert "was made with other settings (crop as by default, not 0,0,20,20)" in other.stderr
    assert "--overwrite" in other.stderr
    for content in (b"other", b"", first[:-9]):  # the last is cut off
        out.write_bytes(content)
        assert manet(*command).code == 1
        assert out.read_bytes() == content
    assert manet(*command, "--overwrite").code == 0
    assert out.read_bytes() == first
    assert os.listdir(out.parent) == ["page.htm"]


def test_a_page_says_how_it_was_made(manet: Manet, photo: Path, small: Path) -> None:
    out = photo.with_suffix(".html")
    assert manet("explore", photo, "--model", small, *COMMON, "--crop", "1,2,20,18", "-o", out).code == 0
    command = manet("replay", out, "--model", small).stdout.split()
    first = out.read_bytes()
    assert manet(*command[1:], "--device", "cpu", "--overwrite").code == 0
    assert out.read_bytes() == first
    refused = manet("replay", out, "--model", small, "-o", photo.with_suffix(".jpg"))
    assert "FILE.html" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["missing.png"], 1, "missing.png"),
        (["photo.png", "-o", "page.pdf"], 2, "written as .html"),
        (["photo.png", "-o", "below.html"], 1, "is a folder"),
        (["photo.png", "-o", "photo.html", "--overwrite"], 1, "never overwritten"),
        ([""], 1, "is not a file"),
        (["x" * 247 + ".png"], 1, "shorter"),
        (["photo.png", "--max-pixels", "1000"], 1, "--max-pixels"),
        (["photo.png", "--crop", "1,2,3"], 2, "expected X,Y,W,H"),
        (["photo.png", "--crop", "0,0,42,30"], 1, "41x30"),
        (["photo.png", "-s", "3"], 2, "x2"),
        (["photo.png", "--tile", "3"], 2, "--tile 3"),
    ],
)
def test_errors(
    manet: Manet,
    photo: Path,
    small: Path,
    arguments: list[str],
    code: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(photo.parent)
    Path("below.html").mkdir()
    os.link("photo.png", "photo.html")
    os.link("photo.png", "x" * 247 + ".png")
    before = sorted(os.listdir())
    outcome = manet("explore", *arguments, "--model", small, "--device", "cpu")
    assert (outcome.code, outcome.stdout) == (code, "")
    assert sentence in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert sorted(os.listdir()) == before
