"""``manet degrade``: outputs, their paths, and errors."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from manet_cli.degradations.gaussian import GaussianParameters
from manet_cli.degradations.protocol import Degradation
from manet_cli.evaluation.pictures import hr_tensor
from manet_cli.images import read_photo
from tests.commands.conftest import Manet, pixels, texture
from tests.guard import guarded

GOLDEN = Path(__file__).parents[1] / "golden" / "degradation.safetensors"
KERNEL = "5,1.5,40"


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_kernel(manet: Manet, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = manet("degrade", photo, "-o", out, "-s", "3", "--kernel", KERNEL)
    assert outcome.code == 0
    assert outcome.stderr == ""
    written = ["LR/photo.png", "HR/photo.png", "kernels/photo.npz", "kernels/photo.npy"]
    assert outcome.lines == [str(out / name) for name in written]
    assert files_below(out) == sorted(written)

    hr = pixels(out / "HR/photo.png")
    assert (hr == pixels(photo)[:30, :39]).all()
    degradation = Degradation(3, GaussianParameters.from_degrees(5, 1.5, 40))
    expected = degradation.apply(hr_tensor(read_photo(photo, "photo"), "photo"))
    lr = pixels(out / "LR/photo.png")
    assert (lr == np.rint(expected.lr[0].permute(1, 2, 0).numpy() * 255)).all()
    with np.load(out / "kernels/photo.npz", allow_pickle=False) as arrays:
        assert arrays["kernels"].shape == (1, 1, 21, 21)
        assert (arrays["kernels"] == expected.kernels.kernels.numpy()).all()
        assert arrays["parameters"] == pytest.approx(np.array([[[5, 1.5, 40]]]))
        assert int(arrays["scale"]) == 3
        assert (int(arrays["height"]), int(arrays["width"])) == hr.shape[:2]
        assert [str(arrays[name]) for name in ("noise", "sharpen", "jpeg")] == ["", "", ""]
        alone = np.load(out / "kernels/photo.npy", allow_pickle=False)
        assert alone.shape == (21, 21)
        assert (alone == arrays["kernels"][0, 0]).all()


@pytest.mark.parametrize("mode", [1, 2, 3, 4, 6])
def test_the_published_types(manet: Manet, tmp_path: Path, mode: int) -> None:
    golden = load_file(GOLDEN)
    Image.fromarray(golden["scene.hr"].numpy()).save(tmp_path / "scene.png")
    assert manet("degrade", tmp_path / "scene.png", "-o", tmp_path, "--mode", str(mode)).code == 0
    expected = golden[f"scene.x4.mode{mode}.lr_uint8"].numpy().astype(int)
    difference = np.abs(pixels(tmp_path / "LR/scene.png").astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.001
    assert not (tmp_path / "kernels/scene.npy").exists()
    with np.load(tmp_path / "kernels/scene.npz", allow_pickle=False) as arrays:
        parameters = arrays["parameters"].copy()
        parameters[..., 2] *= math.pi / 180
        assert parameters == pytest.approx(golden[f"scene.x4.mode{mode}.block_params"].numpy(), abs=1e-5)
        # The documented look-up of an LR pixel's kernel.
        i, j, scale, block = 25, 13, int(arrays["scale"]), int(arrays["block_size"])
        assert (i * scale // block, j * scale // block) == (2, 1)
        assert arrays["kernels"][i * scale // block, j * scale // block].sum() == pytest.approx(1, abs=1e-6)


def test_a_grid_has_a_folder_for_each_kernel(manet: Manet, photo: Path, tmp_path: Path) -> None:
    outcome = manet("degrade", photo, "-o", tmp_path / "out", "--grid", "--json")
    assert outcome.code == 0
    assert [line["kernel"] for line in outcome.json][:3] == ["1,1,0", "5,1,0", "5,1,45"]
    assert len(files_below(tmp_path / "out")) == 9 * 4
    line = outcome.json[2]
    assert line["output"] == str(tmp_path / "out/5_1_45/LR/photo.png")
    assert Path(line["hr"]).is_file()
    assert Path(line["kernels"]).is_file()
    assert Path(line["kernel_file"]).is_file()
    assert (line["status"], line["scale"], line["width"], line["height"]) == ("done", 4, 10, 7)
    assert line["error"] is None
    assert line["seconds"] >= 0


def test_noise_and_jpeg_follow_the_seed(manet: Manet, photo: Path, tmp_path: Path) -> None:
    made = {}
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        options = ["--mode", "5", "--noise", "10,signal", "--sharpen", "0.8,0.5"]
        options += ["--jpeg", "60,4:4:4", "--seed", seed]
        assert manet("degrade", photo, "-o", tmp_path / name, *options).code == 0
        made[name] = (tmp_path / name / "LR/photo.png").read_bytes()
    assert made["a"] == made["b"] != made["c"]
    with np.load(tmp_path / "a/kernels/photo.npz") as arrays:
        texts = {name: str(arrays[name]) for name in ("noise", "sharpen", "jpeg")}
        assert texts == {"noise": "10,signal", "sharpen": "0.8,0.5", "jpeg": "60,4:4:4"}
        assert int(arrays["seed"]) == 1


def test_the_camera_protocol_has_a_folder_for_each_case(manet: Manet, photo: Path, tmp_path: Path) -> None:
    outcome = manet("degrade", photo, "-o", tmp_path, "--protocol", "camera", "--json")
    assert outcome.code == 0
    written = [Path(line["output"]) for line in outcome.json]
    assert len({path.parent.parent for path in written}) == 16
    assert all(path.name == "photo.png" and path.parent.name == "LR" for path in written)
    assert all(
        set(path.parent.parent.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-") for path in written
    )
    case = outcome.json[5]["kernel"]
    with np.load(outcome.json[5]["kernels"]) as arrays:
        assert "jpeg=" + str(arrays["jpeg"]) in case


def test_equal_files_are_skipped_and_others_kept(manet: Manet, photo: Path, tmp_path: Path) -> None:
    command = ("degrade", photo, "-o", tmp_path, "--kernel")
    assert manet(*command, KERNEL).code == 0
    lr = tmp_path / "LR/photo.png"
    before = lr.stat().st_mtime_ns
    again = manet(*command, KERNEL, "--json")
    assert (again.code, again.json[0]["status"]) == (0, "skipped")
    assert lr.stat().st_mtime_ns == before

    other = manet(*command, "9,1,0")
    assert other.code == 1
    assert "--overwrite" in other.stderr
    assert lr.stat().st_mtime_ns == before
    assert manet(*command, "9,1,0", "--overwrite").code == 0
    assert lr.stat().st_mtime_ns != before

    lr.unlink()  # as after an interrupted run: the LR image comes last
    outcome = manet(*command, "9,1,0", "--json")
    assert (outcome.code, outcome.json[0]["status"]) == (0, "done")


def test_bad_files_cost_no_other(manet: Manet, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a_broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    Image.fromarray(texture(3, 40)).save(folder / "b_thin.png")
    photo.rename(folder / "c.png")
    missing = tmp_path / "missing.png"
    outcome = manet("degrade", folder, missing, "-o", tmp_path / "out", "--kernel", KERNEL, "--json")
    assert outcome.code == 1
    assert [line["status"] for line in outcome.json] == ["failed", "failed", "done", "failed"]
    assert outcome.json[0]["output"] is None
    assert "at least 4" in str(outcome.json[1]["error"])
    assert outcome.stderr.count("manet:") == 3
    assert files_below(tmp_path / "out/LR") == ["c.png"]


def test_grey_becomes_rgb(manet: Manet, tmp_path: Path) -> None:
    grey = texture(24, 24)[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert manet("degrade", tmp_path / "grey.png", "-o", tmp_path, "--kernel", KERNEL).code == 0
    assert (pixels(tmp_path / "HR/grey.png") == grey[..., None]).all()
    assert pixels(tmp_path / "LR/grey.png").shape == (6, 6, 3)


def test_alpha_and_16_bits(manet: Manet, tmp_path: Path) -> None:
    rgba = np.dstack([texture(24, 24), np.full((24, 24), 255, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "opaque.png")
    rgba[3, 3, 3] = 254
    Image.fromarray(rgba).save(tmp_path / "transparent.png")
    Image.fromarray(np.full((24, 24), 40000, np.uint16)).save(tmp_path / "deep.png")
    outcome = manet("degrade", tmp_path, "-o", tmp_path / "out", "--kernel", KERNEL)
    assert outcome.code == 1
    assert "deep.png has 16 bits" in outcome.stderr
    assert "transparent.png has transparent pixels" in outcome.stderr
    assert files_below(tmp_path / "out/LR") == ["opaque.png"]


def test_the_tree_is_kept_and_names_do_not_collide(manet: Manet, photo: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    Image.open(photo).save(tree / "a.png")
    Image.open(photo).save(tree / "a.bmp")
    Image.open(photo).save(tree / "sub/a.png")
    outcome = manet("degrade", tree, "-r", "-o", tmp_path / "out", "--mode", "1")
    assert outcome.code == 1
    assert "would both become" in outcome.stderr
    assert files_below(tmp_path / "out/LR") == ["a.png", "sub/a.png"]


def test_inputs_are_never_overwritten(manet: Manet, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set/HR"
    folder.mkdir(parents=True)
    hr = photo.rename(folder / "photo.png")
    before = hr.read_bytes()
    outcome = manet("degrade", folder, "-o", tmp_path / "set", "--kernel", KERNEL, "--overwrite")
    assert outcome.code == 1
    assert "inputs are never overwritten" in outcome.stderr
    assert hr.read_bytes() == before
    assert files_below(tmp_path / "set") == ["HR/photo.png"]


def test_variances_and_their_earlier_name(manet: Manet, photo: Path, tmp_path: Path) -> None:
    for option, folder in (("--variances", "a"), ("--kernel", "b")):
        assert manet("degrade", photo, "-o", tmp_path / folder, option, KERNEL).code == 0
    files = files_below(tmp_path / "a")
    assert files == files_below(tmp_path / "b") != []
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_standard_input(manet: Manet, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(photo.read_bytes())))
    assert manet("degrade", "-", "-o", tmp_path, "--kernel", KERNEL).code == 0
    assert (tmp_path / "LR/stdin.png").is_file()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "no blur is given"),
        (["--grid", "--mode", "1"], "several blurs"),
        (["--kernel", "9,1"], "is not a blur"),
        (["--variances", "9,1"], "is not a blur"),
        (["--variances", "9,1,0", "--kernel", "9,1,0"], "give only --variances"),
        (["--kernel", "blur.npy"], "--variances SIG1,SIG2,THETA"),
        (["--kernel", "grid"], "is not a blur"),
        (["--kernel", "mode1"], "is not a blur"),
        (["--kernel", "0,1,0"], "above 0"),
        (["--kernel", "nan,1,0"], "above 0"),
        (["--mode", "7"], ""),
        (["--grid", "--noise", "-1"], "0 to 255"),
        (["--grid", "--noise", "nan"], "--noise: 'nan' is not a noise setting"),
        (["--grid", "--jpeg", "0"], "1 to 100"),
        (["--grid", "--protocol", "camera"], "several blurs"),
        (["--protocol", "camera", "--noise", "5"], "leave out noise"),
        (["--grid", "--seed", str(2**63)], "seed"),
        (["--grid", "-s", "5"], ""),
    ],
)
def test_options_without_a_meaning(
    manet: Manet, photo: Path, tmp_path: Path, options: list[str], sentence: str
) -> None:
    outcome = manet("degrade", photo, "-o", tmp_path / "out", *options)
    assert outcome.code == 2
    assert sentence in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_outputs_that_cannot_be_written(manet: Manet, photo: Path, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("text")
    outcome = manet("degrade", photo, "-o", in_the_way, "--kernel", KERNEL)
    assert outcome.code == 1
    assert "a file is in the way" in outcome.stderr
    (tmp_path / "out/LR/photo.png").mkdir(parents=True)
    outcome = manet("degrade", photo, "-o", tmp_path / "out", "--kernel", KERNEL)
    assert outcome.code == 1
    assert "is a folder" in outcome.stderr
    assert files_below(tmp_path / "out") == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_fifo_in_the_place_of_an_output(manet: Manet, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "LR").mkdir(parents=True)
    os.mkfifo(out / "LR" / "photo.png")
    with guarded():
        outcome = manet("degrade", photo, "-o", out, "--variances", "9,1,0")
    assert outcome.code == 1
    assert "exists with other content" in outcome.stderr
