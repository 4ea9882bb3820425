"""From a source to the cache: digests, conversion, and files left after errors."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from manet_cli.errors import UsageError, WeightsError
from manet_cli.weights import (
    Entry,
    describe_weights,
    list_weights,
    load_weights,
    locate_weights,
    names_here,
    pull,
    read_weights,
    resolve,
)
from manet_cli.weights.sources import parse_source
from tests.weights.servers import Remote, Server, address


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def left(cache: Path) -> list[str]:
    """The files in the cache, without the names of folders."""
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


@contextmanager
def downloads(name: str) -> Iterator[Callable[[float], None]]:
    yield lambda share: None


def accept(name: str, scale: int | None = None) -> resolve.Located:
    return locate_weights(name, scale, accept_unverified=True, downloads=downloads)


@pytest.fixture
def published(server: Server, pickle_file: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """An entry for x3 with an unknown digest, and its file on a server."""
    server.files["/small.pth"] = Remote(pickle_file.read_bytes())
    entry = Entry(
        "small_x3", "small", 3, "summary", "licence", url=address(server, "small.pth"), parameters=10
    )
    known(monkeypatch, entry)
    return entry


def known(monkeypatch: pytest.MonkeyPatch, *entries: Entry) -> None:
    for module in ("resolve", "inventory"):
        monkeypatch.setattr(f"manet_cli.weights.{module}.load_manifest", lambda: entries)


def test_an_unknown_digest_is_accepted_once(
    published: Entry, server: Server, cache: Path, pickle_file: Path, small_tensors: dict[str, Tensor]
) -> None:
    with pytest.raises(WeightsError, match=r"no known digest.*weights pull small_x3 --accept-unverified"):
        locate_weights("small", 3, downloads=downloads)
    assert not server.requests, "nothing is downloaded in vain"
    digest = sha256(pickle_file.read_bytes())
    located = accept("small", 3)
    assert (located.status, located.sha256, located.entry) == ("pulled", digest, published)
    assert left(cache) == ["receipt.json", "weights.safetensors"]
    # Converted, but still the weights of that file: results name the public digest.
    weights, scale = load_weights("small", 3)
    assert (scale, weights.sha256, weights.published) == (3, digest, False)
    assert read_weights(pickle_file).tensors.keys() == small_tensors.keys()
    for name, tensor in small_tensors.items():
        assert torch.equal(weights.tensors[name], tensor)
    assert len(server.requests) == 1, "what is here is used from here"


def test_later_pulls_must_match(published: Entry, server: Server, cache: Path, pickle_file: Path) -> None:
    located = accept("small", 3)
    located.path.unlink()
    assert locate_weights("small", 3, downloads=downloads).status == "pulled", "its digest is known now"
    located.path.unlink()
    changed = pickle_file.read_bytes() + b"\0"
    server.files["/small.pth"] = Remote(changed)
    for attempt in (accept, lambda name, scale: locate_weights(name, scale, downloads=downloads)):
        with pytest.raises(
            WeightsError, match=f"{sha256(changed)}, but the accepted digest is {located.sha256}"
        ):
            attempt("small", 3)
        assert left(cache) == ["receipt.json"]
    shutil.rmtree(located.path.parent)
    assert accept("small", 3).sha256 == sha256(changed)


def test_a_known_digest_needs_no_acceptance(
    server: Server, cache: Path, safetensors_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = safetensors_file.read_bytes()
    server.files["/small.safetensors"] = Remote(data)
    url = address(server, "small.safetensors")
    entry = Entry("small_x3", "small", 3, "", "", url=url, sha256=sha256(data))
    known(monkeypatch, entry)
    with pytest.raises(WeightsError, match="is not on this machine: get it with 'manet weights pull"):
        load_weights("small", 3)
    weights, _ = load_weights("small", 3, downloads)
    assert weights.sha256 == sha256(data)
    located = locate_weights("small_x3")
    assert (located.status, located.path.read_bytes()) == ("cached", data)
    assert locate_weights(f"{url}#sha256={sha256(data)}").status == "cached", "one file, one place"


def test_a_wrong_digest_leaves_nothing(server: Server, cache: Path, safetensors_file: Path) -> None:
    server.files["/small.safetensors"] = Remote(safetensors_file.read_bytes())
    url = f"{address(server, 'small.safetensors')}#sha256={'0' * 64}"
    for attempt in (accept, lambda name: locate_weights(name, downloads=downloads)):
        with pytest.raises(WeightsError, match=f"has sha256 .*, but its digest is {'0' * 64}"):
            attempt(url)
        assert not list(cache.iterdir())


def test_a_digest_that_becomes_known_wins(
    published: Entry, server: Server, cache: Path, pickle_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong file was accepted once; a manifest with the right digest replaces it."""
    right = pickle_file.read_bytes()
    server.files["/small.pth"] = Remote(right + b"\0")
    accept("small", 3)
    server.files["/small.pth"] = Remote(right)
    known(monkeypatch, Entry("small_x3", "small", 3, "", "", url=published.url, sha256=sha256(right)))
    assert load_weights("small", 3, downloads)[0].sha256 == sha256(right)


