"""Several devices: two engines on the CPU simulate two GPUs."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manet_cli.images import format_by_name
from manet_cli.inference import choose_devices
from manet_cli.jobs import models
from manet_cli.jobs.blur.source import BlurOptions
from manet_cli.jobs.models import ModelOptions, open_on_devices, open_upscale
from manet_cli.jobs.sources import Source
from manet_cli.jobs.upscale.job import Progress
from manet_cli.jobs.upscale.pipeline import run_plan
from manet_cli.jobs.upscale.plan import Item
from tests.commands.conftest import texture
from tests.safety.conftest import contents


def test_pictures_are_the_same_on_whichever_device(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ModelOptions(str(weights), None, "cpu", "auto", None)
    png = format_by_name("png")
    engine, run = open_upscale(options, format=png, quality=None, registration="input", blur=BlurOptions())
    monkeypatch.setattr(models, "choose_devices", lambda name: choose_devices("cpu") * 3)
    assert open_on_devices(engine, run.scale, options, pictures=1) == [engine]
    engines = open_on_devices(engine, run.scale, options, pictures=2)
    assert len({id(one) for one in engines}) == 2

    sources = [tmp_path / f"{i}.png" for i in range(8)]
    for i, path in enumerate(sources):
        Image.fromarray(np.roll(texture(40, 50), i, axis=0)).save(path)
    for name, used in (("one", [engine]), ("two", engines)):
        items = [Item(Source(str(path), path), tmp_path / name / path.name) for path in sources]
        results = list(run_plan(items, used, run, unwatched))
        made = [(result.item.source, result.item.output, result.status) for result in results]
        assert made == [(item.source, item.output, "done") for item in items]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_picture_that_is_stopped_leaves_nothing(tmp_path: Path, weights: Path) -> None:
    """Also of its kernel map, and of pictures already decoded."""
    options = ModelOptions(str(weights), None, "cpu", "auto", 16)
    png = format_by_name("png")
    engine, run = open_upscale(options, format=png, quality=None, registration="input", blur=BlurOptions())
    source = tmp_path / "a.png"
    Image.fromarray(texture(80, 90)).save(source)
    out = tmp_path / "out"
    item = Item(Source(str(source), source))
    items = [replace(item, output=out / f"{i}.png", kernels=out / f"{i}.npy") for i in range(5)]
    running = run_plan(items, [engine], run, unwatched)
    assert next(running).status == "done"
    running.close()
    left = set(contents(out))
    assert {"0.png", "0.npy"} <= left
    assert left <= {f"{i}.{suffix}" for i in range(5) for suffix in ("png", "npy")}
    assert len(left) < 10
    for name in left:
        assert {name.replace("png", "npy"), name.replace("npy", "png")} <= left


def test_what_has_come_since_the_plan_is_not_replaced(tmp_path: Path, weights: Path) -> None:
    """Two runs at once over a folder: the later one skips results of the earlier one and keeps the rest."""
    options = ModelOptions(str(weights), None, "cpu", "auto", None)
    png = format_by_name("png")
    engine, run = open_upscale(options, format=png, quality=None, registration="input", blur=BlurOptions())
    sources = [tmp_path / "a.png", tmp_path / "b.png"]
    for i, path in enumerate(sources):
        Image.fromarray(np.roll(texture(10, 12), i, axis=0)).save(path)
    out = tmp_path / "out" / "a.png"
    item, other = (Item(Source(str(path), path), out) for path in sources)

    def status(item: Item) -> tuple[str, str]:
        (result,) = run_plan([item], [engine], run, unwatched)
        return result.status, str(result.error or "")

    assert status(item)[0] == "done"
    before = out.stat().st_mtime_ns, contents(out.parent)
    assert status(item)[0] == "skipped"
    for late in (other, replace(item, kernels=out.with_suffix(".npy"))):
        failed, error = status(late)
        assert failed == "failed"
        assert "appeared after the run was planned" in error
    assert (out.stat().st_mtime_ns, contents(out.parent)) == before
    assert status(replace(other, replaces=True))[0] == "done"
    assert contents(out.parent) != before[1]


def unwatched(item: Item) -> nullcontext[Progress]:
    return nullcontext(lambda share: None)
