"""Damaged and hostile run folders for --resume."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from manet_cli.training.checkpoints import RunFolder
from manet_cli.training.photos import PhotoCache
from manet_cli.training.recipe import Recipe
from tests.guard import guarded
from tests.training.runs import make_trainer


def test_resume_falls_back_to_the_older_checkpoint(
    cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Any error of the newest checkpoint: truncated, with other facts, with other tensors."""
    folder = RunFolder(tmp_path)
    make_trainer(make_recipe("sr", iterations=2, batch_size=2), cache, tmp_path).run()
    (path,) = folder.checkpoints.glob("*.safetensors")
    good = path.read_bytes()
    tensors = safetensors.torch.load(good)
    facts = json.loads(good[8 : 8 + int.from_bytes(good[:8], "little")])["__metadata__"]["run"]
    known = json.loads(facts)
    first = next(name for name in tensors if name.startswith("average."))
    wrong: dict[str, bytes] = {
        "cut": good[:-100],
        "empty": b"",
        "no facts": safetensors.torch.save(tensors),
        **{
            f"facts {number}": safetensors.torch.save(tensors, {"run": text})
            for number, text in enumerate(
                (
                    *("[]", "1", "{", "[" * 100_000, "{}", '{"step": null, "seconds": 1}'),
                    *(json.dumps(known | {"step": -1}), json.dumps(known | {"seconds": math.nan})),
                    *(json.dumps(known | {"scaler": [1]}), json.dumps(known | {"scaler": {"scale": 1}})),
                )
            )
        },
        "a tensor less": safetensors.torch.save({k: v for k, v in tensors.items() if "model." not in k}),
        "another shape": safetensors.torch.save({**tensors, first: torch.zeros(3)}, {"run": facts}),
        "no moments": safetensors.torch.save(
            {name: tensor for name, tensor in tensors.items() if "moment2" not in name}, {"run": facts}
        ),
    }
    newer = folder.checkpoints / "step_99999999.safetensors"
    for name, content in wrong.items():
        newer.write_bytes(content)
        caplog.clear()
        found = folder.newest_checkpoint()
        assert found is not None, name
        assert found.step == known["step"], name
        assert "is damaged and skipped" in caplog.text
    newer.unlink()
    os.mkfifo(newer)
    with guarded():
        found = folder.newest_checkpoint()
    assert found is not None
    newer.unlink()
    for step in (99999998, 99999999):  # more than are kept
        (folder.checkpoints / f"step_{step}.safetensors").write_bytes(b"damaged")
    folder.write_checkpoint(dataclasses.replace(found, step=found.step + 1), keep=2)
    names = sorted(path.name for path in folder.checkpoints.iterdir())
    assert names == [path.name, f"step_{found.step + 1:08d}.safetensors"], "what was passed over is gone"


def test_metrics_that_are_damaged(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    lines = (b'{"step": 1}', b"[1]", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b'{"step": 2}', b'{"st')
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines))
    assert folder.read_log() == [{"step": 1}, {"step": 2}]
    folder.rewind_log(1)
    assert folder.read_log() == [{"step": 1}]
