"""Local servers that behave as well or as badly as real servers of weights."""

from __future__ import annotations

import hashlib
import http.server
import re
import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, unquote


@dataclass
class Remote:
    """A file on a server, and its behaviour.

    Attributes:
        data: the content.
        cuts: byte counts after which the connection ends, one per request; then the file is served whole.
        etag: sent and compared; None for none.
        redirect: address of a redirect.
        status: status to answer instead of the file.
        html: whether the answer is a web page, with any status.
        claim: bytes that Content-Length exceeds the true length by.
        careless: whether a part is sent of the present version, not of the requested one.
        delay: the event that a response waits for before its body.
        raw: all that is answered, from the status line on, again and again until the client hangs up if
            `endless`; the last bytes one by one if `drips`.
    """

    data: bytes
    cuts: list[int] = field(default_factory=list)
    etag: str | None = '"v1"'
    redirect: str | None = None
    status: int = 200
    html: bool = False
    claim: int = 0
    careless: bool = False
    delay: threading.Event | None = None
    raw: bytes | None = None
    endless: bool = False
    drips: bool = False


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` by path, and records the requests."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, Remote] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.scheme = "https" if tls else "http"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def headers_of(self, method: str, path: str) -> list[dict[str, str]]:
        return [headers for m, p, headers in self.requests if (m, p) == (method, path)]

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: clients here hang up and distrust on purpose."""

    @contextmanager
    def running(self) -> Iterator[Server]:
        thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _extra_headers(self, remote: Remote) -> None:
        if remote.etag:
            self.send_header("ETag", remote.etag)

    def _find(self, path: str) -> Remote | None:
        return self.server.files.get(path)

    def _answer(self, body: bool) -> None:
        path = unquote(self.path.partition("?")[0])
        self.server.requests.append(
            (self.command, path, {name.lower(): value for name, value in self.headers.items()})
        )
        remote = self._find(path)
        if remote is not None and remote.raw is not None:
            self._raw(remote, remote.raw)
        elif remote is None:
            self._page(HTTPStatus.NOT_FOUND, body)
        elif remote.html or remote.status >= HTTPStatus.BAD_REQUEST:
            self._page(remote.status, body)
        elif remote.redirect:
            self.send_response(302)
            self.send_header("Location", remote.redirect)
            self._extra_headers(remote)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._file(remote, body)

    def _raw(self, remote: Remote, raw: bytes) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.write(raw)
            while remote.endless:
                self.wfile.write(bytes(1 << 20))
            while remote.drips:
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)

    def _page(self, status: int, body: bool) -> None:
        page = b"<html><body>Not what you want</body></html>"
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if body:
            self.wfile.write(page)

    def _file(self, remote: Remote, body: bool) -> None:
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and (remote.careless or self.headers.get("If-Range", remote.etag) == remote.etag):
            start = int(asked[1])
        if start >= len(remote.data) and start:
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(remote.data) - 1}/{len(remote.data)}")
        self._extra_headers(remote)
        self.send_header("Content-Length", str(len(remote.data) - start + remote.claim))
        self.end_headers()
        if not body:
            return
        if remote.delay:
            remote.delay.wait(30)
        if remote.cuts:
            self.wfile.write(remote.data[start : start + remote.cuts.pop(0)])
            self._hang_up()
            return
        self.wfile.write(remote.data[start:])
        if remote.claim:
            self._hang_up()

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True


class HubHandler(Handler):
    """Answers like the Hub: resolve addresses, commits, and large files on another server."""

    server: Hub

    def _find(self, path: str) -> Remote | None:
        match = re.fullmatch(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)", path)
        if match is None:
            return None
        commit = self.server.revisions.get(match["revision"], match["revision"])
        return self.server.files.get(f"/{match['repo']}/{commit}/{match['file']}")

    def _extra_headers(self, remote: Remote) -> None:
        digest = hashlib.sha256(remote.data).hexdigest()
        name = unquote(self.path).split("/")[4]
        self.send_header("X-Repo-Commit", self.server.revisions.get(name, name))
        self.send_header("ETag", f'"{digest}"')
        if remote.redirect:
            self.send_header("X-Linked-Etag", f'"{digest}"')
            self.send_header("X-Linked-Size", str(len(remote.data)))

    def _page(self, status: int, body: bool) -> None:
        self.send_response(status)
        if status == HTTPStatus.NOT_FOUND:
            parts = unquote(self.path).split("/")
            known = any(path.startswith("/" + "/".join(parts[1:3]) + "/") for path in self.server.files)
            revision = len(parts) > 4 and (
                parts[4] in self.server.revisions or parts[4] in self.server.revisions.values()
            )
            code = "EntryNotFound" if revision else "RevisionNotFound"
            self.send_header("X-Error-Code", code if known else "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()


class Hub(Server):
    """A Hub; `files` are by ``/OWNER/REPO/COMMIT/FILE``."""

    def __init__(self) -> None:
        super().__init__()
        self.RequestHandlerClass = HubHandler
        self.revisions: dict[str, str] = {}

    def add(self, path: str, remote: Remote, revision: str = "main") -> str:
        """Add a file to a repository, and return its source."""
        owner, repo, file = path.split("/", 2)
        commit = self.revisions.setdefault(revision, hashlib.sha1(revision.encode()).hexdigest())
        self.files[f"/{owner}/{repo}/{commit}/{file}"] = remote
        return f"hf://{owner}/{repo}/{file}@{revision}"


class Proxy(http.server.ThreadingHTTPServer):
    """A proxy that tunnels, and records the targets."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ProxyHandler)
        self.tunnels: list[str] = []

    @contextmanager
    def running(self) -> Iterator[str]:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{self.server_port}"
        finally:
            self.shutdown()
            self.server_close()


class ProxyHandler(http.server.BaseHTTPRequestHandler):
    server: Proxy

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_CONNECT(self) -> None:
        self.server.tunnels.append(self.path)
        host, port = self.path.split(":")
        with socket.create_connection((host, int(port))) as upstream:
            self.send_response(200)
            self.end_headers()
            pair = {self.connection: upstream, upstream: self.connection}
            while True:
                for side in select.select(list(pair), [], [], 30)[0]:
                    if not (data := side.recv(1 << 16)):
                        return
                    pair[side].sendall(data)


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Make a certificate for this machine; return its file, for clients to trust, and a server's context."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=loopback"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return cert, context


def address(server: Server, name: str) -> str:
    """The address of a file."""
    return f"{server.url}/{quote(name)}"
