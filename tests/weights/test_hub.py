"""The Hugging Face Hub: its library, against a local server that answers like the Hub.

The library reads its settings when it is imported, so each setting is tried in a process of its own, in which
several commands run one after the other.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from manet_cli.errors import WeightsError
from manet_cli.weights import hub as hub_module
from manet_cli.weights import transfer
from tests.guard import guarded
from tests.weights.servers import Hub, Remote, Server, address

RUN = """
import contextlib, io, json, sys
from manet_cli.cli import main
for line in sys.stdin:
    sys.argv = ["manet", *json.loads(line)]
    errors, stdout = io.StringIO(), io.TextIOWrapper(io.BytesIO())
    code = None
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(stdout):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    stdout.flush()
    output = stdout.buffer.getvalue().decode()
    print(json.dumps({"code": code, "stdout": output, "stderr": errors.getvalue()}), flush=True)
"""


class Machine:
    """A process with a new cache, in which commands run."""

    def __init__(self, home: Path, **settings: str) -> None:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("HF_") and not name.lower().endswith("_proxy")
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", RUN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment, "XDG_CACHE_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", **settings},
        )

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)

    def __call__(self, *arguments: str | Path) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(argument) for argument in arguments]) + "\n")
        self._process.stdin.flush()
        outcome: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert "Traceback" not in outcome["stderr"], outcome["stderr"]
        return outcome


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub().running() as hub:
        assert isinstance(hub, Hub)
        yield hub


def blobs(home: Path) -> list[bytes]:
    """The files in the Hub's cache."""
    return [path.read_bytes() for path in home.glob("huggingface/hub/models--*/blobs/*")]


def test_pulls(hub: Hub, tmp_path: Path, safetensors_file: Path, pickle_file: Path) -> None:
    ours, pickled = safetensors_file.read_bytes(), pickle_file.read_bytes()
    with Server().running() as store, Machine(tmp_path, HF_ENDPOINT=hub.url, HF_TOKEN="hf_secret") as manet:
        # A large file is on another server, and the connection to it breaks once.
        store.files["/blob"] = Remote(ours, cuts=[5000], etag=None)
        large = hub.add("me/mine/x3.safetensors", Remote(ours, redirect=address(store, "blob")))
        small = hub.add("me/mine/old/x3.pth", Remote(pickled))

        outcome = manet("weights", "pull", large)
        assert outcome["code"] == 3
        assert f"weights pull {large} --accept-unverified" in outcome["stderr"]
        assert not hub.requests
        assert not blobs(tmp_path)

        outcome = manet("weights", "pull", large, "--accept-unverified")
        digest = hashlib.sha256(ours).hexdigest()
        assert (outcome["code"], outcome["stderr"]) == (0, f"{large}: pulled, sha256 {digest}\n")
        path = Path(outcome["stdout"].strip())
        assert path.read_bytes() == ours
        assert path.is_relative_to(tmp_path / "huggingface"), "in the Hub's cache, not copied"

        # The token went only to the Hub.
        assert all(headers["authorization"] == "Bearer hf_secret" for *_, headers in hub.requests)
        assert hub.requests
        assert not [headers for *_, headers in store.requests if "authorization" in headers]
        assert len(store.requests) == 2

        outcome = manet("weights", "pull", small, "--accept-unverified", "--json", "-q")
        fields = json.loads(outcome["stdout"])
        assert (outcome["stderr"], fields["status"]) == ("", "pulled")
        assert fields["sha256"] == hashlib.sha256(pickled).hexdigest()
        assert Path(fields["path"]).is_relative_to(tmp_path / "manet"), "converted"

        # From here on no network is needed.
        hub.files.clear()
        hub.requests.clear()
        verified = manet("weights", "verify")["stdout"].splitlines()
        assert all(": sound" in line for line in verified)
        assert sum(line.startswith("hf://me/mine/") for line in verified) == 2
        assert manet("weights", "path", small)["stdout"].strip() == fields["path"]
        assert json.loads(manet("weights", "show", large, "--json")["stdout"])["scale"] == 3
        assert not hub.requests


