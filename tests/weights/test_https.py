"""Downloads from a local server, over connections that break."""

from __future__ import annotations

import errno
import ssl
from pathlib import Path

import pytest

from manet_cli.errors import WeightsError
from manet_cli.weights import https, transfer
from manet_cli.weights.sources import HttpsSource, parse_source
from tests.guard import guarded
from tests.weights.servers import Proxy, Remote, Server, address

DATA = bytes(range(256)) * 8000  # 2 MB: several blocks


class Download:
    """A download to a new file, with its progress calls."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "partial.pth"
        self.shares: list[float] = []

    def __call__(self, url: str) -> bytes:
        source = parse_source(url)
        assert isinstance(source, HttpsSource)
        https.download(source, self.target, self.shares.append)
        assert sorted(self.target.parent.glob("partial*")) == [self.target], "nothing else stays"
        return self.target.read_bytes()


@pytest.fixture
def download(tmp_path: Path) -> Download:
    return Download(tmp_path)


def test_a_file(server: Server, download: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    server.files["/a+b.pth"] = Remote(DATA)
    assert download(address(server, "a+b.pth")) == DATA
    assert download.shares == sorted(download.shares)
    assert download.shares[-1] == 1.0
    ((_, _, headers),) = server.requests
    assert headers["user-agent"].startswith("manet-cli/")
    assert headers["accept-encoding"] == "identity"
    assert "hf_secret" not in str(headers), "the Hub's token is the Hub's"


def test_an_address_beyond_ascii(server: Server, download: Download) -> None:
    server.files["/ü%b.pth"] = Remote(DATA)
    assert download(f"{server.url}/ü%25b.pth?ß") == DATA


def test_cut_connections_are_taken_up_where_they_ended(server: Server, download: Download) -> None:
    server.files["/w.pth"] = Remote(DATA, cuts=[1_000_000, 500_000, 0, 0])
    assert download(address(server, "w.pth")) == DATA
    ranges = [headers.get("range") for _, _, headers in server.requests]
    assert ranges == [None, "bytes=1000000-", *["bytes=1500000-"] * 3]


def test_the_next_run_goes_on(server: Server, download: Download) -> None:
    server.files["/w.pth"] = Remote(DATA, cuts=[700_000, 0, 0, 0, 0])
    with pytest.raises(WeightsError, match="run the command again; it resumes the download"):
        download(address(server, "w.pth"))
    assert download.target.read_bytes() == DATA[:700_000]
    server.requests.clear()
    server.files["/w.pth"].cuts.clear()
    assert download(address(server, "w.pth")) == DATA
    assert [headers["range"] for _, _, headers in server.requests] == ["bytes=700000-"]


@pytest.mark.parametrize("etag", ['"v2"', 'W/"v1"', None])
def test_a_file_that_changed_meanwhile_is_begun_again(
    server: Server, download: Download, etag: str | None
) -> None:
    """Different versions are never mixed, and without a version nothing is resumed."""
    new = bytes(reversed(DATA))
    server.files["/w.pth"] = Remote(DATA, cuts=[700_000, 0, 0, 0], etag='"v1"' if etag else None)
    with pytest.raises(WeightsError):
        download(address(server, "w.pth"))
    server.files["/w.pth"] = Remote(new, etag=etag)
    assert download(address(server, "w.pth")) == new


def test_a_part_of_another_version_is_not_taken(server: Server, download: Download) -> None:
    new = bytes(reversed(DATA))
    server.files["/w.pth"] = Remote(DATA, cuts=[700_000, 0, 0, 0])
    with pytest.raises(WeightsError):
        download(address(server, "w.pth"))
    server.files["/w.pth"] = Remote(new, etag='"v2"', careless=True)
    assert download(address(server, "w.pth")) == new


def test_a_file_that_became_shorter_is_begun_again(server: Server, download: Download) -> None:
    server.files["/w.pth"] = Remote(DATA, cuts=[700_000, 0, 0, 0])
    with pytest.raises(WeightsError):
        download(address(server, "w.pth"))
    server.files["/w.pth"] = Remote(DATA[:1000])
    assert download(address(server, "w.pth")) == DATA[:1000]


def test_a_truncated_body_is_no_file(server: Server, download: Download) -> None:
    server.files["/w.pth"] = Remote(DATA, claim=10, etag=None)
    with pytest.raises(WeightsError, match=f"ended after {len(DATA)} of {len(DATA) + 10} bytes"):
        download(address(server, "w.pth"))


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        (None, "answered 404; check the address"),
        (Remote(b"", status=403), "answered 403"),
        (Remote(b"", html=True), "a web page instead of a file"),
        (Remote(b"", status=503), r"the server answered 503\): check the connection"),
    ],
)
def test_what_is_not_there(server: Server, download: Download, remote: Remote | None, expected: str) -> None:
    if remote:
        server.files["/w.pth"] = remote
    with pytest.raises(WeightsError, match=expected) as caught:
        download(address(server, "w.pth") + "?secret")
    assert "secret" not in str(caught.value)
    assert not download.target.exists()


def test_redirects_are_followed_to_https_alone(
    server: Server, download: Download, tls: tuple[Path, ssl.SSLContext]
) -> None:
    with Server(tls[1]).running() as store, Server().running() as plain:
        store.files["/blob"] = plain.files["/blob"] = Remote(DATA, cuts=[1000])
        server.files["/w.pth"] = Remote(b"", redirect=address(store, "blob"))
        assert download(address(server, "w.pth")) == DATA
        assert [headers.get("range") for _, _, headers in store.requests] == [None, "bytes=1000-"]
        server.files["/w.pth"] = Remote(b"", redirect=address(plain, "blob"))
        with pytest.raises(WeightsError, match="without https"):
            download(address(server, "w.pth"))
        assert not plain.requests
    server.files["/w.pth"] = Remote(b"", redirect=address(server, "w.pth"))
    with pytest.raises(WeightsError, match="answered 302"):
        download(address(server, "w.pth"))


def test_an_unknown_certificate(server: Server, download: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["/w.pth"] = Remote(DATA)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(WeightsError, match="certificate is not trusted"):
        download(address(server, "w.pth"))
    assert not server.requests


def test_nobody_listens(server: Server, download: Download) -> None:
    server.server_close()
    with pytest.raises(WeightsError, match=r"the download failed \(Connection refused\)"):
        download(address(server, "w.pth"))


def test_the_proxy_of_the_environment(
    server: Server, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/w.pth"] = Remote(DATA)
    proxy = Proxy()
    with proxy.running() as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        assert download(address(server, "w.pth")) == DATA
        assert proxy.tunnels == [f"127.0.0.1:{server.server_port}"]
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert download(address(server, "w.pth")) == DATA
        assert len(proxy.tunnels) == 1


def test_a_disk_that_fills_up(server: Server, download: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is reported; no file stays on the full disk."""
    server.files["/w.pth"] = Remote(DATA)

    def full(share: float) -> None:
        if share > 0.5:
            raise OSError(errno.ENOSPC, "No space left on device")

    source = parse_source(address(server, "w.pth"))
    assert isinstance(source, HttpsSource)
    with pytest.raises(
        WeightsError, match=r"cannot be stored there \(No space left on device\): free some space"
    ):
        https.download(source, download.target, full)
    assert not list(download.target.parent.glob("partial*"))


