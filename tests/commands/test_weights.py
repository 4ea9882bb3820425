"""`manet weights`: information about weights, and conversion."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest

from manet_cli.weights import load_manifest
from tests.commands.conftest import Manet


def test_list(manet: Manet) -> None:
    names = [entry.name for entry in load_manifest()]
    outcome = manet("weights", "list")
    assert outcome.code == 0
    assert [line.split()[0] for line in outcome.lines if line[:1].strip()][1:] == ["default", *names]
    entries = json.loads(manet("weights", "list", "--json").stdout)
    assert [entry["name"] for entry in entries] == names
    assert Path(entries[0]["path"]).stat().st_size == entries[0]["bytes"]
    assert all(entry["sha256"] or entry["url"] for entry in entries)


def test_path_verify_show(manet: Manet) -> None:
    (path,) = manet("weights", "path", "default").lines
    assert manet("weights", "path", "clean_x4", "-s", "4").lines == [path]
    assert manet("weights", "path", path).lines == [path]
    assert Path(path).is_file()
    outcome = manet("weights", "verify")
    assert outcome.code == 0
    assert "clean_x4: sound" in outcome.stdout
    fields = json.loads(manet("weights", "show", path, "--json").stdout)
    assert fields["estimator_parameters"] == 1_810_361
    assert fields["scale"] == 4
    shown = manet("weights", "show", "default").stdout
    assert f"sha256: {fields['sha256']}" in shown
    assert "licence: " in shown
    assert "pair: clean_x4" in shown.replace("[", "").replace("'", "")
    assert "pair" not in manet("weights", "show", "camera").stdout


def test_convert_both_ways(manet: Manet, tmp_path: Path, photo: Path) -> None:
    (path,) = manet("weights", "path", "default").lines
    published, ours = tmp_path / "a.pth", tmp_path / "b.safetensors"
    assert manet("weights", "convert", path, published).lines == [str(published)]
    assert manet("weights", "convert", published, ours).code == 0
    assert ours.read_bytes() == Path(path).read_bytes()
    assert manet("weights", "convert", published, ours).code == 1, "it exists"
    assert manet("weights", "convert", published, ours, "--overwrite").code == 0
    assert manet("weights", "convert", published, tmp_path / "c.onnx").code == 2
    (tmp_path / "link.pth").symlink_to(published)
    before = published.read_bytes()
    for name in (published, tmp_path / "link.pth"):
        outcome = manet("weights", "convert", published, name, "--overwrite")
        assert (outcome.code, "inputs are never overwritten" in outcome.stderr) == (1, True)
    assert published.read_bytes() == before
    manet("upscale", photo, "-o", tmp_path / "shipped.png")
    manet("upscale", photo, "--model", published, "-o", tmp_path / "converted.png")
    assert manet("upscale", photo, "--model", published, "-s", "2").code == 2


def test_export_asks_for_what_it_needs(manet: Manet, tmp_path: Path) -> None:
    (path,) = manet("weights", "path", "default").lines
    there, link = tmp_path / "there.onnx", tmp_path / "link.onnx"
    there.write_bytes(b"mine")
    link.symlink_to(path)
    new = tmp_path / "new.onnx"
    for code, said, *arguments in (
        (1, "--overwrite", "default", there),
        (1, "inputs are never overwritten", path, link, "--overwrite"),
        (1, "cannot be written", "default", tmp_path / "missing" / "a.onnx"),
        (2, "--precision bf16", "default", new, "--precision", "bf16"),
        (2, "--size 8", "default", new, "--size", "8"),
        (2, ".onnx", "default", tmp_path / "new.pth"),
        (2, "-s 2", path, new, "-s", "2"),
        (3, "no weights called", "nobody", new),
    ):
        outcome = manet("weights", "export", *arguments)
        assert (outcome.code, outcome.stdout) == (code, ""), arguments
        assert said in outcome.stderr
        assert "Traceback" not in outcome.stderr
    assert there.read_bytes() == b"mine"
    assert set(tmp_path.iterdir()) == {there, link}


def test_export_by_name_and_scale(manet: Manet, tmp_path: Path) -> None:
    target = tmp_path / "x2.onnx"
    target.write_bytes(b"old")
    outcome = manet("weights", "export", "default", target, "-s", "2", "--size", "16", "--overwrite")
    assert (outcome.code, outcome.lines, outcome.stderr) == (0, [str(target)], "")
    shape = onnx.load(target).graph.output[0].type.tensor_type.shape
    assert [dimension.dim_value for dimension in shape.dim] == [1, 3, 32, 32]


def test_bad_weights_end_in_3(manet: Manet, tmp_path: Path, photo: Path) -> None:
    (path,) = manet("weights", "path", "default").lines
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(Path(path).read_bytes()[:100_000])
    for arguments in (
        ("verify", cut),
        ("show", cut),
        ("path", "published"),
        ("convert", cut, tmp_path / "x.pth"),
    ):
        outcome = manet("weights", *arguments)
        assert (outcome.code, outcome.stdout) == (3, "")
        assert outcome.stderr.startswith("manet: ")
        assert "Traceback" not in outcome.stderr
    assert manet("upscale", photo, "--model", cut).code == 3
    outcome = manet("weights", "verify", cut, "default")
    assert (outcome.code, len(outcome.lines)) == (3, 1)


def test_a_part_alone(manet: Manet, tmp_path: Path, photo: Path) -> None:
    """Weights with one network work where it is enough; elsewhere the message names the missing network."""
    import safetensors.torch

    (path,) = manet("weights", "path", "default").lines
    tensors = safetensors.torch.load_file(path)
    for part in ("estimator", "restorer"):
        kept = {
            name: value
            for name, value in tensors.items()
            if (name.split(".")[0] == "estimator") == (part == "estimator")
        }
        safetensors.torch.save_file(kept, tmp_path / f"{part}.safetensors")
    estimator, restorer = tmp_path / "estimator.safetensors", tmp_path / "restorer.safetensors"
    assert manet("kernels", photo, "--model", estimator, "--stride", "9").code == 0
    assert manet("upscale", photo, "--model", estimator).code == 3
    assert manet("kernels", photo, "--model", restorer, "--overwrite").code == 3
    assert manet("upscale", photo, "--model", restorer).code == 3
    assert manet("upscale", photo, "--model", restorer, "--sigma", "1.5").code == 0


def test_a_damaged_installation(manet: Manet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from manet_cli.weights.manifest import Entry

    (path,) = manet("weights", "path", "default").lines
    changed = tmp_path / "changed.safetensors"
    shutil.copy(path, changed)
    changed.write_bytes(changed.read_bytes()[:-1] + b"\x7f")
    monkeypatch.setattr(Entry, "path", changed)
    outcome = manet("weights", "verify")
    assert outcome.code == 3
    assert "sha256" in outcome.stderr
