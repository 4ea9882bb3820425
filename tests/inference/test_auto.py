"""``--device auto`` on a CPU: OpenVINO where it is installed and works, else PyTorch."""

from __future__ import annotations

import importlib.util
import logging
import platform
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from manet_cli.errors import DeviceError, OutOfMemoryError
from manet_cli.inference import Engine, choose_device, choose_precision, device, openvino_graphs
from manet_cli.inference.dial import Dial
from manet_cli.inference.openvino_runtime import OpenVinoDevice
from manet_cli.weights import load_pair
from tests.commands.conftest import Manet, manet, texture

from .conftest import CPU, noise, restore, small_model

__all__ = ["manet"]

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None or platform.machine().lower() not in ("x86_64", "amd64"),
    reason="the extra openvino is not installed, or not measured here",
)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    device._warn_once.cache_clear()


@needs_openvino
def test_auto_takes_openvino_on_a_cpu() -> None:
    assert str(choose_device()) == "openvino"
    assert choose_precision(choose_device()) == choose_precision(CPU), "settings in records agree"
    assert str(choose_device("cpu")) == "cpu"


@needs_openvino
def test_auto_leaves_it_out_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert choose_device() == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device() == torch.device("cuda", 0)


def test_without_the_extra_auto_is_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert choose_device() == CPU


@needs_openvino
def test_a_broken_installation_is_said_once_and_left_out(
    monkeypatch: pytest.MonkeyPatch, manet: Manet, tmp_path: Path
) -> None:
    def broken() -> object:
        raise ImportError("libtbb.so.12: cannot open shared object file")

    monkeypatch.setattr("manet_cli.inference.openvino_runtime.openvino_itself", broken)
    Image.fromarray(texture(8, 8)).save(tmp_path / "photo.png")
    done = manet("upscale", tmp_path / "photo.png", "--device", "auto", "-o", tmp_path / "out.png")
    assert done.code == 0
    assert done.stderr.count("libtbb.so.12") == 1
    assert "going on with PyTorch" in done.stderr


def refused(*_: object) -> object:
    raise RuntimeError("cannot create a kernel")


def short(*_: object) -> object:
    raise OutOfMemoryError("OpenVINO ran out of memory")


@needs_openvino
@pytest.mark.parametrize(
    ("name", "failure"), [("_compiled", refused), ("_request", short)], ids=["compile", "memory"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_fails_later_goes_on_with_pytorch(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    failure: Callable[..., object],
    dtype: torch.dtype,
) -> None:
    picture = noise(20, 30)
    monkeypatch.setattr(openvino_graphs.Compiled, name, failure)
    engine = Engine(small_model(), choose_device(), dtype)
    assert str(engine.device) == "openvino"
    with caplog.at_level(logging.WARNING):
        found = restore(engine, picture)
    assert torch.equal(found, restore(Engine(small_model(), CPU, dtype), picture))
    assert str(engine.device) == "cpu"
    assert len(caplog.records) == 1
    # A device that the user names does not change.
    with pytest.raises((DeviceError, OutOfMemoryError)):
        restore(Engine(small_model(), OpenVinoDevice("CPU"), dtype), picture)


@needs_openvino
def test_the_dial_turns_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_graphs.Compiled, "_compiled", refused)
    pair, picture, results = load_pair(4), noise(8, 8), []
    assert pair is not None
    for where in (choose_device(), CPU):
        dial = Dial(pair[0].build(), pair[1].build())
        engine = Engine(dial.model, where, dial=dial)
        restore(engine, picture)
        engine.turn(0.4)
        results.append(restore(engine, picture))
    assert torch.equal(*results)


@needs_openvino
def test_int8_is_never_computed_by_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_graphs.Compiled, "_compiled", refused)
    with pytest.raises(DeviceError, match="cannot run the networks"):
        restore(Engine(small_model(), choose_device(), torch.int8), noise(8, 8))
