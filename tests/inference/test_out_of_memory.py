"""Running out of memory: tiles are halved, finished ones are kept, and the last failure is reported."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from manet_cli.errors import ManetError, OutOfMemoryError
from manet_cli.inference import SMALLEST_TILE, Engine, KernelTile, available_memory
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.inference.memory import is_out_of_memory

from .conftest import CPU, KernelMap, estimate, noise, restore, small_model

MESSAGE = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."


class Failing:
    """Wraps a network's forward: fails if ``when`` is true for the input's sides and the call's number."""

    def __init__(self, forward: Callable[..., Tensor], when: Callable[[int, int, int], bool]) -> None:
        self.forward = forward
        self.when = when
        self.calls: list[tuple[int, int]] = []
        self.failures = 0

    def __call__(self, lr: Tensor, *rest: Tensor) -> Tensor:
        height, width = lr.shape[-2:]
        self.calls.append((height, width))
        if self.when(height, width, len(self.calls)):
            self.failures += 1
            raise RuntimeError(MESSAGE)
        return self.forward(lr, *rest)


def engine_failing(
    monkeypatch: pytest.MonkeyPatch,
    network: str,
    when: Callable[[int, int, int], bool],
    tile: int | None,
    *,
    exact: bool = True,
) -> tuple[Engine, Failing]:
    engine = Engine(small_model(), CPU, tile=tile, exact=exact)
    owner = engine.restorer if network == "restorer" else engine.estimator
    name = "forward" if network == "restorer" else "kernels_of_padded"
    failing = Failing(getattr(owner, name), when)
    monkeypatch.setattr(owner, name, failing)
    return engine, failing


