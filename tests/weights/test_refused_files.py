"""Weight files that are refused: damaged, malicious, or of something else."""

import io
import os
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from manet_cli.errors import WeightsError
from manet_cli.weights import read_weights

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
