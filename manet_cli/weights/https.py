"""Downloads over https that resume after a lost connection, also in the next run.

The standard library follows redirects, uses proxies, checks certificates and reads headers. This module
refuses anything but https, resumes downloads and gives clear messages.
"""

from __future__ import annotations

import logging
import ssl
import string
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPMessage,
    HTTPResponse,
    HTTPSConnection,
    IncompleteRead,
)
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from manet_cli import __version__
from manet_cli.errors import WeightsError
from manet_cli.weights.cache import not_kept
from manet_cli.weights.sources import HttpsSource
from manet_cli.weights.transfer import Meter, TooMuchError, check_length

__all__ = ["download"]

logger = logging.getLogger(__name__)

_ATTEMPTS = 4  # in a row without a new byte
_MOST_ATTEMPTS = 100
_PAUSE = 0.5  # seconds before the second attempt, doubled for each further attempt
_TIMEOUT = 30  # seconds without a byte
_BLOCK = 1 << 18
_PASSING = (408, 416, 429, 500, 502, 503, 504)  # statuses worth another attempt


class _HttpsOnly(HTTPRedirectHandler):
    """Follows redirects to https only. No token is sent, so a redirect cannot leak one."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if not newurl.lower().startswith("https:"):
            start = req.full_url.partition("?")[0]
            raise WeightsError(f"{start}: the server redirects to an address without https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> IO[bytes] | None:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError:  # an invalid address
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class _Handler(HTTPSHandler):
    """Opens connections that a meter can close."""

    def __init__(self, context: ssl.SSLContext, meter: Meter) -> None:
        super().__init__(context=context)
        self._tls = context
        self._meter = meter

    def https_open(self, req: Request) -> HTTPResponse:
        meter = self._meter

        class Connection(HTTPSConnection):
            def connect(self) -> None:
                HTTPConnection.connect(self)
                meter.watch(self.sock)  # before the handshake, which may also be slow
                host = getattr(self, "_tunnel_host", None) or self.host
                self.sock = context.wrap_socket(self.sock, server_hostname=host)

        context = self._tls
        return self.do_open(Connection, req, context=context)


def download(source: HttpsSource, target: Path, progress: Callable[[float], None]) -> None:
    """Download to ``target``; resume an earlier attempt if the server still has the same version.

    The version (the server's ETag or date) is stored beside ``target`` until the download is complete.
    Proxies come from the environment (``HTTPS_PROXY``, ``NO_PROXY``).

    Args:
        source: the address.
        target: file to write; after a failed transfer it contains the first part.
        progress: callback for the share done, if the server announces the length.

    Raises:
        WeightsError: the file does not exist, cannot be downloaded now, or cannot be written.
    """
    context = ssl.create_default_context()
    part = _Part(source, target)
    meter = Meter(source.label)
    opener = build_opener(_Handler(context, meter), _HttpsOnly)
    failures = attempts = 0
    while True:
        size = part.size
        attempts += 1
        try:
            with meter.watching(), opener.open(part.request(), timeout=_TIMEOUT) as response:
                _receive(response, part, meter, progress)
            meter.check()  # a truncated header looks like a file without a length
        except TooMuchError:
            part.begin()
            raise
        except (OSError, HTTPException, ValueError) as error:
            meter.check()
            reason = _reason(error, part)
            failures = 1 if part.size > size else failures + 1
            if failures == _ATTEMPTS or attempts == _MOST_ATTEMPTS:
                raise WeightsError(
                    f"{source.label}: the download failed ({reason}): check the connection (and "
                    "HTTPS_PROXY), then run the command again; it resumes the download"
                ) from error
            logger.info("%s: %s; trying again", source.label, reason)
            time.sleep(_PAUSE * 2 ** (failures - 1))
        else:
            part.note.unlink(missing_ok=True)
            return


class _Part:
    """The partial file, and a note of its version."""

    def __init__(self, source: HttpsSource, target: Path) -> None:
        self.source = source
        self.target = target
        self.note = target.with_name(f"{target.name}.version")

    @property
    def size(self) -> int:
        return self.target.stat().st_size if self.target.exists() else 0

    @property
    def version(self) -> str | None:
        """The partial file's version (ETag or date); None if the download cannot resume."""
        return self.note.read_text(encoding="latin-1") if self.size and self.note.exists() else None

    def begin(self, version: str | None = None) -> None:
        """Remove the partial file and note the version of the new download."""
        self.target.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        if version:
            self.note.write_text(version, encoding="latin-1")

    def request(self) -> Request:
        """Return the request for the missing part, or for the whole file if it has changed."""
        headers = {"User-Agent": f"manet-cli/{__version__}"}
        if version := self.version:
            headers |= {"Range": f"bytes={self.size}-", "If-Range": version}
        return Request(quote(self.source.text, safe=string.punctuation), headers=headers)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn an error in writing into a WeightsError and remove the file."""
        try:
            yield
        except OSError as error:
            with suppress(OSError):
                self.begin()
            raise not_kept(self.target.parent, error) from error


def _receive(response: HTTPResponse, part: _Part, meter: Meter, progress: Callable[[float], None]) -> None:
    headers = response.headers
    check_length(response.length, part.source.label)
    if headers.get_content_type() == "text/html":
        raise WeightsError(f"{part.source.label}: the server sent a web page instead of a file")
    version = headers.get("ETag")
    if not version or version.startswith("W/"):  # a weak ETag does not promise equal bytes
        version = headers.get("Last-Modified")
    rest = f"bytes {part.size}-"
    with part.writing():
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            part.begin(version)
        elif version not in (None, part.version) or not headers.get("Content-Range", "").startswith(rest):
            part.begin()
            raise HTTPException("the server sent another part of the file than requested")
        size = part.size
        total = None if response.length is None else size + response.length
        with part.target.open("ab") as file:
            for block in _blocks(response):
                meter.add(len(block))
                size += len(block)
                check_length(size, part.source.label)
                file.write(block)
                if total:
                    progress(size / total)
    if total not in (None, size):
        raise HTTPException(f"the connection ended after {size} of {total} bytes")


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    """Yield the body; turn its OSErrors into HTTPException, so that an OSError is always about the file."""
    try:
        # read1 returns available bytes instead of waiting for a whole block.
        while block := response.read1(_BLOCK):
            yield block
    except OSError as error:
        raise HTTPException(_words(error)) from error


def _reason(error: Exception, part: _Part) -> str:
    """Return why a transfer ended, if another attempt may succeed.

    Raises:
        WeightsError: another attempt would fail too.
    """
    if isinstance(error, HTTPError):
        error.close()
        answer = f"the server answered {error.code}"
        if error.code not in _PASSING:
            raise WeightsError(f"{part.source.label}: {answer}; check the address") from error
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.begin()  # the file is shorter now
        return answer
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, ValueError) and not isinstance(cause, OSError | HTTPException):
        raise WeightsError(
            f"{part.source.label}: the server's answer is invalid; check the address"
        ) from error
    if isinstance(cause, ssl.SSLCertVerificationError):
        raise WeightsError(
            f"{part.source.label}: the server's certificate is not trusted ({cause.verify_message}): if "
            "you trust it, give its authority with SSL_CERT_FILE"
        ) from error
    return _words(cause)


def _words(error: BaseException | str) -> str:
    if isinstance(error, IncompleteRead):
        return "the connection ended too early"
    return getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
