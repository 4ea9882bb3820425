"""Networks in int8: which convolutions, how near to float32, between two sets of weights, and where."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch.nn import functional as F

from manet_cli.errors import UsageError
from manet_cli.inference import Engine, choose_precision
from manet_cli.inference.dial import Dial
from manet_cli.inference.openvino_runtime import OpenVinoDevice
from manet_cli.models import BlindModel, Range, int8_blocks

from .conftest import CPU, Picture, noise, restore, scene, small_model

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)
OPENVINO = OpenVinoDevice("CPU")


def ranged(model: BlindModel, values: Range = (-4.0, 4.0), *, but: str = "nothing") -> BlindModel:
    """Give all blocks of a model a range, but those whose names begin so."""
    for name, block in int8_blocks(model).items():
        block.input_range = None if name.startswith(but) else values
    return model


def int8_convolutions(engine: Engine) -> int:
    """Return how many convolutions OpenVINO computes in int8, in both compiled networks."""
    engines = engine._networks
    networks = [*engines._estimators.values(), engines.restorer.run]  # type: ignore[attr-defined]
    count = 0
    for network in networks:
        (request,) = network._requests.values()
        for node in request.get_compiled_model().get_runtime_model().get_ops():
            facts = node.get_rt_info()
            kind, number = (facts[key].astype(str) for key in ("layerType", "runtimePrecision"))
            count += kind == "Convolution" and number in ("u8", "i8")
    return count


@needs_openvino
@pytest.mark.parametrize(("but", "expected"), [("nothing", 12 + 15), ("restorer", 12), ("estimator", 15)])
def test_convolutions_of_blocks_with_a_range_are_computed_in_int8(but: str, expected: int) -> None:
    picture = Picture(F.avg_pool2d(scene(), 4)[..., :32, :40].contiguous())
    engine = Engine(ranged(small_model(), but=but), OPENVINO, choose_precision(OPENVINO, "int8"))
    found = restore(engine, picture)
    assert int8_convolutions(engine) == expected
    reference = restore(Engine(small_model(), CPU), picture)
    other = restore(Engine(ranged(small_model(), but=but), CPU), picture)
    assert 0 < float((found - reference).abs().mean()) < 0.2 * float(reference.std())
    assert float((found - other).abs().mean()) < 0.2 * float(reference.std()), "PyTorch rounds alike"


def test_values_are_rounded_within_the_range_and_weights_by_channel() -> None:
    block = next(iter(int8_blocks(small_model()).values()))
    values = torch.linspace(-3, 3, 1001).reshape(1, 1, 1, -1)
    assert block.rounded(values) is values
    block.input_range = (-1.0, 2.0)
    rounded = block.rounded(values)
    assert len(set(rounded.flatten().tolist())) == 256
    assert float(rounded.min()) == pytest.approx(-1, abs=3 / 255)
    assert float(rounded.max()) == pytest.approx(2, abs=3 / 255)
    inside = (values > -0.99) & (values < 1.98)
    assert float((rounded - values)[inside].abs().max()) <= 3 / 255 / 2 + 1e-6
    assert 0.0 in rounded, "no padding is rounded"
    conv = torch.nn.Conv2d(2, 2, 1, bias=False)
    conv.weight.data = torch.tensor([[1.0, 0.3], [0.01, 0.003]])[..., None, None]
    ones = torch.ones(1, 2, 1, 1)
    first, second = block.convolve(conv, ones).flatten().tolist()
    assert first == pytest.approx(1.3, abs=0.5 / 127)
    assert second == pytest.approx(0.013, abs=0.005 / 127)


def test_the_dial_sets_the_ranges_of_the_estimator() -> None:
    start, end = small_model(), small_model(seed=1)
    assert end.kernel_code is not None
    assert start.kernel_code is not None
    end.kernel_code.basis = start.kernel_code.basis
    ranged(start, (-1.0, 2.0))
    ranged(end, (-3.0, 4.0), but="estimator.body")
    dial = Dial(start, end)
    assert dial.model.estimator is not None
    blocks = int8_blocks(dial.model.estimator)
    for amount, expected, body in (
        (0.5, (-2.0, 3.0), None),
        (1.0, (-3.0, 4.0), None),
        (0.0, (-1.0, 2.0), (-1.0, 2.0)),
    ):
        dial.turn(amount)
        found = {name: block.input_range for name, block in blocks.items()}
        assert {found[name] for name in found if not name.startswith("body")} == {expected}
        assert {found[name] for name in found if name.startswith("body")} == {body}
    restorers = int8_blocks(dial.model)
    assert {restorers[name].input_range for name in restorers if "second" in name and "dense" in name} == {
        (-3.0, 4.0)
    }


@needs_openvino
def test_between_two_sets_both_are_in_int8() -> None:
    start, end = ranged(small_model()), ranged(small_model())
    dial = Dial(start, end)
    engine = Engine(dial.model, OPENVINO, torch.int8, dial=dial)
    picture = noise(16, 16)
    at_start = restore(engine, picture)
    engine.turn(0.5)
    torch.testing.assert_close(restore(engine, picture), at_start, atol=1e-3, rtol=0)


def test_other_devices_say_what_to_type() -> None:
    for device in (CPU, torch.device("cuda", 0), OpenVinoDevice("GPU"), OpenVinoDevice("NPU")):
        with pytest.raises(UsageError, match="give device='openvino'"):
            choose_precision(device, "int8")
    assert choose_precision(OPENVINO, "int8") == torch.int8
