"""The ONNX graph in ONNX Runtime gives our result."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from manet_cli.errors import UsageError, WeightsError
from manet_cli.inference import Engine
from manet_cli.jobs.onnx_export import export_onnx, parse_graph_size
from manet_cli.models import BlindConfig, MANetConfig, RRDBSFTConfig
from manet_cli.weights import Weights, load_weights
from tests.inference.conftest import CPU, noise, restore, small_model

onnxruntime = pytest.importorskip("onnxruntime")  # of the extra dev, which other versions are tried without


def small_weights(scale: int = 2, code_stride: int = 1) -> Weights:
    model = small_model(scale)
    return Weights(model.state_dict(), model.config, False, "0" * 64, code_stride)


def run(path: Path, image: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (output,) = session.run(["output"], {"input": image.numpy()})
    return torch.from_numpy(np.asarray(output))


def ours(weights: Weights, height: int, width: int) -> Tensor:
    engine = Engine(weights.build(), CPU, tile=0, code_stride=weights.code_stride)
    return restore(engine, noise(height, width)).clamp(0, 1)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "default.onnx"
    export_onnx(load_weights()[0], path)
    return path


@pytest.mark.parametrize("sides", [(24, 16), (21, 35), (9, 50), (7, 3), (1, 1)])
def test_shipped_weights_in_any_size(shipped: Path, sides: tuple[int, int]) -> None:
    found = run(shipped, noise(*sides).pixels)
    expected = ours(load_weights()[0], *sides)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) < 1e-3


def test_several_pictures_at_once(shipped: Path) -> None:
    both = run(shipped, noise(17, 18, layers=2).pixels)
    one = run(shipped, noise(17, 18, layers=2).pixels[1:])
    assert float((both[1:] - one).abs().max()) < 1e-5


def test_the_file_says_what_it_is(shipped: Path) -> None:
    model = onnx.load(shipped)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts == {"scale": "4", "precision": "fp32", "weights_sha256": load_weights()[0].sha256}
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["input", "output"]


@pytest.mark.parametrize(("scale", "side", "stride"), [(2, 32, 1), (3, 21, 4), (4, 17, 1)])
def test_a_fixed_size_is_in_the_graph(tmp_path: Path, scale: int, side: int, stride: int) -> None:
    weights = small_weights(scale, stride)
    export_onnx(weights, tmp_path / "a.onnx", size=side)
    found = run(tmp_path / "a.onnx", noise(side, side).pixels)
    assert float((found - ours(weights, side, side)).abs().max()) < 1e-3
    shape = onnx.load(tmp_path / "a.onnx").graph.output[0].type.tensor_type.shape
    assert [dimension.dim_value for dimension in shape.dim] == [1, 3, scale * side, scale * side]


def test_half_precision(tmp_path: Path) -> None:
    weights = load_weights()[0]
    export_onnx(weights, tmp_path / "half.onnx", size=24, precision="fp16")
    found = run(tmp_path / "half.onnx", noise(24, 24).pixels)
    assert found.dtype == torch.float32
    assert float((found - ours(weights, 24, 24)).abs().max()) < 1 / 255
    tensors = onnx.load(tmp_path / "half.onnx").graph.initializer
    sizes = {kind: sum(len(one.raw_data) for one in tensors if one.data_type == kind) for kind in (1, 10)}
    assert sizes[10] > 20 * sizes[1], "all but the ends and the codes' basis is in float16"


def test_equal_exports_are_equal_files(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        export_onnx(small_weights(), tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


@pytest.mark.parametrize(
    ("config", "missing"),
    [(BlindConfig(MANetConfig(), None), "restorer"), (BlindConfig(None, RRDBSFTConfig()), "estimator")],
)
def test_one_network_is_not_enough(tmp_path: Path, config: BlindConfig, missing: str) -> None:
    with pytest.raises(WeightsError, match=f"hold no {missing}"):
        export_onnx(Weights({}, config, published=False, sha256=""), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.pth", "a", "onnx"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"written as \.onnx"):
        export_onnx(small_weights(), tmp_path / name)


def test_the_extra_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UsageError, match=r"manet-cli\[onnx\]"):
        export_onnx(small_weights(), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "0", "15", "4097", "-64", "64x64", "6.5", "auto", "٦٤"])
def test_sizes_that_mean_nothing(text: str) -> None:
    with pytest.raises(UsageError, match="expected the side"):
        parse_graph_size(text)
    assert (parse_graph_size("256"), parse_graph_size("dynamic")) == (256, None)
