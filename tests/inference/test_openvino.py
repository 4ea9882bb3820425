"""The networks as OpenVINO runs them: PyTorch's results in any tiles, and none at all without memory."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from manet_cli.errors import DeviceError, OutOfMemoryError, UsageError
from manet_cli.inference import (
    Engine,
    all_devices,
    choose_device,
    choose_precision,
    openvino_graphs,
    openvino_runtime,
)
from manet_cli.inference.dial import Dial
from manet_cli.inference.openvino_runtime import OpenVinoDevice
from manet_cli.weights import Weights, load_pair, load_weights
from tests.commands.conftest import texture

from .conftest import CPU, KernelMap, estimate, noise, restore, scene, small_model

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)
OPENVINO = OpenVinoDevice("CPU")


def difference(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).abs().max())


@pytest.fixture(scope="module")
def shipped() -> Weights:
    return load_weights()[0]


@pytest.fixture(scope="module")
def engines(shipped: Weights) -> list[Engine]:
    """Of PyTorch and of OpenVINO, as the shipped weights are run; compiled once."""
    return [Engine(shipped.build(), device, tile=24, code_stride=4) for device in (CPU, OPENVINO)]


@needs_openvino
@pytest.mark.parametrize("sides", [(41, 30, 2), (7, 9, 1), (1, 1, 1)])
def test_results_are_those_of_pytorch(engines: list[Engine], sides: tuple[int, int, int]) -> None:
    assert difference(*(restore(engine, noise(*sides)) for engine in engines)) < 1e-4


@needs_openvino
def test_half_precision_rounds_where_it_does_in_pytorch(shipped: Weights) -> None:
    picture = noise(24, 24)
    found, expected = (
        restore(Engine(shipped.build(), device, torch.bfloat16, code_stride=4), picture)
        for device in (OPENVINO, CPU)
    )
    assert 0 < difference(found, expected) < 0.03
    assert len(torch.unique(found)) > found.numel() / 2, "the result itself is in float32"
    # Codes in the formats of PyTorch's modules were off by ten times as much, and cost up to 0.7 dB.
    lr = F.avg_pool2d(scene(), 4)[..., :48, :48].contiguous()
    exact, *halves = (
        Engine(shipped.build(), device, dtype)._networks.codes(lr, 4, kernels=False)[0]
        for device, dtype in ((CPU, torch.float32), (CPU, torch.bfloat16), (OPENVINO, torch.bfloat16))
    )
    ours, theirs = (float((half - exact).abs().mean()) for half in halves)
    assert theirs < 2 * ours


@needs_openvino
def test_exact_tiles_give_the_untiled_image_and_its_kernels() -> None:
    picture = noise(33, 41)
    whole, tiled = (Engine(small_model(), OPENVINO, tile=tile, exact=True) for tile in (0, 16))
    assert difference(restore(tiled, picture), restore(whole, picture)) < 1e-5
    expected = estimate(Engine(small_model(), CPU), picture)
    assert difference(estimate(tiled, picture), expected) < 1e-5


@needs_openvino
def test_collecting_kernels_changes_no_pixel(engines: list[Engine]) -> None:
    picture = noise(20, 28)
    reference, engine = engines
    kernel_map = KernelMap(picture, engine.kernel_size)
    assert torch.equal(restore(engine, picture, on_kernels=kernel_map), restore(engine, picture))
    assert difference(kernel_map.kernels, estimate(reference, picture)) < 1e-5


@needs_openvino
def test_the_dial_is_that_of_pytorch() -> None:
    pair, picture, engines = load_pair(4), noise(16, 24), []
    assert pair is not None
    for device in (CPU, OPENVINO):
        dial = Dial(pair[0].build(), pair[1].build())
        engines.append(Engine(dial.model, device, dial=dial, code_stride=4))
    results = []
    for amount in (0.4, 1.0):
        for engine in engines:
            engine.turn(amount)
        results.append(restore(engines[1], picture))
        assert difference(results[-1], restore(engines[0], picture)) < 1e-4
    assert difference(*results) > 0.01


@needs_openvino
def test_graphs_of_known_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An NPU takes no others."""
    monkeypatch.setattr(OpenVinoDevice, "takes_open_sizes", False)
    engine = Engine(small_model(), OPENVINO)
    found = restore(engine, noise(30, 20, 2))
    restore(engine, noise(30, 20, 1))
    expected = restore(Engine(small_model(), CPU), noise(30, 20, 2))
    assert difference(found, expected) < 1e-5


