"""Files of the Hugging Face Hub, by its own library: its cache, its settings, its token."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from manet_cli import __version__
from manet_cli.errors import WeightsError
from manet_cli.weights.cache import not_kept
from manet_cli.weights.sources import HubSource

__all__ = ["fetch", "forget"]


def fetch(source: HubSource, progress: Callable[[float], None]) -> Path:
    """Return the path of a file in the Hub's cache, downloaded first if it is not there.

    ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``, ``HF_HOME``, ``HF_TOKEN`` and the proxies of the environment are
    honoured by the library; it sends the token to the Hub's endpoint alone.

    Raises:
        WeightsError: there is no such file, or it cannot be had now.
    """
    # Slow to import, and its settings are read at that time.
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import logging

    if "HF_HUB_VERBOSITY" not in os.environ:
        logging.set_verbosity_error()  # type: ignore[no-untyped-call] # the errors below say it in our words
    try:
        path = hf_hub_download(
            source.repo,
            source.path,
            revision=source.revision,
            library_name="manet-cli",
            library_version=__version__,
            tqdm_class=_bar(progress),
        )
    except Exception as error:  # its HTTP library, and so what it raises, changes with its version
        raise _failure(source, error) from error
    return Path(path)


def forget(path: Path) -> None:
    """Remove a file that `fetch` gave, and what it stands for, from the Hub's cache."""
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
            f"{name}: the Hub has no repository {source.repo}, or shows it to others only: check the name, "
            "or set HF_TOKEN"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return WeightsError(f"{name}: {source.repo} has no file {source.path} in {source.revision}")
    return WeightsError(f"{name}: the Hub did not give the file ({_reason(error)})")


def _reason(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


def _bar(progress: Callable[[float], None]) -> type[Any]:
    """Return a class in the shape of the library's bars, which draws nothing and tells the share done."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as tqdm
            super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if self.total:
                progress(min(self.n / self.total, 1.0))

    return Bar
