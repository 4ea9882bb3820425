"""The dial between two sets of weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from manet_cli.errors import WeightsError
from manet_cli.evaluation.pictures import ImageRows
from manet_cli.images import Metadata
from manet_cli.images.arrays import photo_of_array
from manet_cli.inference import Engine
from manet_cli.inference.dial import AUTO, Dial, position
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.inference.streams import assembled
from manet_cli.weights import Weights, load_pair, load_weights

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pair() -> tuple[Weights, Weights]:
    found = load_pair(4)
    assert found is not None
    return found


def engine_at(pair: tuple[Weights, Weights], precision: torch.dtype = torch.float32) -> Engine:
    dial = Dial(pair[0].build(), pair[1].build())
    return Engine(dial.model, CPU, precision, dial=dial)


def result(engine: Engine, lr: Tensor) -> Tensor:
    rows = ImageRows(lr)
    return assembled(
        engine.restore(rows, EstimatedCodes(engine, rows, None)), 4 * lr.shape[2], 4 * lr.shape[3]
    )


@pytest.fixture
def noisy() -> Tensor:
    """A grey area with noise of a standard deviation of 10 of 255, (1, 3, 24, 24)."""
    noise = torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    return ((0.5 + noise * 10 / 255) * 255).round() / 255


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_its_ends_are_the_two_sets(
    pair: tuple[Weights, Weights], noisy: Tensor, precision: torch.dtype
) -> None:
    engine = engine_at(pair, precision)
    between = []
    for amount, family in ((1.0, "camera"), (0.37, None), (0.0, "clean"), (1.0, "camera")):
        engine.turn(amount)
        if family is None:
            between.append(result(engine, noisy))
        else:
            alone = Engine(load_weights(family, 4)[0].build(), CPU, precision)
            assert torch.equal(result(engine, noisy), result(alone, noisy)), family
            assert not any(torch.equal(one, result(alone, noisy)) for one in between)


def test_more_removes_more_noise(pair: tuple[Weights, Weights], noisy: Tensor) -> None:
    engine, left = engine_at(pair), []
    for step in range(6):
        engine.turn(step / 5)
        left.append(float(result(engine, noisy).std()))
    assert left == sorted(left, reverse=True)
    assert left[-1] < left[0] / 2


def test_one_set_has_no_dial(pair: tuple[Weights, Weights]) -> None:
    engine = Engine(pair[0].build(), CPU)
    assert not engine.has_dial
    with pytest.raises(WeightsError, match="one set"):
        engine.turn(0.5)


def test_between_the_results_are_averaged(pair: tuple[Weights, Weights], noisy: Tensor) -> None:
    """With one blur for both, since the estimators' weights are averaged."""
    engine = engine_at(pair)
    rows = ImageRows(noisy)
    code = engine.constant_code(torch.full((21, 21), 1 / 441), noisy.shape[3])

    def restored(amount: float) -> Tensor:
        engine.turn(amount)
        return assembled(engine.restore(rows, code), 4 * noisy.shape[2], 4 * noisy.shape[3])

    ends = restored(0), restored(1)
    assert torch.allclose(restored(0.3), torch.lerp(*ends, 0.3), atol=1e-6)


def test_sets_that_do_not_fit(pair: tuple[Weights, Weights]) -> None:
    end = pair[1].build()
    assert end.kernel_code is not None
    end.kernel_code.basis *= 1.01
    with pytest.raises(WeightsError, match="different kernel codes"):
        Dial(pair[0].build(), end)
    end.restorer = None
    with pytest.raises(WeightsError, match="lacks a network"):
        Dial(pair[0].build(), end)
    other, _ = load_weights("clean", 2)
    with pytest.raises(WeightsError, match="different networks"):
        Dial(pair[0].build(), other.build())


def test_what_is_asked_for_is_not_measured(noisy: Tensor) -> None:
    pixels = (noisy[0].permute(1, 2, 0) * 255).byte().repeat(4, 4, 1).numpy()
    assert position(0.123456, photo_of_array(pixels)) == 0.123456
    found = position(AUTO, photo_of_array(pixels))
    assert found > 0.8
    assert found == round(found, 2)
    flat = photo_of_array(np.full_like(pixels, 128))
    assert position(AUTO, flat) == 0
    assert position(AUTO, replace(flat, jpeg_quality=60.0)) == 1, "the file was a JPEG"
    exif = Image.Exif()
    exif[271] = "Maker"
    named = Metadata(exif=exif.tobytes().removeprefix(b"Exif\0\0"))
    assert position(AUTO, replace(flat, metadata=named)) > 0.8, "the file is a camera's"
