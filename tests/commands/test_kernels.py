"""`manet kernels`: arrays on disk, pictures of the blur, and the summary."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from manet_cli.degradations.kernel_shape import kernel_shapes
from manet_cli.weights import file_sha256, pair_digest
from tests.commands.conftest import Manet, texture


def test_without_options_a_picture_is_drawn(manet: Manet, photo: Path) -> None:
    outcome = manet("kernels", photo)
    output = photo.with_name("photo_x4_kernels.png")
    assert (outcome.code, outcome.stdout) == (0, f"{output}\n")
    assert "Blur size" in outcome.stderr
    assert sorted(os.listdir(photo.parent)) == ["photo.png", "photo_x4_kernels.png"]
    drawn = output.read_bytes()
    again = manet("kernels", photo)
    assert (again.code, again.stdout, output.read_bytes()) == (0, f"{output}\n", drawn)
    assert "made already, skipped" in again.stderr
    output.write_bytes(drawn[:-100])
    outcome = manet("kernels", photo)
    assert (outcome.code, output.read_bytes()) == (0, drawn)
    assert "cut off before its end: it is made again" in outcome.stderr
    assert manet("kernels", photo, "--precision", "fp32").code == 1
    assert output.read_bytes() == drawn
    output.write_bytes(b"precious")
    outcome = manet("kernels", photo)
    assert (outcome.code, output.read_bytes()) == (1, b"precious")
    assert "--overwrite" in outcome.stderr


def test_the_picture_is_no_photo_and_can_be_replayed(manet: Manet, photo: Path) -> None:
    manet("kernels", photo, "--precision", "fp32", "--denoise", "0")
    output = photo.with_name("photo_x4_kernels.png")
    drawn = output.read_bytes()
    for run in (["upscale", photo.parent], ["upscale", photo, output]):
        assert [Path(line["input"]).name for line in manet(*run, "--dry-run", "--json").json] == ["photo.png"]
    words = shlex.split(manet("replay", output, "-o", photo.with_name("again.png")).stdout)
    assert words[:2] == ["manet", "kernels"]
    assert manet(*words[1:]).code == 0
    assert photo.with_name("again.png").read_bytes() == drawn


def test_the_array(manet: Manet, photo: Path) -> None:
    outcome = manet("kernels", photo, "--dtype", "float16")
    output = photo.with_name("photo_x4_kernels.npy")
    assert (outcome.code, outcome.stdout) == (0, f"{output}\n")
    assert "30x41x21x21 float16, 1.1 MB" in outcome.stderr
    kernels = np.load(output, mmap_mode="r")
    assert (kernels.shape, kernels.dtype) == ((30, 41, 21, 21), np.float16)
    assert np.abs(kernels.astype(np.float64).sum(axis=(2, 3)) - 1).max() < 2e-3
    # The published placement leaves the last s - 1 rows and columns (nearly) empty and is row-major.
    assert kernels[..., :18, :18].sum(axis=(2, 3), dtype=np.float64).min() > 0.98


def test_stride_and_dtype(manet: Manet, photo: Path) -> None:
    whole, few = photo.with_name("whole.npy"), photo.with_name("few.npy")
    manet("kernels", photo, "--out", whole, "--dtype", "float32")
    (line,) = manet(
        "kernels", photo, "--out", few, "--dtype", "float32", "--stride", "3", "--tile", "16", "--json"
    ).json
    assert line.pop("seconds") > 0
    assert line.pop("summary")["pixels"] == 30 * 41
    assert line == {
        "input": str(photo),
        "output": str(few),
        "status": "done",
        "scale": 4,
        "content": "kernels",
        "shape": [10, 14, 21, 21],
        "dtype": "float32",
        "bytes": 10 * 14 * 441 * 4,
        "error": None,
    }
    assert np.load(few).dtype == np.float32
    assert np.allclose(np.load(few), np.load(whole)[::3, ::3], atol=1e-5)
    assert np.abs(np.load(whole).sum(axis=(2, 3)) - 1).max() < 1e-5


def test_orientation_is_applied(manet: Manet, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(texture(20, 30)).save(tmp_path / "turned.png", exif=exif)
    manet("kernels", tmp_path / "turned.png", "--stride", "5", "--out", tmp_path / "k.npy")
    assert np.load(tmp_path / "k.npy").shape == (6, 4, 21, 21)


def test_size_is_refused_before_it_is_written(manet: Manet, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("L", (1800, 1400)).save(path)
    outcome = manet("kernels", path, "--json")
    assert outcome.code == 1
    assert "--stride" in outcome.stderr
    assert "--large" in outcome.stderr
    assert outcome.json[0]["status"] == "failed"
    assert os.listdir(tmp_path) == ["large.png"]


def test_what_exists_is_kept(manet: Manet, photo: Path) -> None:
    output = photo.with_name("k.npy")
    output.write_bytes(b"precious")
    assert manet("kernels", photo, "--out", output).code == 1
    assert output.read_bytes() == b"precious"
    assert manet("kernels", photo, "--out", output, "--overwrite").code == 0
    assert np.load(output).shape == (30, 41, 21, 21)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["missing.png"], 1),
        ([""], 1),
        (["x" * 247 + ".png"], 1),
        (["."], 1),
        (["photo.png", "--out", "k.txt"], 2),
        (["photo.png", "--picture", "p.jpg"], 2),
        (["photo.png", "--codes", "--params"], 2),
        (["photo.png", "--codes", "--out", "k.npy"], 2),
        (["photo.png", "--params", "--dtype", "float16"], 2),
        (["photo.png", "--picture", "photo.png", "--overwrite"], 1),
        (["photo.png", "--picture", "below"], 2),
        (["photo.png", "--picture", "below/there.npy/p.png"], 1),
        (["photo.png", "--out", "below/there.npy/k.npy"], 1),
        (["photo.png", "--stride", "0"], 2),
        (["photo.png", "--dtype", "int8"], 2),
        (["photo.png", "-s", "3", "--model", "clean_x4"], 2),
    ],
)
def test_errors(
    manet: Manet, photo: Path, arguments: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    Path("below").mkdir()
    Path("below/there.npy").touch()
    os.link("photo.png", "x" * 247 + ".png")
    outcome = manet("kernels", *arguments)
    assert (outcome.code, outcome.stdout) == (code, "")
    assert "Traceback" not in outcome.stderr
    assert "This is a bug" not in outcome.stderr
    assert sorted(os.listdir()) == ["below", "photo.png", "x" * 247 + ".png"]


def test_npz_tells_where_it_comes_from(manet: Manet, photo: Path) -> None:
    manet("kernels", photo, "--stride", "4")
    output = photo.with_name("k.npz")
    assert manet("kernels", photo, "--stride", "4", "--out", output).code == 0
    with np.load(output, allow_pickle=False) as arrays:
        assert np.array_equal(arrays["kernels"], np.load(photo.with_name("photo_x4_kernels.npy")))
        assert [int(arrays[name]) for name in ("scale", "stride", "height", "width")] == [4, 4, 30, 41]
        assert (str(arrays["input"]), str(arrays["model"])) == ("photo.png", "default")
        assert str(arrays["input_sha256"]) == file_sha256(photo)
        assert str(arrays["weights_sha256"]) == pair_digest(4)
        assert str(arrays["tool"]).startswith("manet_cli ")
    written = output.read_bytes()
    manet("kernels", photo, "--stride", "4", "--out", output, "--overwrite")
    assert output.read_bytes() == written


def test_codes_rebuild_the_kernels(manet: Manet, photo: Path) -> None:
    kernels, codes = photo.with_name("k.npy"), photo.with_name("photo_x4_codes.npz")
    manet("kernels", photo, "--out", kernels, "--dtype", "float32")
    (line,) = manet("kernels", photo, "--codes", "--json").json
    assert (line["output"], line["content"], line["shape"]) == (str(codes), "codes", [30, 41, 15])
    with np.load(codes, allow_pickle=False) as arrays:
        assert (arrays["codes"].dtype, arrays["basis"].shape) == (np.float16, (441, 15))
        rebuilt = arrays["codes"].astype(np.float32) @ arrays["basis"].T + arrays["offset"]
    true = np.load(kernels).reshape(30, 41, 441)
    assert np.sqrt(np.mean((rebuilt - true) ** 2)) < 3e-4  # of a peak of about 0.05


def test_params_are_the_shapes_of_the_kernels(manet: Manet, photo: Path) -> None:
    kernels, params = photo.with_name("k.npy"), photo.with_name("photo_x4_params.npy")
    manet("kernels", photo, "--out", kernels, "--dtype", "float32", "--stride", "3")
    assert manet("kernels", photo, "--params", "--stride", "3", "--tile", "16").code == 0
    found = np.load(params)
    expected = torch.stack(tuple(kernel_shapes(torch.from_numpy(np.load(kernels)), 4)), dim=-1).numpy()
    assert (found.shape, found.dtype) == ((10, 14, 3), np.float32)
    assert np.allclose(found[..., :2], expected[..., :2], rtol=1e-3)
    turned = (found[..., 2] - expected[..., 2] + 90) % 180 - 90
    assert np.abs(turned)[expected[..., 0] > 1.2 * expected[..., 1]].max() < 0.5
    manet("kernels", photo, "--params", "--stride", "3", "--tile", "16", "--out", params.with_suffix(".npz"))
    with np.load(params.with_suffix(".npz"), allow_pickle=False) as arrays:
        assert np.array_equal(arrays["params"], found)


def test_a_photo_whose_blur_is_known(manet: Manet, tmp_path: Path) -> None:
    # Blurred once with variances 7 and 2 HR pixels squared at 30 degrees.
    photo = Path(__file__).parents[2] / "examples/chelsea_small.png"
    picture = tmp_path / "new" / "blur.png"
    outcome = manet("kernels", photo, "--picture", picture, "--json")
    (line,) = outcome.json
    assert (outcome.code, line["output"], line["picture"]) == (0, None, str(picture))
    assert "Blur size" in outcome.stderr
    summary = line["summary"]
    assert summary["blur_size"]["median"] == pytest.approx(14**0.25, rel=0.15)
    assert summary["anisotropy"]["median"] == pytest.approx((7 / 2) ** 0.5, rel=0.2)
    assert summary["angle"] == pytest.approx(30, abs=8)
    assert summary["angle_agreement"] > 0.7
    assert 0 < summary["flat_share"] < 0.1
    assert os.listdir(tmp_path / "new") == ["blur.png"]
    with Image.open(picture) as page:
        assert page.width == 1200


def test_summary_in_words(manet: Manet, photo: Path) -> None:
    outcome = manet("kernels", photo, "--summary", "-q")
    assert outcome.code == 0
    assert outcome.lines[0].startswith("Blur size ")
    assert outcome.stderr == ""
    assert os.listdir(photo.parent) == ["photo.png"]


def test_a_flat_picture(manet: Manet, tmp_path: Path) -> None:
    Image.new("RGB", (20, 12), "#888888").save(tmp_path / "flat.png")
    outcome = manet("kernels", tmp_path / "flat.png", "--json", "--picture", tmp_path / "blur.png")
    assert outcome.code == 0
    assert outcome.json[0]["summary"]["flat_share"] == 1
    assert outcome.json[0]["summary"]["blur_size"] is None
    assert "flat everywhere" in outcome.stderr


def test_array_and_picture_together(manet: Manet, photo: Path) -> None:
    array, picture = photo.with_name("k.npy"), photo.with_name("p.png")
    picture.write_bytes(b"precious")
    arguments = ("kernels", photo, "--out", array, "--picture", picture, "--stride", "9")
    assert manet(*arguments).code == 1
    assert picture.read_bytes() == b"precious"
    assert not array.exists()
    assert manet(*arguments, "--overwrite").lines == [str(array), str(picture)]
    assert np.load(array).shape == (4, 5, 21, 21)
    assert manet("kernels", photo, "--out", photo.with_name("x.npy"), "--codes", "--overwrite").code == 2


def test_a_link_to_the_input_is_the_input(manet: Manet, photo: Path) -> None:
    before = photo.read_bytes()
    os.link(photo, photo.with_name("link.png"))
    outcome = manet("kernels", photo, "--picture", photo.with_name("link.png"), "--overwrite")
    assert (outcome.code, photo.read_bytes()) == (1, before)
    assert "never overwritten" in outcome.stderr
