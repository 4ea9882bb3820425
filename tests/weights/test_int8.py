"""The ranges for int8: bound to their weights, and refused when they are damaged or stale."""

from __future__ import annotations

import dataclasses
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import save_file

import manet_cli.weights.int8
from manet_cli.errors import UsageError, WeightsError
from manet_cli.models import int8_blocks
from manet_cli.weights import Entry, Weights, build_int8, load_manifest, load_weights
from manet_cli.weights.int8 import ranges_text
from tests.commands.conftest import Manet, manet, texture

__all__ = ["manet"]

BLOCK = "restorer.blocks.0.dense.0"
WITH_INT8 = [entry for entry in load_manifest() if entry.int8]


@pytest.fixture(scope="module")
def weights() -> Weights:
    return load_weights("clean", 4)[0]


def listed(monkeypatch: pytest.MonkeyPatch, path: Path, text: str, sha256: str) -> None:
    """Put a file of ranges into the manifest, for weights with a digest."""
    path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(Entry, "int8_path", path)
    entry = dataclasses.replace(WITH_INT8[0], name="tried", int8=path.name, sha256=sha256)
    monkeypatch.setattr(manet_cli.weights.int8, "load_manifest", lambda: (entry,))


@pytest.mark.parametrize("entry", WITH_INT8, ids=lambda entry: str(entry.name))
def test_shipped_ranges_belong_to_their_weights(entry: Entry) -> None:
    model = build_int8(load_weights(entry.name)[0])
    found = [block.input_range for block in int8_blocks(model).values()]
    assert len([values for values in found if values]) > len(found) / 2


def test_a_file_that_was_written_is_read(
    weights: Weights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = ranges_text(weights.sha256, {BLOCK: (-1.25, 3.5)})
    listed(monkeypatch, tmp_path / "ranges.json", text, weights.sha256)
    blocks = int8_blocks(build_int8(weights))
    assert {name: block.input_range for name, block in blocks.items() if block.input_range} == {
        BLOCK: (-1.25, 3.5)
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ranges_text("0" * 64, {BLOCK: (-1.0, 1.0)}), "made from other weights"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "expected a digest and ranges"),
        ('{"ranges": []}', "expected a digest and ranges"),
        ("no such block", "no block 'restorer.tail'"),
        *(
            (values, "expected the least and the largest")
            for values in ("[1, 2]", "[-1]", "[-1, NaN]", "[0, 0]")
        ),
        *((values, "expected the least and the largest") for values in ('["-1", 1]', "[-1, true]", "3")),
    ],
)
def test_what_is_wrong_is_said(
    weights: Weights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, expected: str
) -> None:
    if "no such" in text:
        text = ranges_text(weights.sha256, {"restorer.tail": (-1.0, 1.0)})
    elif expected.startswith("expected the"):
        text = f'{{"weights": "{weights.sha256}", "ranges": {{"{BLOCK}": {text}}}}}'
    listed(monkeypatch, tmp_path / "ranges.json", text, weights.sha256)
    with pytest.raises(WeightsError, match=expected) as caught:
        build_int8(weights)
    assert "give precision='auto'" in str(caught.value)


def test_a_file_that_is_missing_is_said(
    weights: Weights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listed(monkeypatch, tmp_path / "ranges.json", json.dumps({}), weights.sha256)
    (tmp_path / "ranges.json").unlink()
    with pytest.raises(WeightsError, match=r"cannot be used \(No such file"):
        build_int8(weights)


def test_commands_refuse_what_cannot_run_in_int8(manet: Manet, weights: Weights, tmp_path: Path) -> None:
    Image.fromarray(texture(8, 8)).save(tmp_path / "photo.png")
    command = ["upscale", tmp_path / "photo.png", "--dry-run", "--precision", "int8"]
    refused = manet(*command, "--device", "cpu")
    assert refused.code == 2
    assert "--precision int8 does not run on cpu: give --device openvino" in refused.stderr
    if find_spec("openvino"):
        assert manet(*command, "--device", "openvino").code == 0
        unmeasured = tmp_path / "unmeasured.safetensors"
        save_file(dict(weights.tensors), unmeasured)  # without the metadata: another digest
        refused = manet(*command, "--device", "openvino", "--model", unmeasured)
        assert refused.code == 2
        assert "give other weights with --model, or --precision auto" in refused.stderr


def test_weights_without_ranges_name_those_that_have_them() -> None:
    other = dataclasses.replace(load_weights(WITH_INT8[0].name)[0], sha256="0" * 64)
    with pytest.raises(UsageError, match=f"measured for .*{WITH_INT8[0].name}.*: give other weights"):
        build_int8(other)
