"""Downloads over https that survive a cut connection, now or at the next run."""

from __future__ import annotations

import http.client
import logging
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, NoReturn
from urllib.parse import urlsplit

from manet_cli import __version__
from manet_cli.errors import WeightsError
from manet_cli.weights.cache import not_kept
from manet_cli.weights.sources import HttpsSource

__all__ = ["download"]

logger = logging.getLogger(__name__)

_ATTEMPTS = 4  # in a row without a byte gained
_PAUSE = 0.5  # seconds before the second attempt, doubled for each further one
_TIMEOUT = 30  # seconds without a byte
_BLOCK = 1 << 18
_PASSING = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)


class _InterruptedError(Exception):
    """The transfer broke off; another attempt may go on where it stopped."""


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https alone. There is no token that a redirect could carry on: none is sent."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            raise WeightsError(f"{_shown(req.full_url)}: the server sends on to an address without https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(source: HttpsSource, target: Path, progress: Callable[[float], None]) -> None:
    """Download to ``target``, going on where an earlier attempt stopped if the file is still the same.

    What tells whether it is (the server's ETag or date) is kept beside ``target`` until all is there.
    Proxies are those of the environment (``HTTPS_PROXY``, ``NO_PROXY``).

    Args:
        source: the address.
        target: file that is written; of a transfer that broke off it holds the beginning.
        progress: is told the share done, where the server says how much there is.

    Raises:
        WeightsError: there is no such file, it cannot be had now, or it cannot be written.
    """
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=ssl.create_default_context()), _HttpsOnly
    )
    part = _Part(source, target)
    failures = 0
    while True:
        size = part.size
        try:
            _attempt(opener, part, progress)
            return
        except _InterruptedError as error:
            failures = 1 if part.size > size else failures + 1
            if failures == _ATTEMPTS:
                raise WeightsError(
                    f"{source.label}: the download failed ({error}): check the connection (and HTTPS_PROXY), "
                    "then run the command again; it goes on where it stopped"
                ) from error
            logger.info("%s: %s; trying again", source.label, error)
            time.sleep(_PAUSE * 2 ** (failures - 1))


class _Part:
    """The file while it grows, and what tells which version of it has begun."""

    def __init__(self, source: HttpsSource, target: Path) -> None:
        self.source = source
        self.target = target
        self._note = target.with_name(f"{target.name}.version")

    @property
    def size(self) -> int:
        return self.target.stat().st_size if self.target.exists() else 0

    @property
    def version(self) -> str | None:
        """What the server called the version that has begun; None if it cannot be gone on with."""
        try:
            return self._note.read_text(encoding="latin-1") if self.size else None
        except OSError:
            return None

    def begin(self, version: str | None) -> None:
        """Forget what is there and note the version that now begins."""
        self.drop()
        if version:
            self._note.write_text(version, encoding="latin-1")

    def whole(self) -> None:
        self._note.unlink(missing_ok=True)

    def drop(self) -> None:
        self.target.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _attempt(opener: urllib.request.OpenerDirector, part: _Part, progress: Callable[[float], None]) -> None:
    headers = {"User-Agent": f"manet-cli/{__version__}", "Accept-Encoding": "identity"}
    if version := part.version:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": version}
    request = urllib.request.Request(part.source.text, headers=headers)
    try:
        response = opener.open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            _refused(part, error.code)
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise WeightsError(
                f"{part.source.label}: the server's certificate is not trusted "
                f"({error.reason.verify_message}): if you trust it, name its authority with SSL_CERT_FILE"
            ) from error
        raise _InterruptedError(_reason(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedError(_reason(error)) from error
    with response:
        _receive(response, part, progress)
    part.whole()


def _refused(part: _Part, status: int) -> NoReturn:
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.drop()
        raise _InterruptedError("the file became shorter")
    if status in _PASSING:
        raise _InterruptedError(f"the server answered {status}")
    raise WeightsError(f"{part.source.label}: the server answered {status}; check the address")


def _receive(response: http.client.HTTPResponse, part: _Part, progress: Callable[[float], None]) -> None:
    headers = response.headers
    if headers.get_content_type() == "text/html":
        raise WeightsError(f"{part.source.label}: the server sent a web page instead of a file")
    if response.status == HTTPStatus.PARTIAL_CONTENT and not _continues(headers, part):
        part.drop()
        raise _InterruptedError("the server sent another part than was asked for")
    with _written(part):
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            part.begin(_version(headers))
        size = part.size
        length = headers.get("Content-Length", "")
        total = size + int(length) if length.isdecimal() else None
        with part.target.open("ab") as file:
            for block in _blocks(response):
                file.write(block)
                size += len(block)
                if total:
                    progress(min(size / total, 1.0))
    if total is not None and size != total:
        raise _InterruptedError(f"the connection ended after {size} of {total} bytes")


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            block = response.read(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _InterruptedError(_reason(error)) from error
        if not block:
            return
        yield block


@contextmanager
def _written(part: _Part) -> Iterator[None]:
    """Turn what goes wrong in writing into a WeightsError, and leave nothing of the file."""
    try:
        yield
    except OSError as error:
        with suppress(OSError):
            part.drop()
        raise not_kept(part.target.parent, error) from error


def _version(headers: HTTPMessage) -> str | None:
    """Return what tells one version of a file from another byte for byte."""
    etag = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _continues(headers: HTTPMessage, part: _Part) -> bool:
    same = _version(headers) in (None, part.version)
    return same and headers.get("Content-Range", "").startswith(f"bytes {part.size}-")


def _reason(error: object) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended too early"
    return str(error) or type(error).__name__


def _shown(url: str) -> str:
    return url.partition("?")[0]
