"""The cache of compiled networks: it changes no result, and a damaged or full one does no harm."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
import torch

from manet_cli.inference import Engine, compiled_cache, openvino_graphs
from manet_cli.inference.compiled_cache import cache_key, keep, kept
from manet_cli.inference.dial import Dial
from manet_cli.inference.openvino_runtime import OpenVinoDevice
from manet_cli.models import int8_blocks

from .conftest import noise, restore, small_model

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "manet" / "compiled"


def refuse_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(openvino_graphs.Compiled, "_traced", refuse)


@needs_openvino
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_second_start_compiles_nothing_and_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, folder: Path, precision: torch.dtype
) -> None:
    picture = noise(20, 17)
    first = restore(Engine(small_model(), OpenVinoDevice("CPU"), precision), picture)
    assert len(list(folder.iterdir())) == 2, "one file for each network"
    with monkeypatch.context() as patched:
        refuse_to_compile(patched)
        assert torch.equal(restore(Engine(small_model(), OpenVinoDevice("CPU"), precision), picture), first)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    assert torch.equal(restore(Engine(small_model(), OpenVinoDevice("CPU"), precision), picture), first)
    assert not torch.equal(
        restore(Engine(small_model(seed=1), OpenVinoDevice("CPU"), precision), picture), first
    )


@needs_openvino
def test_weights_between_two_sets_are_not_kept(folder: Path) -> None:
    first, second, picture = small_model(), small_model(seed=1), noise(9, 12)
    assert first.kernel_code is not None
    assert second.kernel_code is not None
    second.kernel_code.basis = first.kernel_code.basis
    dial = Dial(first, second)
    engine = Engine(dial.model, OpenVinoDevice("CPU"), dial=dial)
    results: dict[float, torch.Tensor] = {}
    files = []
    for amount in (0.0, 0.3, 0.6, 1.0, 0.3):
        engine.turn(amount)
        found = restore(engine, picture)
        assert torch.equal(results.setdefault(amount, found), found)
        files.append(len(list(folder.iterdir())))
    # Both networks, the second restorer, nothing at 0.6, the second estimator.
    assert files == [2, 3, 3, 4, 4]


def test_everything_that_is_compiled_is_in_the_key() -> None:
    def block(**changes: object) -> torch.nn.Module:
        model = small_model()
        for name, value in changes.items():
            setattr(next(iter(int8_blocks(model).values())), name, value)
        return model

    keys = [
        *(cache_key(block()), cache_key(block(), "bf16"), cache_key(block(input_range=(-1.0, 2.0)))),
        *(cache_key(block(split=3)), cache_key(small_model(seed=1)), cache_key(small_model(3))),
    ]
    assert len(set(keys)) == len(keys)
    assert cache_key(block()) == keys[0]


def test_the_least_recently_used_files_make_room(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(compiled_cache, "_LARGEST", 3 * 132)
    for number, key in enumerate("abc"):
        keep(key, key.encode() * 100)
        os.utime(folder / f"{key}.blob", (number, number))
    assert kept("a") == b"a" * 100
    keep("d", b"d" * 100)
    assert [kept(key) is None for key in "abcd"] == [False, True, False, False]


def test_a_cache_that_cannot_be_used(folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("a file")
    keep("key", b"content")
    assert kept("key") is None
    folder.unlink()
    keep("key", b"content")
    (folder / "key.blob").write_bytes(b"short")
    assert kept("key") is None