def test_what_is_wrong(hub: Hub, tmp_path: Path, safetensors_file: Path) -> None:
    data = safetensors_file.read_bytes()
    source = hub.add("me/mine/x3.safetensors", Remote(data))
    with Machine(tmp_path, HF_ENDPOINT=hub.url) as manet:

        def refused(name: str, *options: str) -> str:
            outcome = manet("weights", "pull", name, *options)
            assert (outcome["code"], outcome["stdout"]) == (3, "")
            assert outcome["stderr"].startswith("manet: ")
            assert outcome["stderr"].count("\n") == 1, "a sentence, and nothing of the library's"
            assert not list((tmp_path / "manet" / "weights").iterdir())
            return str(outcome["stderr"])

        accept = "--accept-unverified"
        assert "no repository me/other" in refused("hf://me/other/x.pth@main", accept)
        assert "no revision 'v9'" in refused("hf://me/mine/x3.safetensors@v9", accept)
        assert "no file y.pth in main" in refused("hf://me/mine/y.pth@main", accept)
        wrong = f"{source}#sha256={'0' * 64}"
        assert f"its digest is {'0' * 64}" in refused(wrong)
        assert not blobs(tmp_path), "what is not what was asked for is not kept"
        assert "cannot be used" in refused(hub.add("me/mine/page.safetensors", Remote(b"<html>")), accept)
        assert not blobs(tmp_path)

        assert manet("weights", "pull", source, accept)["code"] == 0
        # The branch moves: the pulled file stays in use, and a new pull does not accept the new file.
        hub.revisions["main"] = hashlib.sha1(b"new").hexdigest()
        hub.add("me/mine/x3.safetensors", Remote(data[:-1] + b"\1"))
        outcome = manet("weights", "path", source)
        assert outcome["code"] == 0
        Path(outcome["stdout"].strip()).unlink()
        outcome = manet("weights", "pull", source, accept)
        assert outcome["code"] == 3
        assert "the accepted digest is" in outcome["stderr"]


def test_without_a_network(hub: Hub, tmp_path: Path, safetensors_file: Path) -> None:
    source = hub.add("me/mine/x3.safetensors", Remote(safetensors_file.read_bytes()))
    with Machine(tmp_path, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1") as manet:
        outcome = manet("weights", "pull", source, "--accept-unverified")
        assert (outcome["code"], hub.requests) == (3, [])
        assert "HF_HUB_OFFLINE is set" in outcome["stderr"]
        assert manet("upscale", tmp_path / "none.png", "--model", source)["code"] == 3
    with Server().running() as other, Machine(tmp_path, HF_ENDPOINT=other.url) as manet:
        other.files["/me/mine/resolve/main/x3.safetensors"] = Remote(safetensors_file.read_bytes())
        outcome = manet("weights", "pull", source, "--accept-unverified")
        assert outcome["code"] == 3
        assert "the Hub cannot be reached" in outcome["stderr"]
        assert "check the connection, HTTPS_PROXY and HF_ENDPOINT" in outcome["stderr"]


@pytest.mark.parametrize(
    "headers",
    [
        ("X-Repo-Commit: ../../../../../escaped", 'ETag: "good"'),
        ("X-Repo-Commit: good", 'ETag: "../../../../../escaped"'),
        ("X-Repo-Commit: good", 'ETag: "good"', "X-Linked-Etag: /escaped"),
        ("X-Repo-Commit: ..", 'ETag: "good"'),
    ],
)
def test_headers_that_lead_out_of_the_cache(headers: tuple[str, ...], hub: Hub, tmp_path: Path) -> None:
    head = "\r\n".join(("HTTP/1.1 200 OK", *headers, "Content-Length: 4", "", ""))
    source = hub.add("me/mine/x3.safetensors", Remote(b"", raw=head.encode() + b"evil"))
    home = tmp_path / "a" / "b" / "c" / "d" / "home"
    with Machine(home, HF_ENDPOINT=hub.url) as manet:
        outcome = manet("weights", "pull", source, "--accept-unverified")
    assert outcome["code"] == 3
    assert "header is not valid for the Hub" in outcome["stderr"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"evil" in path.read_bytes()]
    assert not [
        path for path in tmp_path.rglob("*") if not path.is_relative_to(home) and path not in home.parents
    ]


def test_a_hub_that_does_not_end(hub: Hub, tmp_path: Path) -> None:
    announced = b"HTTP/1.1 200 OK\r\nX-Repo-Commit: good\r\nETag: good\r\nContent-Length: 99000000000\r\n\r\n"
    source = hub.add("me/mine/x3.safetensors", Remote(b"", raw=announced, endless=True))
    with guarded(), Machine(tmp_path, HF_ENDPOINT=hub.url) as manet:
        outcome = manet("weights", "pull", source, "--accept-unverified")
    assert outcome["code"] == 3
    assert "the server has more than 1024 MiB" in outcome["stderr"]
    assert not blobs(tmp_path)


def test_a_stream_of_the_hub_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body without a length is cut at the limit, and a dripping one is aborted."""
    http = importlib.import_module(type(huggingface_hub.get_session()).__module__.partition(".")[0])
    monkeypatch.setattr(transfer, "LARGEST_FILE", 1 << 20)

    def body(size: int) -> Iterator[bytes]:
        while True:
            yield bytes(size)

    def read(size: int) -> None:
        response = http.Response(200, content=body(size))
        hub_module._check("x", transfer.Meter("x"), response)
        for _ in response.iter_raw():
            pass

    with guarded(), pytest.raises(WeightsError, match="the server has more than 1 MiB"):
        read(1 << 16)
    monkeypatch.setattr(transfer, "_GRACE", -10.0)
    with guarded(), pytest.raises(WeightsError, match="sends less than"):
        read(1)
