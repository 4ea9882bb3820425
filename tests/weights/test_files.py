"""Weight files: reading and writing."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from manet_cli.errors import UsageError
from manet_cli.models import RRDBSFT, BlindConfig
from manet_cli.weights import read_weights, write_weights

from .conftest import SMALL


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == expected[name].dtype and torch.equal(found[name], expected[name])
        for name in expected
    )


# Reading


def part_of(stage: int, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    estimator = {name: tensor for name, tensor in tensors.items() if "kernel_estimation" in name}
    restorer = {name: tensor for name, tensor in tensors.items() if name not in estimator}
    return {1: estimator, 2: restorer, 3: tensors}[stage]


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_published_layout(
    stage: int, suffix: str, prefix: str, published_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    tensors = part_of(stage, published_tensors)
    path = tmp_path / f"stage{suffix}"
    content = {prefix + name: tensor for name, tensor in tensors.items()}
    if suffix == ".pth":
        torch.save(content, path)
    else:
        save_file(content, path)
    weights = read_weights(path)
    assert weights.published
    assert weights.config == BlindConfig(
        SMALL.estimator if stage != 2 else None, SMALL.restorer if stage != 1 else None
    )
    assert weights.scale == (None if stage == 1 else 3)
    model = weights.build()
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    if stage != 2:
        assert model.estimator is not None
        assert torch.equal(model.estimator.head.weight, tensors["kernel_estimation.m_head.weight"])
    if stage != 1:
        assert isinstance(model.restorer, RRDBSFT)
        assert model.kernel_code is not None
        assert torch.equal(model.restorer.head.weight, tensors["conv_first.weight"])
        assert torch.equal(model.kernel_code.basis, tensors["pca_matrix"][0, :, :, 0, 0])


def test_our_layout(safetensors_file: Path, small_tensors: dict[str, Tensor]) -> None:
    weights = read_weights(safetensors_file)
    assert not weights.published
    assert weights.config == SMALL
    assert same(dict(weights.tensors), small_tensors)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_half_and_double_precision_are_computed_in_float32(
    dtype: torch.dtype, small_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "other.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in small_tensors.items()}, path)
    weights = read_weights(path)
    assert {tensor.dtype for tensor in weights.tensors.values()} == {dtype}
    assert {tensor.dtype for tensor in weights.build().state_dict().values()} == {torch.float32}


def test_legacy_pickles(published_tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "legacy.pth"
    torch.save(published_tensors, path, _use_new_zipfile_serialization=False)
    assert read_weights(path).config == SMALL


def test_parameters_in_a_pickle(published_tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "parameters.pth"
    torch.save({name: torch.nn.Parameter(tensor) for name, tensor in published_tensors.items()}, path)
    assert read_weights(path).config == SMALL


def test_metadata_is_no_tensor(small_tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "meta.safetensors"
    path.write_bytes(safetensors.torch.save(small_tensors, {"note": "made by hand"}))
    assert read_weights(path).config == SMALL


# Writing


def test_there_and_back_is_bit_identical(safetensors_file: Path, tmp_path: Path) -> None:
    original = read_weights(safetensors_file)
    write_weights(original, tmp_path / "a.pth")
    converted = read_weights(tmp_path / "a.pth")
    assert converted.published
    assert converted.config == original.config
    assert same(dict(converted.tensors), dict(original.tensors))
    write_weights(converted, tmp_path / "back.safetensors")
    assert same(load_file(tmp_path / "back.safetensors"), load_file(safetensors_file))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_keep_their_format(
    dtype: torch.dtype, small_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "half.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in small_tensors.items()}, path)
    write_weights(read_weights(path), tmp_path / "half.pth")
    write_weights(read_weights(tmp_path / "half.pth"), tmp_path / "back.safetensors")
    assert same(load_file(tmp_path / "back.safetensors"), load_file(path))


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors", ".PTH"])
def test_equal_weights_are_equal_bytes(suffix: str, safetensors_file: Path, tmp_path: Path) -> None:
    weights = read_weights(safetensors_file)
    write_weights(weights, tmp_path / f"one{suffix}")
    write_weights(weights, tmp_path / f"another-name{suffix}")
    assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"another-name{suffix}").read_bytes()


def test_both_formats_converge(pickle_file: Path, tmp_path: Path) -> None:
    write_weights(read_weights(pickle_file), tmp_path / "1.safetensors")
    write_weights(read_weights(tmp_path / "1.safetensors"), tmp_path / "2.pth")
    write_weights(read_weights(tmp_path / "2.pth"), tmp_path / "3.safetensors")
    write_weights(read_weights(tmp_path / "3.safetensors"), tmp_path / "4.pth")
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "3.safetensors").read_bytes()
    assert (tmp_path / "2.pth").read_bytes() == (tmp_path / "4.pth").read_bytes()


def test_pickles_are_written_with_the_published_names(
    safetensors_file: Path, published_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    write_weights(read_weights(safetensors_file), tmp_path / "a.pth")
    assert same(torch.load(tmp_path / "a.pth", weights_only=True), published_tensors)


def test_tensors_that_share_memory_are_written(published_tensors: dict[str, Tensor], tmp_path: Path) -> None:
    flat = torch.cat([tensor.flatten() for tensor in published_tensors.values()])
    sizes = [tensor.numel() for tensor in published_tensors.values()]
    views = {
        name: part.view(tensor.shape)
        for (name, tensor), part in zip(published_tensors.items(), torch.split(flat, sizes), strict=True)
    }
    same_bias = views["RRDB_trunk.0.SFT.mul_conv1.bias"]
    views["RRDB_trunk.0.SFT.add_conv1.bias"] = same_bias
    torch.save(views, tmp_path / "views.pth")
    weights = read_weights(tmp_path / "views.pth")
    write_weights(weights, tmp_path / "a.safetensors")
    write_weights(weights, tmp_path / "b.pth")
    write_weights(read_weights(tmp_path / "a.safetensors"), tmp_path / "c.pth")
    assert same(dict(read_weights(tmp_path / "a.safetensors").tensors), dict(weights.tensors))
    assert same(dict(read_weights(tmp_path / "b.pth").tensors), dict(weights.tensors))
    assert (tmp_path / "c.pth").stat().st_size < 1.2 * (tmp_path / "views.pth").stat().st_size


@pytest.mark.parametrize("name", ["weights.bin", "weights"])
def test_other_suffixes_are_not_written(name: str, safetensors_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.safetensors or \.pth"):
        write_weights(read_weights(safetensors_file), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [safetensors_file.name]


def test_written_files_have_the_usual_permissions(safetensors_file: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_weights(read_weights(safetensors_file), tmp_path / "new.safetensors")
    assert (tmp_path / "new.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