@pytest.mark.parametrize("fails_at", [1, 2, 3, 4])
@pytest.mark.parametrize("network", ["restorer", "estimator"])
def test_finished_tiles_are_kept(network: str, fails_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noise(70, 90)
    whole = Engine(small_model(), CPU, tile=0, exact=True)
    expected, expected_kernels = restore(whole, picture), estimate(whole, picture)
    engine, failing = engine_failing(monkeypatch, network, lambda h, w, call: call == fails_at, 48)
    met = KernelMap(picture, engine.kernel_size)
    # `restore` and `KernelMap` fail if a pixel comes twice.
    found = restore(engine, picture, on_kernels=met)
    assert failing.failures == 1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(met.kernels, expected_kernels, rtol=0, atol=1e-6)


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_finished_tiles_of_interpolated_codes_are_kept(
    fails_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = noise(70, 90)
    engine = Engine(small_model(), CPU, tile=40, code_stride=4)
    failing = Failing(engine.estimator.features_of_padded, lambda h, w, call: call == fails_at)
    monkeypatch.setattr(engine.estimator, "features_of_padded", failing)
    found = EstimatedCodes(engine, picture).rows(0, picture.height)
    assert failing.failures == 1
    whole = EstimatedCodes(Engine(small_model(), CPU, tile=0, code_stride=4), picture)
    torch.testing.assert_close(found, whole.rows(0, picture.height), rtol=0, atol=1e-6)


@pytest.mark.parametrize("network", ["restorer", "estimator"])
def test_only_the_tiles_to_come_are_halved(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noise(128, 128)
    engine, failing = engine_failing(
        monkeypatch, network, lambda h, w, call: call == 3, 64, exact=network == "estimator"
    )
    if network == "estimator":
        estimate(engine, picture)
        # Two whole tiles, the failed tile, and the two remaining tiles in four parts each.
        assert len(failing.calls) == 3 + 8
    else:
        restore(engine, picture)
        # 129 pixels a side with the one for registration, which the first tile has on top of its 64.
        assert len(failing.calls) == 3 + 2 * 4
    assert failing.failures == 1


def test_halving_goes_on_until_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noise(100, 100)
    limit = 30 + 2 * 20
    engine, failing = engine_failing(monkeypatch, "restorer", lambda h, w, _: max(h, w) > limit, 100)
    expected = restore(Engine(small_model(), CPU, tile=0, exact=True), picture)
    torch.testing.assert_close(restore(engine, picture), expected, rtol=0, atol=1e-5)
    assert 1 <= failing.failures <= 4
    assert max(max(sides) for sides in failing.calls[failing.failures :]) <= limit


@pytest.mark.parametrize("tile", [None, 20, 24, 40, 100])
def test_the_smallest_tile_is_tried_before_giving_up(
    tile: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = noise(60, 60)
    halo = small_model().restorer.footprint.practical_radius  # type: ignore[union-attr]
    fits = SMALLEST_TILE + 2 * halo
    engine, failing = engine_failing(
        monkeypatch, "restorer", lambda h, w, _: max(h, w) > fits, tile, exact=False
    )
    restore(engine, picture)
    assert failing.failures >= 1


@pytest.mark.parametrize("network", ["restorer", "estimator"])
@pytest.mark.parametrize("tile", [None, 8, 16, 20, 64])
def test_when_not_even_the_smallest_tile_fits(
    tile: int | None, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, failing = engine_failing(monkeypatch, network, lambda h, w, _: True, tile)
    with pytest.raises(OutOfMemoryError, match=r"enough memory for a tile of \d+x\d+ pixels") as caught:
        restore(engine, noise(40, 70))
    assert caught.value.exit_code == 1
    assert 1 <= failing.failures <= 5


@pytest.mark.parametrize("network", ["restorer", "estimator"])
def test_untiled_means_untiled(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, failing = engine_failing(monkeypatch, network, lambda h, w, call: call == 1, 0)
    with pytest.raises(OutOfMemoryError, match="leave tile at auto"):
        restore(engine, noise(40, 70))
    assert failing.failures == 1


def test_other_errors_are_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(small_model(), CPU)

    def broken(*_: Tensor) -> Tensor:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(engine.restorer, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        restore(engine, noise(10, 10))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("x"), True),
        (RuntimeError(MESSAGE), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_kernels_are_handed_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if memory runs out after the network."""
    picture = noise(64, 80)
    engine = Engine(small_model(), CPU, tile=32)
    forward = engine.kernel_code.forward
    failing = Failing(forward, lambda height, width, call: call == 3)
    monkeypatch.setattr(engine.kernel_code, "forward", failing)
    counts = torch.zeros(64, 80)

    def count(tile: KernelTile) -> None:
        height, width = tile.kernels.shape[1:]
        counts[tile.row : tile.row + height, tile.column : tile.column + width] += 1

    for _ in engine.restore(picture, EstimatedCodes(engine, picture, count)):
        pass
    assert failing.failures == 1
    assert (counts == 1).all()


def test_what_fitted_is_remembered(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    picture = noise(256, 32)
    engine, failing = engine_failing(monkeypatch, "estimator", lambda height, width, call: height > 64, 64)
    list(engine.restore(picture, EstimatedCodes(engine, picture)))
    assert failing.failures == 1
    assert len(caplog.records) == 1


@pytest.mark.parametrize("network", ["restorer", "estimator"])
def test_a_result_that_is_no_number_is_an_error(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noise(20, 20)
    engine = Engine(small_model(), CPU)
    owner = engine.restorer if network == "restorer" else engine.estimator
    with torch.no_grad():
        owner.get_parameter("tail.bias")[0] = float("nan")
    with pytest.raises(ManetError, match="infinite or NaN"):
        list(engine.restore(picture, EstimatedCodes(engine, picture)))


def test_automatic_tiles_follow_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    for free in (10**6, 10**8, 4 * 10**8, 10**12):
        monkeypatch.setattr("manet_cli.inference.engine.available_memory", lambda _, free=free: free)
        engine = Engine(small_model(), CPU)
        sizes.append(engine._tile_size(8, layers=1))
        assert engine._tile_size(8, layers=2) <= sizes[-1]
    assert sizes == sorted(sizes)
    assert sizes[0] == SMALLEST_TILE
    assert sizes[-1] == 256
    assert all(size % SMALLEST_TILE == 0 for size in sizes)


def test_free_memory_is_a_sensible_figure() -> None:
    assert 10**7 < available_memory(CPU) < 10**14


REAL = """
import resource, sys
sys.path[:0] = [{tests!r}]
import torch
torch.set_num_threads(1)
import inference.conftest as helpers
from manet_cli.errors import ManetError, OutOfMemoryError
from manet_cli.inference import Engine
from manet_cli.models import BlindConfig, BlindModel, MANetConfig, RRDBSFTConfig
import logging
logging.basicConfig(stream=sys.stdout, format="%(message)s")

torch.manual_seed(0)
restorer = RRDBSFTConfig(scale=2, features=8, blocks=1, growth=4, transform_width=4)
config = BlindConfig(MANetConfig(channels=(8, 12)), restorer)
model = BlindModel(config).eval().requires_grad_(False)
model.kernel_code.basis = torch.randn(441, 15)
picture = helpers.noise(400, 400)
expected = helpers.restore(Engine(model, helpers.CPU, tile=0, exact=True), picture)
held = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (held + {room} * 2**20,) * 2)
try:
    found = helpers.restore(Engine(model, helpers.CPU, tile={tile}, exact=True), picture)
    print("largest difference below 1e-5:", bool((found - expected).abs().max() < 1e-5))
except OutOfMemoryError as error:
    print("refused:", error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
@pytest.mark.parametrize(
    ("tile", "expected"),
    [
        ("400", ["out of memory: continuing with tiles of 200", "largest difference below 1e-5: True"]),
        (
            "0",
            ["refused: cpu does not have enough memory for a tile of 400x400 pixels; leave tile at auto."],
        ),
    ],
)
def test_a_real_limit(tile: str, expected: list[str]) -> None:
    tests = Path(__file__).parents[1]
    # MiB, between what tiles of 200 (260) and 400 (520) need. Close to either, small requests fail as well,
    # and PyTorch's native code does not survive each of those.
    script = REAL.format(tests=str(tests), room=400, tile=tile)
    result = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", script],
        check=False, capture_output=True, text=True, cwd=tests.parent, timeout=100,
    )  # fmt: skip
    for sentence in expected:
        assert sentence in result.stdout, (result.returncode, result.stdout, result.stderr)
