"""``manet study``: findings with the shipped weights, the files, and errors."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from manet_cli.degradations.gaussian import GaussianParameters
from manet_cli.evaluation.studies.estimates import kernel_shape
from manet_cli.evaluation.studies.quantization import CROSS_SIZES, cross_picture
from manet_cli.models import BlindConfig, BlindModel, MANetConfig, RRDBSFTConfig
from tests.commands.conftest import Manet, Outcome, texture

COMMON = ("--device", "cpu", "--precision", "fp32")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The pictures are too small to share."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Small weights of drawn numbers, x4."""
    return write_model(tmp_path / "small.safetensors")


def write_model(path: Path, seed: int = 0, scale: int = 4, factor: float = 1.0) -> Path:
    torch.manual_seed(seed)
    shape = RRDBSFTConfig(scale=scale, features=6, blocks=1, growth=4, transform_width=5, code_length=7)
    whole = BlindModel(BlindConfig(MANetConfig(channels=(8, 12)), shape))
    if whole.kernel_code is not None:
        whole.kernel_code.basis.normal_()
    save_file({name: (factor * tensor).contiguous() for name, tensor in whole.state_dict().items()}, path)
    return path


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    """Dead leaves: overlapping discs of all sizes, sharp edges at every angle, and a flat lower part."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:192, :192]
    picture = np.full((192, 192, 3), 130, np.uint8)
    for _ in range(250):
        row, column, radius = rng.uniform(-10, 150), rng.uniform(-10, 202), 2 + rng.exponential(9)
        picture[np.hypot(y - row, x - column) < radius] = rng.integers(0, 256, 3)
    picture[128:] = 130
    Image.fromarray(picture).save(tmp_path / "leaves.png")
    return tmp_path / "leaves.png"


def check_files(folder: Path, stem: str, outcome: Outcome) -> dict[str, Any]:
    """Check both files against the output of --json, and return the numbers."""
    assert outcome.code == 0, outcome.stderr
    assert outcome.stderr == ""
    numbers: dict[str, Any] = outcome.json[0]
    assert json.loads((folder / f"{stem}.json").read_text()) == numbers
    assert sorted(path.name for path in folder.iterdir()) == [f"{stem}.json", f"{stem}.png"]
    with Image.open(folder / f"{stem}.png") as figure:
        figure.load()
        assert figure.width >= 1200
        assert "Software" not in figure.info
    assert numbers["tool"].startswith("manet_cli ")
    return numbers


def test_estimates_lie_near_the_truth_or_are_round(manet: Manet, hr: Path, tmp_path: Path) -> None:
    command = ("study", "tsne", hr, "--variances", "9,1,0", "--samples", "150", *COMMON, "--json")
    numbers = check_files(tmp_path / "a", "leaves_tsne", manet(*command, "-o", tmp_path / "a"))
    assert (numbers["study"], numbers["kernel"], numbers["precision"]) == ("tsne", "9,1,0", "fp32")
    assert (numbers["lr_width"], numbers["lr_height"]) == (48, 48)
    assert numbers["all"]["pixels"] == 48 * 48
    # In texture, most estimates are near the true kernel, and almost none is perpendicular to it.
    assert numbers["textured"]["share_near"] > 0.6
    assert numbers["textured"]["share_turned"] < 0.05
    assert numbers["textured"]["median_kernel_psnr"] > numbers["true_to_blank_psnr"] + 3
    # In flat areas they are near the kernel of a blank picture, which is round and always the same.
    assert numbers["blank"]["pixels"] > 200
    assert numbers["blank"]["median_psnr_to_blank"] > numbers["blank"]["median_kernel_psnr"] + 10
    assert numbers["blank"]["share_near"] < 0.1
    assert numbers["blank_picture"]["axis_ratio"] < 1.15
    assert numbers["blank_picture"]["smallest_agreement"] > 58
    embedding = numbers["embedding"]
    assert len(embedding["points"]) == embedding["samples"] == 150
    assert embedding["median_distance_to_true"]["near"] < embedding["median_distance_to_true"]["not_near"]
    again = manet(*command, "-o", tmp_path / "b")
    assert again.json == [numbers]
    for suffix in ("png", "json"):
        name = f"leaves_tsne.{suffix}"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    other = manet(*command, "-o", tmp_path / "c", "--seed", "1").json[0]
    assert other["all"] == numbers["all"]
    assert other["embedding"]["points"] != embedding["points"]


def test_a_round_kernel_cannot_be_turned(manet: Manet, photo: Path, model: Path, tmp_path: Path) -> None:
    Image.fromarray(texture(33, 41)[..., 0]).save(photo)
    out = tmp_path / "out"
    command = ("study", "tsne", photo, "--kernel", "4,4,0", "--model", model, *COMMON, "-o", out, "--json")
    numbers = check_files(out, "photo_tsne", manet(*command))
    assert numbers["all"]["share_turned"] is None
    assert numbers["embedding"]["samples"] == 8 * 10


def test_estimates_follow_the_second_blur(manet: Manet, hr: Path, tmp_path: Path) -> None:
    command = ("study", "consecutive", hr, *COMMON, "--json")
    numbers = check_files(tmp_path / "a", "leaves_consecutive", manet(*command, "-o", tmp_path / "a"))
    assert (numbers["first"], numbers["second"], numbers["pixels"]) == ("9,1,0", "9,1,90", 144)
    assert numbers["share_nearer_second"] > 0.9
    assert numbers["median_psnr_to_second"] > numbers["median_psnr_to_first"] + 5
    assert numbers["mean_kernel"]["degrees"] == pytest.approx(90, abs=15)
    assert len(numbers["examples"]) == 14
    swapped = manet(*command, "-o", tmp_path / "b", "--first", "9,1,90", "--second", "9,1,0").json[0]
    assert swapped["share_nearer_second"] > 0.9
    again = manet(*command, "-o", tmp_path / "a", "--overwrite")
    assert again.json == [numbers]


def test_crosses_with_and_without_8_bits(
    manet: Manet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One placement instead of 16: the shares are then 0 or 1.
    monkeypatch.setattr("manet_cli.evaluation.studies.quantization._placements", lambda scale: [(0, 0)])
    out = tmp_path / "out"
    numbers = check_files(
        out, "quantization", manet("study", "quantization", "--device", "cpu", "-o", out, "--json")
    )
    assert numbers["precision"] == "fp32"
    for kind in ("unquantized", "quantized"):
        sizes = {line["size"]: line for line in numbers[kind]["sizes"]}
        assert tuple(sizes) == CROSS_SIZES
        # A large cross is recognised, a single point is not.
        assert sizes[41]["share_nearer_true"] == sizes[61]["share_nearer_true"] == 1
        assert sizes[41]["share_direction"] == 1
        assert sizes[1]["share_nearer_true"] == sizes[1]["share_direction"] == 0
        assert sizes[61]["mean_kernel_psnr"] > sizes[1]["mean_kernel_psnr"] + 5
    assert numbers["largest_change_by_quantization"] < 2


def test_the_crosses() -> None:
    picture, centres = cross_picture(2, 3)
    assert picture.shape == (1, 3, 480, 480)
    assert float((1 - picture[0, 0]).sum()) == sum(2 * size - 1 for size in CROSS_SIZES)
    assert centres[0] == (82, 83)
    assert all(picture[0, 0, y, x] == 0 for y, x in centres)


@pytest.mark.parametrize(("sig1", "sig2", "degrees"), [(6, 1, 45), (5, 2, 120), (3, 1, 0)])
def test_the_shape_of_a_kernel(sig1: float, sig2: float, degrees: float) -> None:
    shape = kernel_shape(GaussianParameters.from_degrees(sig1, sig2, degrees).kernel(4))
    assert (shape.sig1, shape.sig2) == pytest.approx((sig1, sig2), rel=0.02)
    assert min(abs(shape.degrees - degrees), 180 - abs(shape.degrees - degrees)) < 0.1


def test_models_side_by_side(manet: Manet, photo: Path, model: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other.safetensors", seed=1)
    sources = tmp_path / "$a$ (名).png"
    Image.fromarray(np.dstack([texture(30, 50), np.full((30, 50), 90, np.uint8)])).save(sources)
    out = tmp_path / "out"
    command = ("study", "compare", photo, sources, "--model", model, "--model", other, *COMMON, "-o", out)
    numbers = check_files(out, "compare", manet(*command, "--json", "--crop", "2,3,10,12"))
    assert [one["image"] for one in numbers["images"]] == ["photo.png", sources.name]
    first = numbers["images"][0]
    assert (first["input_width"], first["input_height"]) == (41, 30)
    assert (first["width"], first["height"], first["crop"]) == (164, 120, [2, 3, 10, 12])
    assert [result["model"] for result in first["results"]] == ["small.safetensors", "other.safetensors"]
    assert all(result["seconds"] >= 0 for result in first["results"])
    digests = [one["weights_sha256"] for one in numbers["models"]]
    assert digests == [result["weights_sha256"] for result in first["results"]]
    assert len(set(digests)) == 2
    figure = (out / "compare.png").read_bytes()
    assert manet(*command, "--crop", "2,3,10,12", "--overwrite").lines == [
        str(out / "compare.png"),
        str(out / "compare.json"),
    ]
    assert (out / "compare.png").read_bytes() == figure


def test_a_bad_photo_costs_no_other(manet: Manet, photo: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"nothing")
    command = ("study", "compare", photo, tmp_path / "bad.png", "--model", model, *COMMON, "--json")
    outcome = manet(*command, "-o", tmp_path / "out")
    assert outcome.code == 1
    assert outcome.stderr.count("manet:") == 1
    assert [one["image"] for one in outcome.json[0]["images"]] == ["photo.png"]
    assert [one["image"] for one in outcome.json[0]["failed"]] == [str(tmp_path / "bad.png")]
    outcome = manet(*command, "-o", tmp_path / "none", "--crop", "30,0,20,20")
    assert outcome.code == 1
    assert "reaches beyond" in outcome.stderr
    assert not (tmp_path / "none").exists()


def test_files_that_are_there(manet: Manet, photo: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("study", "compare", photo, "--model", model, *COMMON, "-o", out)
    (out / "compare.json").parent.mkdir()
    (out / "compare.json").write_text("mine")
    outcome = manet(*command)
    assert outcome.code == 1
    assert "exists: give --overwrite" in outcome.stderr
    assert [path.name for path in out.iterdir()] == ["compare.json"]
    photo.rename(out / "compare.png")
    outcome = manet("study", "compare", out / "compare.png", *command[3:], "--overwrite")
    assert outcome.code == 1
    assert "inputs are never overwritten" in outcome.stderr
    outcome = manet("study", "quantization", "--model", model, "-o", out / "compare.json")
    assert outcome.code == 1
    assert "is a file" in outcome.stderr


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        (["tsne", "HR", "--kernel", "9,1"], 2, "is not a blur"),
        (["tsne", "HR"], 2, "add --variances SIG1,SIG2,THETA"),
        (["tsne", "HR", "--variances", "9,1"], 2, "is not a blur"),
        (["tsne", "HR", "--kernel", "9,1,0", "--samples", "3"], 2, ""),
        (["tsne", "nowhere.png", "--kernel", "9,1,0"], 1, "does not exist"),
        (["tsne", "HR", "--kernel", "9,1,0"], 1, "at least 32 a side"),
        (["consecutive", "HR"], 1, "at least 128 pixels a side"),
        (["consecutive", "HR", "--first", "9,1,90"], 2, "the same kernel"),
        (["compare", "HR", "--crop", "1,2,3"], 2, "expected X,Y,W,H"),
        (["compare", "-"], 1, "standard input"),
        (["compare", "HR", "--model", "MODEL"], 2, "the same weights"),
        (["quantization", "-s", "2"], 2, "x4"),
        (["quantization", "--precision", "fp16"], 2, "fp16 is for GPUs"),
        (["quantization", "--tile", "3"], 2, "--tile 3"),
    ],
)
def test_what_is_refused(
    manet: Manet, photo: Path, model: Path, tmp_path: Path, command: list[str], code: int, sentence: str
) -> None:
    words = [str({"HR": photo, "MODEL": model}.get(word, word)) for word in command]
    outcome = manet("study", *words, "--model", model, "--device", "cpu", "-o", tmp_path / "out")
    assert outcome.code == code, outcome.stderr
    assert sentence in outcome.stderr
    assert outcome.stdout == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("module", "package"), [("matplotlib", "matplotlib"), ("sklearn", "scikit-learn")])
def test_without_the_extra(
    manet: Manet, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    outcome = manet("study", "tsne", photo, "--kernel", "9,1,0", "-o", tmp_path / "out")
    assert outcome.code == 2
    assert f"needs {package}" in outcome.stderr
    assert "pip install 'manet-cli[study]'" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_results_that_are_no_numbers(manet: Manet, photo: Path, tmp_path: Path) -> None:
    broken = write_model(tmp_path / "broken.safetensors", factor=1e30)
    for study in (["quantization"], ["compare", photo]):
        outcome = manet("study", *study, "--model", broken, *COMMON, "-o", tmp_path / "out")
        assert outcome.code == 1
        assert "infinite or NaN" in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_nothing_global_is_changed(
    manet: Manet, photo: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib

    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)

    def settings() -> dict[str, object]:  # reading the backend would load pyplot
        return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}

    before = settings()
    level = logging.getLogger("matplotlib").level
    assert manet("study", "compare", photo, "--model", model, *COMMON, "-o", tmp_path / "out").code == 0
    assert settings() == before
    assert logging.getLogger("matplotlib").level == level


@pytest.mark.parametrize("command", ["tsne", "consecutive", "quantization", "compare", None])
def test_help_is_quick(command: str | None) -> None:
    arguments = ["manet", "study", *([command] if command else []), "--help"]
    script = (
        "import sys\n"
        "from manet_cli.cli import app\n"
        f"sys.argv = {arguments!r}\n"
        "try:\n    app()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "slow = {'torch', 'numpy', 'matplotlib', 'sklearn', 'PIL'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)
