"""Files of the Hugging Face Hub, through its library, with its cache, settings and token."""

from __future__ import annotations

import errno
import functools
import importlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from manet_cli import __version__
from manet_cli.errors import WeightsError
from manet_cli.weights.cache import not_kept
from manet_cli.weights.sources import HubSource
from manet_cli.weights.transfer import Meter, check_length

__all__ = ["fetch", "forget"]

_PATH_HEADERS = ("X-Repo-Commit", "ETag", "X-Linked-Etag")
_PATH_PART = re.compile(r'(W/)?"?[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}"?')
_OTHER_WAYS = ("X-Xet-Hash", "X-Xet-Refresh-Route")  # other transfers, which would bypass our checks


def fetch(source: HubSource, progress: Callable[[float], None]) -> Path:
    """Return the path of a file in the Hub's cache; download it if missing.

    The library reads ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``, ``HF_HOME``, ``HF_TOKEN`` and the proxies of the
    environment; it sends the token only to the Hub's endpoint.

    Raises:
        WeightsError: the file does not exist, or cannot be downloaded now.
    """
    # Slow to import, and it reads its settings on import.
    from huggingface_hub import hf_hub_download, set_client_factory
    from huggingface_hub.utils import logging

    set_client_factory(functools.partial(_bounded_client, source.label))
    if "HF_HUB_VERBOSITY" not in os.environ:
        logging.set_verbosity_error()  # type: ignore[no-untyped-call] # errors are reported below
    try:
        path = hf_hub_download(
            source.repo,
            source.path,
            revision=source.revision,
            library_name="manet-cli",
            library_version=__version__,
            tqdm_class=_bar(progress),
        )
    except WeightsError:
        raise
    except Exception as error:  # the types depend on the library's version and its HTTP client
        raise _failure(source, error) from error
    return Path(path)


def _bounded_client(label: str) -> Any:  # noqa: ANN401 - its type depends on the library's version
    """Return the library's HTTP client for one source, with a check of each answer."""
    from huggingface_hub.utils._http import default_client_factory

    client, meter = default_client_factory(), Meter(label)
    hooks = client.event_hooks
    client.event_hooks = {
        **hooks,
        "response": [*hooks.get("response", ()), functools.partial(_check, label, meter)],
    }
    return client


def _check(label: str, meter: Meter, response: Any) -> None:  # noqa: ANN401
    """Check an answer: the library builds paths from some headers and does not limit the body.

    Raises:
        WeightsError: a header names a path outside the cache, or the server sends too much or too slowly.
    """
    for name in _PATH_HEADERS:
        if not _PATH_PART.fullmatch(response.headers.get(name, "-")):
            raise WeightsError(f"{label}: the server's {name} header is not valid for the Hub")
    for name in _OTHER_WAYS:
        response.headers.pop(name, None)
    for name in ("Content-Length", "X-Linked-Size"):
        length = response.headers.get(name, "")
        check_length(int(length[:20]) if length[:20].isdecimal() else None, label)
    stream_class: Any = importlib.import_module(type(response).__module__.partition(".")[0]).SyncByteStream
    received, stream = 0, response.stream

    class Bounded(stream_class):  # type: ignore[misc, unused-ignore]
        def __iter__(self) -> Iterator[bytes]:
            nonlocal received
            for block in stream:
                received += len(block)
                check_length(received, label)
                meter.add(len(block))
                yield block

        def close(self) -> None:
            stream.close()

    response.stream = Bounded()


def forget(path: Path) -> None:
    """Remove a file that `fetch` returned, and the blob that it links to, from the Hub's cache."""
    with suppress(OSError):
        blob = path.resolve()
        path.unlink()
        blob.unlink(missing_ok=True)


def _failure(source: HubSource, error: Exception) -> WeightsError:
    from huggingface_hub import errors

    name = source.label
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
        return not_kept(Path(error.filename or "the Hub's cache"), error, "HF_HOME")
    if isinstance(error, errors.LocalEntryNotFoundError):
        from huggingface_hub import constants

        if constants.HF_HUB_OFFLINE:
            return WeightsError(
                f"{name} is not in the Hub's cache, and HF_HUB_OFFLINE is set: pull it online"
            )
        return WeightsError(
            f"{name}: the Hub cannot be reached ({_reason(error.__cause__ or error)}): check the connection, "
            "HTTPS_PROXY and HF_ENDPOINT"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return WeightsError(f"{name}: {source.repo} has no revision {source.revision!r} on the Hub")
    if isinstance(error, errors.RepositoryNotFoundError):
        return WeightsError(
            f"{name}: the Hub has no repository {source.repo}, or it is private: check the name, "
            "or set HF_TOKEN"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return WeightsError(f"{name}: {source.repo} has no file {source.path} in {source.revision}")
    return WeightsError(f"{name}: the Hub did not send the file ({_reason(error)})")


def _reason(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


def _bar(progress: Callable[[float], None]) -> type[Any]:
    """Return a progress bar class for the library that draws nothing and calls ``progress``."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as tqdm
            super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if self.total:
                progress(min(self.n / self.total, 1.0))

    return Bar
