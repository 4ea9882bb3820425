"""Pulled weights, by name or address, in every command."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from manet_cli.weights import find_entry
from tests.commands.conftest import Manet
from tests.weights.conftest import cache, server, tls  # noqa: F401 - fixtures
from tests.weights.servers import Remote, Server, address


@pytest.fixture
def remote(server: Server) -> str:  # noqa: F811
    """The address of the shipped weights on a server."""
    path = find_entry("default").path
    assert path is not None
    server.files["/away.safetensors"] = Remote(path.read_bytes(), cuts=[1_000_000])
    return address(server, "away.safetensors")


def test_a_source_is_a_model(manet: Manet, server: Server, remote: str, photo: Path) -> None:  # noqa: F811
    outcome = manet("upscale", photo, "--model", remote)
    assert (outcome.code, outcome.stdout) == (3, "")
    assert f"manet weights pull {remote} --accept-unverified" in outcome.stderr
    pinned = f"{remote}#sha256={find_entry('default').sha256}"
    assert manet("upscale", photo, "--model", pinned, "--dry-run").code == 3
    assert not server.requests, "a dry run touches nothing"
    assert manet("upscale", photo, "--model", pinned, "-s", "2").code == 2
    assert manet("upscale", photo, "--model", pinned).code == 0
    assert len(server.requests) == 2, "the connection broke once; no other command asks again"
    assert manet("upscale", photo, "--model", "clean").stderr.endswith("made already, skipped\n"), (
        "the same weights"
    )
    assert manet("kernels", photo, "--model", remote, "--stride", "20").code == 0
    (line,) = manet("evaluate", photo, "--model", remote, "--protocol", "9,1,0", "--json").lines[:1]
    assert json.loads(line)["weights_sha256"] == find_entry("default").sha256
    assert len(server.requests) == 2


def test_a_family_that_is_gone(manet: Manet, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = "there are no weights 'fast' any more: use 'default'.\n"
    for command in (["upscale", photo, "--model", "fast"], ["weights", "pull", "fast"]):
        outcome = manet(*command)
        assert (outcome.code, outcome.lines) == (3, [])
        assert outcome.stderr.endswith(sentence)
    monkeypatch.setenv("MANET_MODEL", "fast")
    assert manet("evaluate", photo).stderr.endswith(sentence)


def test_pull(manet: Manet, server: Server, remote: str) -> None:  # noqa: F811
    outcome = manet("weights", "pull", "default", remote, "--json")
    shipped, refused = outcome.json
    assert (outcome.code, shipped["status"], refused["status"]) == (3, "shipped", "failed")
    assert shipped["path"] == manet("weights", "path", "default").lines[0]
    assert (refused["path"], refused["error"]) == (
        None,
        outcome.stderr.splitlines()[-1].removeprefix("manet: "),
    )
    outcome = manet("weights", "pull", remote, "--accept-unverified")
    assert outcome.stderr == f"{remote}: pulled, sha256 {shipped['sha256']}\n"
    (path,) = outcome.lines
    assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == shipped["sha256"]
    outcome = manet("weights", "pull", remote, "-q")
    assert (outcome.code, outcome.lines, outcome.stderr) == (0, [path], "")
    assert f"{remote}: sound" in manet("weights", "verify").stdout
    assert [line for line in manet("weights", "list").lines if line.startswith(remote) and "cached" in line]
    Path(path).write_bytes(b"damaged")
    outcome = manet("weights", "verify")
    assert outcome.code == 3
    assert "was changed or damaged" in outcome.stderr


def test_published_weights_are_described_and_not_fetched(manet: Manet, cache: Path) -> None:  # noqa: F811
    for stage in ("published-stage1", "published-stage2", "published"):
        for scale in ("2", "3", "4"):
            fields = json.loads(manet("weights", "show", stage, "-s", scale, "--json").stdout)
            assert (fields["where"], fields["sha256"]) == ("pullable", None)
            assert fields["url"].endswith(f"_x{scale}.pth")
    assert manet("weights", "path", "published").code == 3
    assert manet("weights", "verify", "published").code == 3
    assert manet("weights", "show", "https://example.org/w.pth").code == 3
    assert manet("weights", "pull", "hf://me/w.pth").code == 2
    assert not cache.exists()


def test_the_manifest_counts_as_the_published_layout_does() -> None:
    """Numbers of parameters in the manifest, against networks of the published setting."""
    from manet_cli.models import BlindConfig, BlindModel, MANetConfig, RRDBSFTConfig

    for scale in (2, 3, 4):
        parts = {
            "published-stage1": BlindConfig(MANetConfig(), None),
            "published-stage2": BlindConfig(None, RRDBSFTConfig(scale=scale)),
            "published": BlindConfig(MANetConfig(), RRDBSFTConfig(scale=scale)),
        }
        for family, config in parts.items():
            count = sum(tensor.numel() for tensor in BlindModel(config).state_dict().values())
            assert find_entry(family, scale).parameters == count
