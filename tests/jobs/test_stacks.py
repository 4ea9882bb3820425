from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from manet_cli.errors import InputError, ManetError
from manet_cli.images import Header, Photo, format_by_name
from manet_cli.inference import RestoredTile
from manet_cli.jobs import stacks
from manet_cli.jobs.blur.source import BlurOptions
from manet_cli.jobs.models import ModelOptions, open_upscaler
from manet_cli.jobs.sources import Source
from manet_cli.jobs.stacks import plan_stacks, run_ahead
from manet_cli.jobs.upscale.canvas import PhotoRows
from manet_cli.jobs.upscale.job import Ahead, Upscaler
from manet_cli.jobs.upscale.plan import Item
from tests.jobs.upscale.test_canvas import photo


def item(width: int, *, alpha: bool = False) -> Item:
    return Item(Source("a", Path("a")), Path("b"), header=Header(width, 10, 3, alpha, 8))


def test_pictures_of_a_shape_go_together_wherever_they_are() -> None:
    items = [item(10), item(20), item(10), item(10, alpha=True), item(10), item(20), item(10), item(90)]
    found = plan_stacks(items, lambda item: 3 if item.header and item.header.width < 50 else 1)
    assert found == [[0, 2, 4], [1, 5], [3], [6], [7]]


def test_what_is_done_or_wrong_keeps_its_place() -> None:
    items = [item(10) for _ in range(5)]
    expected = plan_stacks(items, lambda item: 2)
    items[0] = replace(items[0], done=True)
    items[3] = replace(items[3], error=InputError("no"))
    assert plan_stacks(items, lambda item: 2) == expected == [[0, 1], [2, 3], [4]]


def test_what_has_no_header_goes_alone() -> None:
    unknown = Item(Source("-", None))
    assert plan_stacks([unknown, unknown], lambda item: 8) == [[0], [1]]


def test_only_the_very_same_picture_is_ahead() -> None:
    lr = PhotoRows(photo(3, 4, alpha=True))
    result = RestoredTile(0, 0, torch.zeros(2, 3, 6, 8))
    image = lr.rows(0, 3).clone()
    assert Ahead(image, None, result, 0.5).tile_of(lr) is result
    for other in (photo(3, 5, alpha=True), photo(4, 4, alpha=True), photo(3, 4)):
        assert Ahead(image, None, result, 0.5).tile_of(PhotoRows(other)) is None
    image[0, 0, 0, 0] += 1
    assert Ahead(image, None, result, 0.5).tile_of(lr) is None


@pytest.fixture
def upscaler() -> Upscaler:
    return open_upscaler(
        ModelOptions("default", 4, "cpu", "auto", None),
        format=format_by_name("png"),
        quality=None,
        registration="input",
        blur=BlurOptions(),
    )


def written(folder: Path, *photos: Photo) -> list[Item]:
    """Write photos and plan them."""
    items = []
    for number, what in enumerate(photos):
        path = folder / f"{number}.png"
        image = Image.fromarray(what.pixels if what.alpha is None else np.dstack((what.pixels, what.alpha)))
        image.save(path)
        items.append(Item(Source(path.name, path), folder / f"{number}_x4.png", header=what.header))
    return items


def nothing() -> None:
    pass


def test_who_is_made_already_changes_no_other(upscaler: Upscaler, tmp_path: Path) -> None:
    items = written(tmp_path, *(photo(17, 13, alpha=True) for _ in range(9)))
    first = run_ahead(upscaler, items, nothing)
    for place in (0, 3, 4):
        items[place] = replace(items[place], done=True)
    again = run_ahead(upscaler, items, nothing)
    for a, b in zip(first, again, strict=True):
        assert a.ahead is not None
        assert b.ahead is not None
        assert torch.equal(a.ahead.result.pixels, b.ahead.result.pixels)


def test_opaque_pictures_have_no_second_layer(upscaler: Upscaler, tmp_path: Path) -> None:
    photos = [photo(9, 8, alpha=True) for _ in range(8)]
    for what in photos:
        assert what.alpha is not None
        what.alpha[:] = 255
    (first, *_) = run_ahead(upscaler, written(tmp_path, *photos), nothing)
    assert first.ahead is not None
    assert len(first.ahead.image) == len(first.ahead.result.pixels) == 1


def test_what_cannot_be_read_costs_no_other(upscaler: Upscaler, tmp_path: Path) -> None:
    items = written(tmp_path, *(photo(9, 8) for _ in range(8)))
    (tmp_path / "2.png").write_bytes(b"no picture")
    (tmp_path / "3.png").unlink()
    written(tmp_path, photo(90, 80))  # the first is another picture by now
    items[4] = replace(items[4], error=InputError("no"), header=None)
    items[5] = replace(items[5], header=None)
    results = [
        each.finish(item, lambda share: None)
        for each, item in zip(run_ahead(upscaler, items, nothing), items, strict=True)
    ]
    failed = [number for number, result in enumerate(results) if result.error]
    assert failed == [2, 3, 4]
    with Image.open(tmp_path / "0_x4.png") as image:
        assert image.size == (320, 360)


@pytest.mark.parametrize("broken", [None, ManetError("not a number"), MemoryError()])
def test_a_stack_that_fails_leaves_each_to_itself(
    upscaler: Upscaler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Exception | None
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        if broken:
            raise broken

    monkeypatch.setattr(stacks, "restore_stack", fail)
    items = written(tmp_path, *(photo(9, 8) for _ in range(8)))
    assert run_ahead(upscaler, items, nothing) == [upscaler] * 8
    monkeypatch.setattr(torch, "zeros", fail)
    assert run_ahead(upscaler, items[:1], nothing) == [upscaler]


def test_what_another_process_has_made_is_not_run_again(
    upscaler: Upscaler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "restore_stack", None)
    items = written(tmp_path, *(photo(9, 8) for _ in range(8)))
    for item in items:
        assert item.output
        item.output.touch()
    assert run_ahead(upscaler, items, nothing) == [upscaler] * 8


def test_a_run_that_ends_starts_no_stack(upscaler: Upscaler, tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_ahead(upscaler, written(tmp_path, *(photo(9, 8) for _ in range(8))), stop)


def test_a_process_that_cannot_see_a_picture_takes_the_stack_of_others(upscaler: Upscaler) -> None:
    blind = [Item(Source("a", Path("a")), error=InputError("no")), Item(Source("b", Path("b")), Path("c"))]
    assert run_ahead(upscaler, blind, nothing) == [upscaler] * 2