def test_what_is_no_network_leaves_nothing(server: Server, cache: Path, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    server.files["/other.pth"] = Remote((tmp_path / "other.pth").read_bytes())
    server.files["/page.pth"] = Remote(b"<html>")
    server.files["/page.safetensors"] = Remote(b"<html>")
    for name, reason in (
        ("other.pth", "neither an estimator nor"),
        ("page.pth", "damaged or is not a PyTorch file"),
        ("page.safetensors", "damaged or is not in the safetensors format"),
        ("gone.pth", "answered 404"),
    ):
        with pytest.raises(WeightsError, match=reason):
            accept(address(server, name))
        assert not list(cache.iterdir())


def test_another_scale_is_refused(
    published: Entry, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(monkeypatch, Entry("small_x2", "small", 2, "", "", url=published.url))
    with pytest.raises(WeightsError, match="is for x3, expected x2"):
        accept("small_x2")
    assert not list(cache.iterdir())
    url = str(published.url)
    accept(url)
    assert load_weights(url)[1] == 3
    with pytest.raises(UsageError, match="holds weights for x3, but you gave scale=2"):
        load_weights(url, 2)


def test_a_damaged_file_is_not_used(published: Entry, server: Server, cache: Path) -> None:
    path = accept("small", 3).path
    path.write_bytes(path.read_bytes()[:-4] + b"abcd")
    with pytest.raises(WeightsError, match="was changed or damaged since it was pulled: get it with"):
        load_weights("small", 3)
    weights, _ = load_weights("small", 3, downloads)
    assert len(server.requests) == 2
    assert locate_weights("small", 3).status == "cached"
    assert weights.scale == 3


def test_a_damaged_receipt_is_said(published: Entry, cache: Path) -> None:
    receipt = accept("small", 3).path.with_name("receipt.json")
    names = dict.fromkeys(("source", "sha256", "file", "file_sha256"), "a\0b")
    for text in ("{", "[]", '{"source": 1}', "\udcff", "[" * 50_000, json.dumps(names)):
        receipt.write_text(text, encoding="utf-8", errors="surrogateescape")
        with pytest.raises(WeightsError, match=r"receipt\.json cannot be read: remove its folder"):
            load_weights("small", 3)
        assert [row["name"] for row in list_weights()] == ["small_x3"]


def test_offline(published: Entry, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        accept("small", 3)
    assert not server.requests
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    accept("small", 3)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load_weights("small", 3)[1] == 3


def test_a_cache_that_cannot_be_written(
    published: Entry, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nothing")
    with pytest.raises(WeightsError, match=r"/proc/nothing/.*cannot be stored there .*set XDG_CACHE_HOME"):
        accept("small", 3)
    assert not server.requests


def test_a_relative_cache_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from manet_cli.weights import cache_folder

    monkeypatch.setenv("HOME", str(tmp_path))
    expected = tmp_path / ".cache" / "manet" / "weights"
    for value in ("", "relative/cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == expected
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == expected


def test_the_inventory(published: Entry, server: Server, cache: Path, safetensors_file: Path) -> None:
    server.files["/own.safetensors"] = Remote(safetensors_file.read_bytes())
    own = address(server, "own.safetensors")
    assert [(row["name"], row["where"], row["bytes"]) for row in list_weights()] == [
        ("small_x3", "pullable", 40)
    ]
    assert "estimator" not in describe_weights("small", 3)
    assert names_here() == []
    accept(own)
    path = accept("small", 3).path
    rows = {row["name"]: row for row in list_weights()}
    assert (rows["small_x3"]["where"], rows["small_x3"]["path"]) == ("cached", str(path))
    assert (rows[own]["where"], rows[own]["family"]) == ("cached", None)
    assert set(rows[own]) == set(rows["small_x3"])
    assert sorted(names_here()) == sorted(["small_x3", own])
    assert describe_weights("small", 3)["restorer_parameters"]
    path.unlink()
    assert [row["where"] for row in list_weights()] == ["pullable", "cached"]


def test_the_cache_may_be_moved(
    published: Entry, server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example to a machine without a network."""
    accept("small", 3)
    shutil.move(tmp_path / "cache", tmp_path / "elsewhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert load_weights("small", 3)[1] == 3
    assert len(server.requests) == 1


PULL = (
    "import sys\n"
    "from contextlib import contextmanager\n"
    "from manet_cli.weights import locate_weights\n"
    "@contextmanager\n"
    "def downloads(name):\n    yield lambda share: None\n"
    "located = locate_weights(sys.argv[1], accept_unverified=True, downloads=downloads)\n"
    "print(located.sha256)\n"
)


def test_two_processes_at_once(server: Server, cache: Path, pickle_file: Path, tmp_path: Path) -> None:
    """One process downloads, the other waits and uses the file."""
    released = threading.Event()
    server.files["/small.pth"] = Remote(pickle_file.read_bytes(), delay=released)
    command = [sys.executable, "-c", PULL, address(server, "small.pth")]
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    with ExitStack() as stack:
        files = [stack.enter_context(log.open("wb")) for log in logs]
        running = [
            stack.enter_context(subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT))
            for file in files
        ]
        for process in running:
            stack.callback(process.kill)
        deadline = time.monotonic() + 60
        while "waiting for another" not in "".join(log.read_text() for log in logs):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        released.set()
        assert [process.wait(60) for process in running] == [0, 0]
    digest = sha256(pickle_file.read_bytes())
    assert [log.read_text().splitlines()[-1] for log in logs] == [digest] * 2
    assert len(server.requests) == 1
    assert left(cache) == ["receipt.json", "weights.safetensors"]


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of 1 MiB as the cache."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if (
        os.name != "posix"
        or not shutil.which("mount")
        or subprocess.run(mount, capture_output=True).returncode
    ):
        pytest.skip("needs the right to mount a file system")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(published: Entry, server: Server, small_disk: Path, pickle_file: Path) -> None:
    """In the download, and in the conversion after it; the cache is empty either way."""
    cache = small_disk / "manet" / "weights"
    size = pickle_file.stat().st_size
    for free in (size // 2, size * 3 // 2):
        taken = shutil.disk_usage(small_disk).free - free
        filler = small_disk / "filler"
        try:
            filler.write_bytes(b"\0" * taken)
            with pytest.raises(WeightsError, match=r"No space left on device\): free some space"):
                accept("small", 3)
            assert not list(cache.iterdir())
        finally:
            filler.unlink()


def test_a_read_only_disk_with_weights_is_enough(published: Entry, server: Server, small_disk: Path) -> None:
    accept("small", 3)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert load_weights("small", 3)[1] == 3
    with pytest.raises(WeightsError, match="Read-only file system"):
        accept(f"{published.url}?other")


def test_receipts_are_plain(published: Entry, cache: Path) -> None:
    located = accept("small", 3)
    fields = json.loads(located.path.with_name("receipt.json").read_text())
    assert fields["source"] == published.url
    assert fields["sha256"] == located.sha256
    assert fields["file"] == "weights.safetensors"
    assert pull.cached(parse_source(str(published.url))) is not None
