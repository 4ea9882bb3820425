"""``manet evaluate``: the figures, the lines, the table, and errors."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from manet_cli.degradations.gaussian import GaussianParameters
from manet_cli.degradations.protocol import Degradation
from manet_cli.evaluation.kernel_comparison import KernelComparison
from manet_cli.evaluation.measuring import FIGURES
from manet_cli.evaluation.metrics import compare_kernel_maps, lr_psnr, psnr_y, ssim_y
from manet_cli.evaluation.pictures import hr_tensor
from manet_cli.images import read_photo
from manet_cli.inference import KernelTile
from manet_cli.models import BlindConfig, BlindModel, MANetConfig, RRDBSFTConfig
from tests.commands.conftest import Manet, texture

ESTIMATOR = MANetConfig(channels=(8, 12))
KERNEL = "5,1,40"
NO_CODE = torch.empty(0)
GRID_LINES = 9


def write_model(path: Path, *, estimator: bool = True, restorer: bool = True, seed: int = 0) -> Path:
    """Small weights of drawn numbers, x4."""
    torch.manual_seed(seed)
    shape = RRDBSFTConfig(scale=4, features=6, blocks=1, growth=4, transform_width=5, code_length=7)
    model = BlindModel(BlindConfig(ESTIMATOR if estimator else None, shape if restorer else None))
    if model.kernel_code is not None:
        model.kernel_code.basis.normal_()
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
    return path


def write_pictures(folder: Path) -> Path:
    """Write two pictures to a new folder."""
    folder.mkdir()
    Image.fromarray(texture(50, 61)).save(folder / "a.png")
    Image.fromarray(texture(64, 45)[:, ::-1]).save(folder / "b.png")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "small.safetensors")


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "hr")


def options(model: Path, *more: str | Path) -> list[str | Path]:
    return ["--model", model, "--device", "cpu", "--precision", "fp32", *more]


def image(path: Path) -> torch.Tensor:
    return hr_tensor(read_photo(path, path.name), path.name)


def test_lines_and_their_mean(manet: Manet, hr: Path, model: Path) -> None:
    outcome = manet("evaluate", hr, *options(model, "--json"))
    assert outcome.code == 0
    *lines, last = outcome.json
    assert len(lines) == 2 * GRID_LINES
    assert [line["image"] for line in lines] == ["a.png"] * GRID_LINES + ["b.png"] * GRID_LINES
    assert list(last) == ["mean"]
    assert last["mean"]["images"] == 2
    assert last["mean"]["lines"] == len(lines)
    for name in FIGURES:
        assert last["mean"][name] == pytest.approx(sum(line[name] for line in lines) / len(lines), rel=1e-12)
    assert (lines[0]["width"], lines[0]["height"]) == (60, 48)
    settings = {"scale": 4, "protocol": "grid", "steps": {}, "seed": 0}
    run = {"device": "cpu", "precision": "fp32", "tile": "auto", "denoise": None}
    assert lines[0]["settings"] == settings | run
    assert lines[0]["model"] == "small.safetensors"


def test_the_camera_protocol_is_reported_case_by_case(manet: Manet, hr: Path, model: Path) -> None:
    command = ("evaluate", hr, *options(model, "--protocol", "camera", "--limit", "1"))
    lines = manet(*command, "--json").json
    cases = [line["kernel"] for line in lines[:-1]]
    assert len(set(cases)) == len(cases) == 16
    assert any("noise=" in case and "jpeg=" in case for case in cases)
    assert any("=" not in case for case in cases)
    assert lines[-1]["mean"]["lines"] == 16
    assert {line["settings"]["protocol"] for line in lines[:-1]} == {"camera"}
    again = manet(*command, "--json").json
    assert [line["psnr_y"] for line in again[:-1]] == [line["psnr_y"] for line in lines[:-1]]
    other = manet(*command, "--seed", "1", "--json").json
    assert not {line["kernel"] for line in other[:-1]} & set(cases)


@pytest.mark.parametrize("blur", [["--kernel", KERNEL], ["--mode", "4"]])
def test_degraded_files_give_the_figures_again(
    manet: Manet, hr: Path, model: Path, tmp_path: Path, blur: list[str]
) -> None:
    noise = ["--noise", "5,colour", "--sharpen", "0.8,0.5", "--jpeg", "80", "--seed", "3"]
    assert manet("degrade", hr, "-o", tmp_path / "set", *blur, *noise).code == 0
    protocol = blur[1] if blur[0] == "--kernel" else f"mode{blur[1]}"
    outcome = manet("evaluate", hr, *options(model, "--protocol", protocol, *noise, "--json"))
    cropped = manet(
        "evaluate", tmp_path / "set/HR", *options(model, "--protocol", protocol, *noise, "--json")
    )
    for line, other in zip(outcome.json[:-1], cropped.json[:-1], strict=True):
        assert [line[name] for name in FIGURES] == [other[name] for name in FIGURES]

    # The same through files: LR image, upscaling and kernels by other commands.
    lr = tmp_path / "set/LR/a.png"
    true = image(tmp_path / "set/HR/a.png")
    line = outcome.json[0]
    upscaled = tmp_path / "a_blind.png"
    command = ["upscale", lr, "-o", upscaled, *options(model, "--registration", "protocol")]
    assert manet(*command).code == 0
    assert psnr_y(image(upscaled), true, border=4) == pytest.approx(line["psnr_y"], abs=1e-9)
    assert ssim_y(image(upscaled), true, border=4) == pytest.approx(line["ssim_y"], abs=1e-9)
    if blur[0] == "--kernel":
        kernel = tmp_path / "set/kernels/a.npy"
        assert manet(*command, "--kernel", kernel, "--overwrite").code == 0
        assert psnr_y(image(upscaled), true, border=4) == pytest.approx(line["nonblind_psnr_y"], abs=1e-9)

    estimated = tmp_path / "a_kernels.npy"
    assert manet("kernels", lr, "--out", estimated, "--dtype", "float32", *options(model)).code == 0
    kernels = torch.from_numpy(np.load(estimated))
    height, width = kernels.shape[:2]
    with np.load(tmp_path / "set/kernels/a.npz") as arrays:
        rows = np.arange(height) * 4 // int(arrays["block_size"])
        columns = np.arange(width) * 4 // int(arrays["block_size"])
        true_kernels = torch.from_numpy(arrays["kernels"][rows[:, None], columns])
    agreement = compare_kernel_maps(kernels, true_kernels, height, width)
    assert agreement.per_pixel == pytest.approx(line["kernel_psnr"], abs=1e-6)
    assert agreement.mean_kernel == pytest.approx(line["kernel_psnr_mean_kernel"], abs=1e-6)
    shape = GaussianParameters.from_degrees(5, 1, 40)
    degradation = Degradation(4, shape) if blur[0] == "--kernel" else Degradation(4, mode=4)
    clean = degradation.apply(true).lr_clean
    assert lr_psnr(true, clean, kernels, 4) == pytest.approx(line["lr_psnr"], abs=1e-6)


def test_tiles_of_kernels_in_any_order(hr: Path) -> None:
    true = image(hr / "a.png")
    degraded = Degradation(4, mode=4).apply(true)
    height, width = degraded.lr.shape[-2:]
    kernels = torch.softmax(torch.randn(height, width, 441, generator=torch.Generator().manual_seed(0)), -1)
    comparison = KernelComparison(degraded)
    channels_first = kernels.permute(2, 0, 1)
    for row, column in ((7, 0), (0, 8), (0, 0), (7, 8)):
        rows, columns = (7 if row == 0 else height), (8 if column == 0 else width)
        comparison.add(KernelTile(row, column, channels_first[:, row:rows, column:columns], NO_CODE))
    kernel_map = kernels.reshape(height, width, 21, 21)
    whole = compare_kernel_maps(kernel_map, degraded.kernels.lr_rows, height, width)
    assert comparison.per_pixel == pytest.approx(whole.per_pixel, abs=1e-9)
    assert comparison.mean_kernel == pytest.approx(whole.mean_kernel, abs=1e-9)
    assert comparison.lr_psnr == pytest.approx(
        lr_psnr(degraded.hr, degraded.lr_clean, kernel_map, 4), abs=1e-9
    )


def test_perfect_kernels_are_capped(hr: Path) -> None:
    degraded = Degradation(4, GaussianParameters(5, 1)).apply(image(hr / "a.png"))
    height, width = degraded.lr.shape[-2:]
    comparison = KernelComparison(degraded)
    kernels = degraded.kernels.lr_rows(0, height).reshape(height, width, 441).permute(2, 0, 1)
    comparison.add(KernelTile(0, 0, kernels, NO_CODE))
    assert (comparison.per_pixel, comparison.mean_kernel, comparison.lr_psnr) == (100, 100, 100)


def test_a_flat_picture_gives_finite_figures(manet: Manet, model: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((48, 48, 3), 128, np.uint8)).save(tmp_path / "flat.png")
    outcome = manet("evaluate", tmp_path / "flat.png", *options(model, "--protocol", KERNEL, "--json"))
    assert outcome.code == 0
    assert outcome.json[0]["bicubic_psnr_y"] == 100
    assert all(math.isfinite(outcome.json[0][name]) for name in FIGURES)


def test_weights_without_one_network(manet: Manet, hr: Path, tmp_path: Path) -> None:
    estimator = write_model(tmp_path / "estimator.safetensors", restorer=False)
    restorer = write_model(tmp_path / "restorer.safetensors", estimator=False)
    both = options(estimator, "--model", restorer, "--protocol", KERNEL)
    first, second = (line["mean"] for line in manet("evaluate", hr, *both, "--json").json[-2:])
    of_kernels = {"kernel_psnr", "kernel_psnr_mean_kernel", "lr_psnr"}
    assert {name for name in FIGURES if first[name] is not None} == of_kernels | {"bicubic_psnr_y"}
    assert {name for name in FIGURES if second[name] is not None} == {"nonblind_psnr_y", "bicubic_psnr_y"}
    table = manet("evaluate", hr, *both)
    assert table.code == 0
    assert " - " in table.stdout


def test_two_models_side_by_side(manet: Manet, hr: Path, model: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other.safetensors", seed=1)
    both = options(model, "--model", other, "--protocol", KERNEL)
    outcome = manet("evaluate", hr, *both, "--json")
    alone = [manet("evaluate", hr, *options(one, "--protocol", KERNEL, "--json")) for one in (model, other)]
    *lines, first, second = outcome.json
    assert len(lines) == 4
    assert [first["mean"], second["mean"]] == [one.json[-1]["mean"] for one in alone]
    assert first["mean"]["psnr_y"] != second["mean"]["psnr_y"]
    assert first["mean"]["bicubic_psnr_y"] == second["mean"]["bicubic_psnr_y"]
    assert lines[0] == alone[0].json[0]
    table = manet("evaluate", hr, *both).stdout
    for text in ("small.safetensors", "other.safetensors", "fp32 on cpu", "LR-PSNR", KERNEL):
        assert text in table
    assert f"{first['mean']['psnr_y']:.2f}" in table
    assert f"{second['mean']['psnr_y']:.2f}" in table


def test_the_table_has_a_row_for_each_kernel(manet: Manet, hr: Path, model: Path) -> None:
    outcome = manet("evaluate", hr, *options(model, "--limit", "1", "-q"))
    assert outcome.code == 0
    assert outcome.stderr == ""
    assert "pictures 1" in outcome.lines[0]
    assert [line.split()[0] for line in outcome.lines[-10:]] == [
        *("1,1,0", "5,1,0", "5,1,45", "5,5,0", "9,1,0", "9,1,45", "9,5,0", "9,5,45", "9,9,0", "mean")
    ]


def test_bad_pictures_cost_no_other(manet: Manet, hr: Path, model: Path, tmp_path: Path) -> None:
    (hr / "a_bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    Image.fromarray(np.full((48, 48), 40000, np.uint16)).save(hr / "deep.png")
    Image.fromarray(texture(3, 48)).save(hr / "thin.png")
    results = tmp_path / "results.jsonl"
    outcome = manet("evaluate", hr, *options(model, "--protocol", KERNEL, "--json", "-o", results))
    assert outcome.code == 1
    assert outcome.stderr.count("manet:") == 3
    good = [line for line in outcome.json[:-1] if line["error"] is None]
    bad = [line for line in outcome.json[:-1] if line["error"] is not None]
    assert [line["image"] for line in good] == ["a.png", "b.png"]
    assert [line["image"] for line in bad] == ["a_bad.png", "deep.png", "thin.png"]
    assert outcome.json[-1]["mean"]["images"] == 2
    assert len(results.read_bytes().splitlines()) == 2


@pytest.mark.parametrize("side", [4, 8, 9, 18, 19, 30, 36])
def test_tiny_pictures(manet: Manet, model: Path, tmp_path: Path, side: int) -> None:
    Image.fromarray(texture(side, side)).save(tmp_path / "tiny.png")
    outcome = manet("evaluate", tmp_path / "tiny.png", *options(model, "--protocol", "mode2", "--json"))
    assert outcome.code == 0
    line = outcome.json[0]
    cropped = side // 4 * 4
    assert (line["psnr_y"] is None) == (line["bicubic_psnr_y"] is None) == (cropped < 9)
    assert (line["ssim_y"] is None) == (cropped < 19)
    assert (line["lr_psnr"] is None) == (cropped < 36)
    assert line["kernel_psnr"] is not None


def test_folders_that_cannot_be_measured(manet: Manet, model: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for path, sentence in ((empty, "holds no pictures"), (tmp_path / "missing", "does not exist")):
        outcome = manet("evaluate", path, *options(model))
        assert outcome.code == 1
        assert sentence in outcome.stderr
        assert outcome.stdout == ""
    outcome = manet("evaluate", empty, *options(model, "--json"))
    assert outcome.json[-1]["mean"] | dict.fromkeys(FIGURES) == outcome.json[-1]["mean"]
    outcome = manet("evaluate", "-", *options(model))
    assert outcome.code == 1
    assert "standard input" in outcome.stderr


def test_grey_folders_below_and_patterns(manet: Manet, hr: Path, model: Path) -> None:
    (hr / "sub").mkdir()
    Image.fromarray(texture(40, 40)[..., 0]).save(hr / "sub/grey.png")
    common = options(model, "--protocol", KERNEL, "--json")
    assert [line.get("image") for line in manet("evaluate", hr, "-r", *common).json] == [
        *("a.png", "b.png", "sub/grey.png", None)
    ]
    assert [line.get("image") for line in manet("evaluate", hr / "b*", *common).json] == ["b.png", None]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--protocol", "mode7"], "is not a blur"),
        (["--protocol", "9,1"], "is not a blur"),
        (["--protocol", "-9,1,0"], "above 0"),
        (["--precision", "fp16"], "fp16 is for GPUs"),
        (["--tile", "3"], "--tile 3"),
        (["-s", "2"], "x4"),
        (["--limit", "0"], ""),
        (["--noise", "nan"], "--noise: 'nan' is not a noise setting: expected a standard deviation"),
        (["--sharpen", "0.8"], "--sharpen: '0.8' is not a sharpening setting: expected a radius"),
        (["--jpeg", "101"], "--jpeg: The JPEG quality is 101; expected"),
        (["--protocol", "camera", "--jpeg", "80"], "leave out jpeg"),
    ],
)
def test_options_without_a_meaning(
    manet: Manet, hr: Path, model: Path, more: list[str], sentence: str
) -> None:
    outcome = manet("evaluate", hr, "--model", model, "--device", "cpu", *more)
    assert outcome.code == 2
    assert sentence in outcome.stderr


def test_models_that_cannot_be_compared(manet: Manet, hr: Path, model: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin.safetensors"
    twin.write_bytes(model.read_bytes())
    outcome = manet("evaluate", hr, *options(model, "--model", twin))
    assert outcome.code == 2
    assert "the same weights" in outcome.stderr
    outcome = manet("evaluate", hr, *options(tmp_path / "none.safetensors"))
    assert outcome.code == 3
    torch.manual_seed(0)
    narrow = BlindModel(BlindConfig(dataclasses.replace(ESTIMATOR, kernel_size=15), None))
    save_file(narrow.state_dict(), tmp_path / "narrow.safetensors")
    outcome = manet("evaluate", hr, *options(tmp_path / "narrow.safetensors"))
    assert outcome.code == 3
    assert "15x15" in outcome.stderr


def test_the_model_of_the_environment(
    manet: Manet, hr: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MANET_MODEL", str(model))
    monkeypatch.setenv("MANET_PRECISION", "fp32")
    outcome = manet("evaluate", hr, "--protocol", KERNEL, "--limit", "1", "--json")
    line: dict[str, Any] = outcome.json[0]
    assert (line["model"], line["settings"]["precision"]) == ("small.safetensors", "fp32")


def test_results_that_are_no_numbers(manet: Manet, hr: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    broken = BlindModel(BlindConfig(ESTIMATOR, None))
    tensors = {name: tensor * 1e30 for name, tensor in broken.state_dict().items()}
    save_file(tensors, tmp_path / "broken.safetensors")
    outcome = manet("evaluate", hr, *options(tmp_path / "broken.safetensors", "--protocol", KERNEL))
    assert outcome.code == 1
    assert outcome.stderr.count("infinite or NaN") == 2
