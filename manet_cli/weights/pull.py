"""Pull weights from a source into the cache, verified by digest."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from manet_cli.errors import WeightsError
from manet_cli.file_identity import is_file
from manet_cli.weights import https, hub
from manet_cli.weights.cache import Receipt, opened, read_receipt, source_folder, write_receipt
from manet_cli.weights.files import Weights, file_sha256, read_weights, write_weights
from manet_cli.weights.sources import HttpsSource, HubSource, Source

__all__ = ["Downloads", "cached", "pull", "unseen"]

Downloads: TypeAlias = Callable[[str], AbstractContextManager[Callable[[float], None]]]
"""Takes the label of a download; returns a context that yields a callback for the share done, in [0, 1]."""

_TRUE = ("1", "ON", "YES", "TRUE")  # as huggingface_hub reads HF_HUB_OFFLINE


def cached(source: Source) -> Receipt | None:
    """Return the receipt of a source's file if the file is in the cache, unchanged and with its digest.

    Raises:
        WeightsError: the receipt cannot be read.
    """
    receipt = read_receipt(source_folder(source))
    if receipt is None or source.sha256 not in (None, receipt.sha256):
        return None
    return receipt if receipt.is_sound() else None


def pull(
    source: Source,
    *,
    name: str | None = None,
    accept_unverified: bool = False,
    downloads: Downloads | None = None,
    scale: int | None = None,
) -> Receipt:
    """Return a source's file from the cache; download and check it if missing.

    The file must have the source's digest or, without one, the digest of the first accepted download. A file
    with another digest, or without usable weights, is not kept.

    Args:
        source: source of the file.
        name: name given by the user.
        accept_unverified: accept a file with an unknown digest, and record the digest.
        downloads: shows downloads; None to download nothing.
        scale: required scale of the weights; None for any.

    Raises:
        WeightsError: the file cannot be downloaded, has another digest, or cannot be used.
    """
    if receipt := cached(source):
        return receipt
    name = name or source.text
    receipt = read_receipt(source_folder(source))
    expected = source.sha256 or (receipt.sha256 if receipt else None)
    if expected is None and not accept_unverified:
        raise unseen(name, source)
    if downloads is None:
        damaged = receipt is not None and is_file(receipt.path)
        state = "was changed or damaged since it was pulled" if damaged else "is not on this machine"
        raise WeightsError(f"{name} {state}: get it with 'manet weights pull {shlex.quote(name)}'")
    if isinstance(source, HttpsSource) and os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
        raise WeightsError(f"{name} is not on this machine, and HF_HUB_OFFLINE is set: pull it online")
    folder = source_folder(source)
    with opened(folder):
        if receipt := cached(source):  # pulled by another process in the meantime
            return receipt
        with downloads(f"downloading {source.file}") as progress, _fetched(source, folder, progress) as path:
            receipt = _checked(source, name, folder, path, expected, scale)
            write_receipt(folder, receipt)
    return receipt


def unseen(name: str, source: Source) -> WeightsError:
    """Return the error for a file with an unknown digest."""
    at = "" if source.text == name else f" (at {source.label})"
    return WeightsError(
        f"{name}{at} has no known digest, so the file cannot be verified: get it "
        f"once with 'manet weights pull {shlex.quote(name)} --accept-unverified', which stores the digest"
    )


@contextmanager
def _fetched(source: Source, folder: Path, progress: Callable[[float], None]) -> Iterator[Path]:
    """Download a source's file; remove it if the block fails."""
    if isinstance(source, HubSource):
        path = hub.fetch(source, progress)
        try:
            yield path
        except WeightsError:
            hub.forget(path)
            raise
        return
    if not isinstance(source, HttpsSource):
        raise TypeError(f"{type(source).__name__} is not a source that can be downloaded")
    path = folder / f"partial{source.suffix}"
    https.download(source, path, progress)
    try:
        yield path
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _checked(
    source: Source, name: str, folder: Path, path: Path, expected: str | None, scale: int | None
) -> Receipt:
    """Check a downloaded file and move it to its final place."""
    sha256 = file_sha256(path)
    if expected not in (None, sha256):
        known = "its digest is" if source.sha256 else "the accepted digest is"
        hint = "" if source.sha256 else f"; if you trust the new file, remove {folder} and accept it again"
        raise WeightsError(f"{name}: the downloaded file has sha256 {sha256}, but {known} {expected}{hint}")
    weights = _usable(name, path, scale)
    if source.suffix == ".safetensors":
        if isinstance(source, HubSource):
            return Receipt(source.text, sha256, path, sha256)
        final = folder / "weights.safetensors"
        path.replace(final)
        return Receipt(source.text, sha256, final, sha256)
    final = folder / "weights.safetensors"
    write_weights(weights, final)
    return Receipt(source.text, sha256, final, file_sha256(final))


def _usable(name: str, path: Path, scale: int | None) -> Weights:
    try:
        weights = read_weights(path)
    except WeightsError as error:
        reason = str(error.__cause__ if isinstance(error.__cause__, WeightsError) else error)
        raise WeightsError(f"{name}: the downloaded file cannot be used: {reason}") from error
    if scale is not None and weights.scale not in (None, scale):
        raise WeightsError(f"{name}: the downloaded file is for x{weights.scale}, expected x{scale}")
    return weights
