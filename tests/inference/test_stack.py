"""Small images together give what each gives alone."""

from __future__ import annotations

import pytest
import torch

from manet_cli.errors import ManetError
from manet_cli.inference import Engine, restore_stack, stack_size
from manet_cli.inference.estimated_codes import EstimatedCodes
from tests.inference.conftest import CPU, Picture, estimate, small_model


@pytest.mark.parametrize("registered", [True, False])
@pytest.mark.parametrize(("layers", "height", "width"), [(1, 16, 24), (2, 13, 9), (1, 1, 1)])
def test_a_stack_gives_what_each_gives_alone(layers: int, height: int, width: int, registered: bool) -> None:
    engine = Engine(small_model(scale=3), CPU)
    images = torch.rand(5, layers, 3, height, width, generator=torch.Generator().manual_seed(1))
    together = restore_stack(engine, images, registered=registered)
    assert together is not None
    for image, (kernels, result) in zip(images, together, strict=True):
        picture = Picture(image)
        torch.testing.assert_close(kernels.kernels, estimate(engine, picture), rtol=1e-4, atol=1e-6)
        (alone,) = engine.restore(picture, EstimatedCodes(engine, picture), registered=registered)
        assert (result.row, result.column) == (alone.row, alone.column) == (0, 0)
        torch.testing.assert_close(result.pixels, alone.pixels, rtol=1e-4, atol=1e-5)


def test_what_one_is_given_does_not_change_another() -> None:
    engine = Engine(small_model(), CPU, torch.bfloat16)
    images = torch.rand(8, 1, 3, 17, 17, generator=torch.Generator().manual_seed(2))
    whole = restore_stack(engine, images)
    rest = restore_stack(engine, images * (torch.arange(8) % 2).reshape(-1, 1, 1, 1, 1))
    assert whole is not None
    assert rest is not None
    for place in range(1, 8, 2):
        assert torch.equal(whole[place][1].pixels, rest[place][1].pixels)


def test_what_is_not_a_number_or_too_large_for_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(2, 1, 3, 8, 8)
    broken = small_model()
    assert broken.restorer is not None
    for parameter in broken.restorer.parameters():
        parameter.data *= float("nan")
    with pytest.raises(ManetError, match="not a number"):
        restore_stack(Engine(broken, CPU), images)
    engine = Engine(small_model(), CPU)

    def full(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(engine.restorer, "forward", full)
    assert restore_stack(engine, images) is None


def test_small_images_are_stacked_unless_tiles_would_cut_them() -> None:
    engine = Engine(small_model(), CPU)
    sizes = [stack_size(engine, side, side) for side in (16, 32, 64, 65, 500)]
    assert sizes[0] >= sizes[1] >= sizes[2] > 1
    assert sizes[3:] == [1, 1]
    assert stack_size(Engine(small_model(), CPU, tile=32), 33, 16) == 1
    assert stack_size(Engine(small_model(), CPU, tile=0), 33, 16) > 1
