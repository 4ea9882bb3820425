"""Weight files: reading, writing, and errors."""

import io
import os
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from manet_cli.errors import UsageError, WeightsError
from manet_cli.models import RRDBSFT, BlindConfig
from manet_cli.weights import read_weights, write_weights

from .conftest import SMALL

Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]


def refused(path: Path) -> str:
    """Assert that a file is refused as for users, and return the message."""
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert str(path) in message
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 400
    return message.replace(str(path), "PATH")


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


# Errors


class Payload:
    """Pickles as a call of a system function."""

    def __init__(self, trace: Path, how: str) -> None:
        self.trace = trace
        self.how = how

    def __reduce__(self) -> tuple[object, ...]:
        if self.how == "system":
            return os.system, (f"touch {self.trace}",)
        if self.how == "eval":
            return eval, (f"__import__('os').mkdir({str(self.trace)!r})",)
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("how", ["system", "eval", "path"])
@pytest.mark.parametrize("container", ["zip", "legacy", "bare", "hidden"])
def test_a_payload_is_not_executed(
    how: str, container: str, published_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    trace, path = tmp_path / "trace", tmp_path / "evil.pth"
    content: dict[str, object] = {**published_tensors, "conv_first.weight": Payload(trace, how)}
    if container == "bare":
        path.write_bytes(pickle.dumps(content["conv_first.weight"]))
    elif container == "hidden":
        content["conv_first.weight"] = published_tensors["conv_first.weight"]
        torch.save(content | {"metadata": Payload(trace, how)}, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=container == "zip")
    # A bare pickle is not a PyTorch file.
    assert ("damaged" if container == "bare" else "nothing in it was run") in refused(path)
    assert not trace.exists()
    # The trap works, so the reader is safe.
    pickle.loads(pickle.dumps(Payload(trace, how)))
    assert trace.exists()


def test_a_pickle_named_safetensors_is_not_unpickled(pickle_file: Path, tmp_path: Path) -> None:
    path = pickle_file.rename(tmp_path / "renamed.safetensors")
    assert "not in the safetensors format" in refused(path)


def test_a_safetensors_file_named_pth(safetensors_file: Path, tmp_path: Path) -> None:
    path = safetensors_file.rename(tmp_path / "renamed.pth")
    assert "damaged or is not a PyTorch file" in refused(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin", ""])
@pytest.mark.parametrize(
    "content",
    [b"", b"hello, I am a text file\n", bytes(64), b"\xff" * 4096, b"PK\x03\x04" + bytes(60)],
    ids=["empty", "text", "zeros", "ones", "archive"],
)
def test_files_of_other_kinds(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"text{suffix}"
    path.write_bytes(content)
    assert "damaged or is not" in refused(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_folder_and_a_missing_file(suffix: str, tmp_path: Path) -> None:
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    assert "not a regular file" in refused(folder)
    assert "no such weight file" in refused(tmp_path / f"missing{suffix}")


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_truncated_files(
    kind: str, safetensors_file: Path, published_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    if kind == "safetensors":
        whole = safetensors_file.read_bytes()
    else:
        stream = io.BytesIO()
        torch.save(published_tensors, stream, _use_new_zipfile_serialization=kind == "zip")
        whole = stream.getvalue()
    path = tmp_path / ("cut.safetensors" if kind == "safetensors" else "cut.pth")
    lengths = {1, 2, 7, 8, 9, 100, 1000, len(whole) - 1, len(whole) - 8, len(whole) - 100}
    lengths |= {len(whole) * part // 16 for part in range(1, 16)}
    for length in sorted(lengths):
        path.write_bytes(whole[:length])
        assert "damaged" in refused(path), length


def fuzz(path: Path, whole: bytes, within: int, rounds: int) -> int:
    """Flip bytes; a file either reads or is refused with a message. Return how many were refused."""
    source = random.Random(0)
    refusals = 0
    for _ in range(rounds):
        damaged = bytearray(whole)
        for _ in range(source.choice([1, 1, 2, 5])):
            damaged[source.randrange(within)] = source.randrange(256)
        path.write_bytes(damaged)
        try:
            read_weights(path)
        except WeightsError as error:
            refusals += "\n" not in str(error) and error.exit_code == 3
    return refusals


def test_random_damage_to_a_safetensors_header(safetensors_file: Path, tmp_path: Path) -> None:
    whole = safetensors_file.read_bytes()
    header = 8 + int(struct.unpack("<Q", whole[:8])[0])
    assert fuzz(tmp_path / "fuzz.safetensors", whole, header, 300) > 250
    assert fuzz(tmp_path / "fuzz.safetensors", whole, 16, 60) > 30


@pytest.mark.parametrize("zipped", [True, False])
def test_random_damage_to_a_pickle(
    zipped: bool, published_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    few = {name: published_tensors[name] for name in list(published_tensors)[:12]}
    stream = io.BytesIO()
    torch.save(few, stream, _use_new_zipfile_serialization=zipped)
    whole = stream.getvalue()
    # Never complete weights, so every one is refused; the pickle is at the beginning.
    assert fuzz(tmp_path / "fuzz.pth", whole, min(len(whole), 1200), 200) == 200


def without(*names: str) -> Change:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if name not in names}


def with_tensor(name: str, tensor: Tensor) -> Change:
    return lambda tensors: {**tensors, name: tensor}


def changed(name: str, change: Callable[[Tensor], Tensor]) -> Change:
    return lambda tensors: {**tensors, name: change(tensors[name]).contiguous()}


WRONG: dict[str, tuple[Change, str]] = {
    "foreign": (lambda _: {"layer.weight": torch.zeros(3)}, "neither an estimator nor a restorer"),
    "no tensors": (lambda _: {"restorer": torch.zeros(1)}, "neither an estimator"),
    "basis alone": (
        lambda tensors: {"kernel_code.basis": tensors["kernel_code.basis"]},
        "neither an estimator",
    ),
    "extra": (with_tensor("restorer.more.weight", torch.zeros(2)), "'restorer.more.weight'"),
    "block missing": (without("restorer.blocks.0.transform.scale.weight"), "blocks.0.transform.scale.weight"),
    "basis missing": (without("kernel_code.basis"), "kernel_code.basis"),
    "head missing": (without("estimator.head.weight"), "estimator.head.weight"),
    "bias missing": (without("estimator.body.first.convs.1.bias"), "estimator.body.first.convs.1.bias"),
    "group missing": (without("estimator.down_block.first.convs.1.weight"), "first.convs.1.weight"),
    "shape": (changed("restorer.trunk.weight", lambda t: t[:5]), "(5, 6, 3, 3), expected (6, 6, 3, 3)"),
    "scale no square": (changed("restorer.tail.weight", lambda t: t[:15]), "restorer.tail."),
    "channels no multiple of 3": (changed("restorer.tail.weight", lambda t: t[:26]), "restorer.tail."),
    "kernel no square": (changed("estimator.tail.weight", lambda t: t[:440]), "estimator.tail"),
    "rank": (changed("restorer.head.weight", lambda t: t.flatten()), "shape"),
    "scalar": (changed("restorer.head.weight", lambda t: t.sum()), "impossible shape"),
    "empty head": (changed("restorer.head.weight", lambda t: t[:0]), "shape"),
    "empty estimator": (changed("estimator.head.weight", lambda t: t[:0]), "shape"),
    "empty bottleneck": (changed("estimator.down_block.first.affine.0.0.weight", lambda t: t[:0]), "shape"),
    "empty tail": (changed("restorer.tail.weight", lambda t: t[:0]), "x0"),
    "integers": (changed("restorer.head.bias", lambda t: t.long()), "torch.int64"),
    "booleans": (changed("restorer.head.bias", lambda t: t > 0), "torch.bool"),
    "complex": (changed("restorer.head.bias", lambda t: t.to(torch.complex64)), "torch.complex64"),
    "eight bits": (changed("restorer.head.bias", lambda t: t.to(torch.float8_e4m3fn)), "torch.float8_e4m3fn"),
    "nan": (changed("restorer.head.bias", lambda t: t * float("nan")), "not-a-number"),
    "infinity": (changed("estimator.tail.bias", lambda t: t / 0), "infinities"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_content(wrong: str, small_tensors: dict[str, Tensor], tmp_path: Path) -> None:
    change, expected = WRONG[wrong]
    try:
        save_file(change(small_tensors), tmp_path / "wrong.safetensors")
    except KeyError:
        pytest.skip("this version of safetensors has no such numbers")
    assert expected in refused(tmp_path / "wrong.safetensors")


@pytest.mark.parametrize("scale", [1, 5])
def test_scales_that_the_networks_do_not_have(
    scale: int, small_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    channels = 3 * scale**2
    small_tensors["restorer.tail.weight"] = torch.randn(channels, 6, 3, 3)
    small_tensors["restorer.tail.bias"] = torch.randn(channels)
    save_file(small_tensors, tmp_path / "wrong.safetensors")
    assert f"x{scale}" in refused(tmp_path / "wrong.safetensors")


@pytest.mark.parametrize(
    ("name", "tensor", "expected"),
    [
        ("pca_matrix", torch.zeros(441, 7), "pca_matrix has shape (441, 7)"),
        ("pca_matrix", torch.zeros(1, 441, 7, 2, 1), "pca_matrix has shape"),
        ("conv_last.weight", torch.zeros(3), "'conv_last.weight'"),
        ("kernel_estimation.m_head.weight", torch.zeros(8, 3, 3, 3).to_sparse(), "estimator.head.weight"),
        ("conv_first.weight", torch.zeros(6, 3, 3, 3, device="meta"), "restorer.head.weight"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_wrong_content_in_the_published_layout(
    name: str, tensor: Tensor, expected: str, published_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save({**published_tensors, name: tensor}, tmp_path / "wrong.pth")
    assert expected in refused(tmp_path / "wrong.pth")


@pytest.mark.parametrize(
    "content", [[1, 2], {}, {"a": 1}, {1: torch.zeros(1)}, torch.zeros(3), None, {"state_dict": {}}, "text"]
)
def test_a_pickle_of_something_else(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    assert "state dict of named tensors" in refused(tmp_path / "other.pth")


def test_metadata_is_no_tensor(small_tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "meta.safetensors"
    path.write_bytes(safetensors.torch.save(small_tensors, {"note": "made by hand"}))
    assert read_weights(path).config == SMALL


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "pipe.pth"
    os.mkfifo(path)
    assert "not a regular file" in refused(path)


def test_repeated_numbers_do_not_pass_for_a_network(
    published_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "tiny.pth"
    torch.save({name: torch.zeros(()).expand(t.shape) for name, t in published_tensors.items()}, path)
    assert "fewer numbers" in refused(path)


def test_written_files_have_the_usual_permissions(safetensors_file: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_weights(read_weights(safetensors_file), tmp_path / "new.safetensors")
    assert (tmp_path / "new.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