def answer(*headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *headers, "", "")).encode("latin-1")


HOSTS = ("[::1", "127.0.0.1:99999x", "", f"{'a' * 70}.x", "\xff..\xfe")
ANSWERS = {
    **{f"to {host[:20]}": answer(f"Location: https://{host}/x", status="302 Found") for host in HOSTS},
    "to a file": answer("Location: file:///etc/passwd", status="302 Found"),
    "no status": b"HTTP/1.1 abc OK\r\n\r\n",
    "empty lines": b"\r\n" * 1000,
    "no http": b"\0\1\2 not http\r\n\r\n",
    "no chunk": answer("Transfer-Encoding: chunked") + b"zzzz\r\nabc\r\n",
    "negative chunk": answer("Transfer-Encoding: chunked") + b"-5\r\nabc\r\n",
    "many headers": answer(*["X: y"] * 1000),
    "another part": answer("Content-Range: bytes 100-200/300", "Content-Length: 3", status="206 Part")
    + b"abc",
    "escapes": answer("Content-Length: 9", 'ETag: "a\x1b[31m\xff"') + b"abc",
    "reason": answer(status="404 \x1b[31mESC"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_that_make_no_sense(name: str, server: Server, download: Download) -> None:
    server.files["/w.pth"] = Remote(b"", raw=ANSWERS[name])
    with guarded(), pytest.raises(WeightsError) as caught:
        download(address(server, "w.pth"))
    assert not {"\x1b", "\r", "\n"} & set(str(caught.value))


@pytest.mark.parametrize("length", [None, 1 << 40])
def test_more_than_any_weights(
    length: int | None, server: Server, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by its announced length, or at the limit; no file is kept."""
    monkeypatch.setattr(transfer, "LARGEST_FILE", 5 << 20)
    head = answer() if length is None else answer(f"Content-Length: {length}")
    server.files["/w.pth"] = Remote(b"", raw=head, endless=True)
    with guarded(), pytest.raises(WeightsError, match="the server has more than 5 MiB"):
        download(address(server, "w.pth"))
    assert not list(download.target.parent.glob("partial*"))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "head",
    [answer("Content-Length: 1000000"), b"HTTP/1.1 200 OK\r\nX: ", answer("Transfer-Encoding: chunked")],
    ids=["body", "head", "chunk"],
)
def test_a_server_that_drips(
    head: bytes, server: Server, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_GRACE", 0.5)
    server.files["/w.pth"] = Remote(b"", raw=head, drips=True)
    with guarded(), pytest.raises(WeightsError, match="sends less than 1024 bytes a second"):
        download(address(server, "w.pth"))