class Silent:
    """A run that ends early without a word."""

    def set_output_tensor(self, index: int, tensor: object) -> None:
        pass

    def infer(self, tensors: Sequence[object], **_: object) -> None:
        pass


@needs_openvino
def test_a_run_that_writes_nothing_is_an_error_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(small_model(), OPENVINO)
    monkeypatch.setattr(openvino_graphs.openvino_itself(), "broken", None)
    with monkeypatch.context() as patched:
        patched.setattr(openvino_graphs.Compiled, "_request", lambda self, shapes: Silent())
        with pytest.raises(OutOfMemoryError, match="cannot go on after that: start again with a smaller"):
            restore(engine, noise(16, 16))
    with pytest.raises(OutOfMemoryError, match="start again"):
        restore(Engine(small_model(), OPENVINO), noise(8, 8))


LIMITED = """
import resource, sys
sys.path[:0] = [{tests!r}]
import inference.conftest as helpers
from manet_cli.errors import OutOfMemoryError
from manet_cli.inference import Engine, choose_device

engine = Engine(helpers.shipped_model(), choose_device("openvino"), tile=0)
helpers.restore(engine, helpers.noise(16, 16))
held = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (held + 60 * 2**20,) * 2)
try:
    helpers.restore(engine, helpers.noise(160, 160))
except OutOfMemoryError as error:
    print("refused:", error)
"""


@needs_openvino
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
def test_a_real_limit() -> None:
    """OpenVINO gives the values of the run before, and crashes in the next one, if it is let."""
    script = LIMITED.format(tests=str(Path(__file__).parents[1]))
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("refused: "), done.stdout


@needs_openvino
def test_the_command_takes_it_and_nothing_is_reported(tmp_path: Path) -> None:
    Image.fromarray(texture(24, 32)).save(tmp_path / "photo.png")
    results: list[Tensor] = []
    for device in ("openvino", "cpu"):
        command = ["upscale", "photo.png", "-o", f"{device}.png", "--device", device, "--precision", "fp32"]
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "manet_cli", *command],
            cwd=tmp_path, env=os.environ | {"HOME": str(tmp_path)},
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, f"{device}.png\n"), done.stderr
        assert ("openvino._pyopenvino" in done.stderr) == (device == "openvino"), "it costs others nothing"
        assert "openvino_telemetry.main" not in done.stderr
        with Image.open(tmp_path / f"{device}.png") as image:
            results.append(torch.from_numpy(np.array(image)).float())
    assert difference(*results) <= 1
    assert not (tmp_path / "intel").exists()


@needs_openvino
def test_number_formats() -> None:
    assert choose_precision(OPENVINO) == choose_precision(CPU)
    assert choose_precision(OPENVINO, "bf16") == torch.bfloat16
    with pytest.raises(UsageError, match="on a CPU use bf16 or fp32"):
        choose_precision(OPENVINO, "fp16")
    for name, auto, other in (("GPU.1", torch.float16, "bf16"), ("NPU", torch.float16, "fp32")):
        assert choose_precision(OpenVinoDevice(name)) == auto
        with pytest.raises(UsageError, match=f"on openvino:{name} give fp16"):
            choose_precision(OpenVinoDevice(name), other)


@pytest.mark.parametrize("name", ["openvino:", "openvino:XPU", "openvino:gpu", "openvino:AUTO", "openvino:0"])
def test_what_is_no_device(name: str) -> None:
    with pytest.raises(UsageError, match="expected openvino, openvino:GPU or openvino:NPU"):
        choose_device(name)


def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_runtime, "devices", lambda: [OPENVINO, OpenVinoDevice("GPU.0")])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert str(choose_device("openvino")) == str(choose_device("openvino:CPU")) == "openvino"
    assert str(choose_device("openvino:GPU")) == "openvino:GPU"
    for name in ("openvino:GPU.1", "openvino:NPU"):
        with pytest.raises(DeviceError, match=r"OpenVINO finds CPU, GPU\.0 on this machine"):
            choose_device(name)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match=r"needs an extra: pip install 'manet-cli\[openvino\]'"):
        choose_device("openvino")
    assert openvino_runtime.devices() == []


def test_a_broken_installation_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> object:
        raise ImportError("libtbb.so.12: cannot open shared object file")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(openvino_runtime, "openvino_itself", broken)
    with pytest.raises(DeviceError, match=r"does not start \(libtbb"):
        choose_device("openvino")
    assert "OpenVINO is installed but does not start" in all_devices()[1][-1]
