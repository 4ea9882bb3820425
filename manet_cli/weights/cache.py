"""The user's cache: pulled weights, and the digests that the user first accepted.

Each source has a folder below ``$XDG_CACHE_HOME/manet/weights``:

    NAME-DIGEST_OF_THE_ADDRESS/
        receipt.json          source, digest and path of the file
        weights.safetensors   the file, unless the Hub's cache has it in this format
        partial.pth           (or .safetensors) an incomplete download, with partial.pth.version
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from manet_cli.atomic import atomic_path, exclusive
from manet_cli.errors import OutputError, WeightsError
from manet_cli.regular_file import read_regular
from manet_cli.user_cache import user_cache
from manet_cli.weights.files import file_sha256
from manet_cli.weights.sources import Source

__all__ = [
    "Receipt",
    "cache_folder",
    "not_kept",
    "opened",
    "read_receipt",
    "receipts",
    "source_folder",
    "write_receipt",
]

_RECEIPT = "receipt.json"
_LONGEST_RECEIPT = 1 << 16  # bytes


@dataclass(frozen=True)
class Receipt:
    """Record of a pulled file.

    Attributes:
        source: source from the user or the manifest, without a digest.
        sha256: digest of the downloaded file; later downloads from this source must match it.
        path: path of the file in use.
        path_sha256: digest of the file in use; it is another one if the file was converted.
    """

    source: str
    sha256: str
    path: Path
    path_sha256: str

    def is_sound(self) -> bool:
        """Hash the file; False if it is missing or changed."""
        try:
            return file_sha256(self.path) == self.path_sha256
        except (OSError, ValueError):  # ValueError: an impossible file name
            return False


def cache_folder() -> Path:
    """Return the folder of pulled weights; it may not exist yet."""
    return user_cache() / "weights"


def source_folder(source: Source) -> Path:
    """Return the folder of one source; it may not exist yet."""
    return cache_folder() / source.key


def read_receipt(folder: Path) -> Receipt | None:
    """Read the receipt in a source's folder; None if there is none.

    Raises:
        WeightsError: the receipt cannot be read, so the accepted digest is lost.
    """
    path = folder / _RECEIPT
    try:
        fields = json.loads(read_regular(path, _LONGEST_RECEIPT))
        texts = [fields[key] for key in ("source", "sha256", "file", "file_sha256")]
        # We only write printable texts that are valid file names.
        if not all(isinstance(text, str) and text.isprintable() and text.encode() for text in texts):
            raise TypeError
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path} cannot be read: remove its folder and pull the weights again") from error
    source, sha256, file, file_sha256 = texts
    return Receipt(source, sha256, folder / file, file_sha256)


def write_receipt(folder: Path, receipt: Receipt) -> None:
    """Write a receipt atomically; a file in ``folder`` is stored by its name, so the cache can be moved.

    Raises:
        OutputError: the receipt cannot be written.
    """
    inside = receipt.path.parent == folder
    fields = {
        "source": receipt.source,
        "sha256": receipt.sha256,
        "file": receipt.path.name if inside else str(receipt.path),
        "file_sha256": receipt.path_sha256,
    }
    with atomic_path(folder / _RECEIPT) as temporary:
        temporary.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def receipts() -> list[Receipt]:
    """Return all receipts, in the order of the folders' names, without damaged ones.

    An unreadable cache has none.
    """
    found = []
    try:
        folders = sorted(cache_folder().glob("*/"))
    except OSError:
        return []
    for folder in folders:
        with suppress(WeightsError):
            if receipt := read_receipt(folder):
                found.append(receipt)
    return found


@contextmanager
def opened(folder: Path) -> Iterator[None]:
    """Create a source's folder and lock it while the block runs; remove the folder if it stays empty.

    Raises:
        WeightsError: the cache cannot be written.
    """
    try:
        with ExitStack() as stack:
            while True:
                folder.mkdir(parents=True, exist_ok=True)
                try:
                    stack.enter_context(exclusive(folder / ".lock.manet-tmp"))
                    break
                except FileNotFoundError:  # another process removed the empty folder
                    continue
            yield
    except (OSError, OutputError) as error:
        raise not_kept(folder, error) from error
    finally:
        with suppress(OSError):
            folder.rmdir()


def not_kept(folder: Path, error: Exception, variable: str = "XDG_CACHE_HOME") -> WeightsError:
    """Return the error for a cache that cannot be written."""
    cause = error if isinstance(error, OSError) else error.__cause__
    reason = (isinstance(cause, OSError) and cause.strerror) or str(error).rstrip(".")
    return WeightsError(
        f"{folder}: weights cannot be stored there ({reason}): free some space, or set {variable} to another "
        "folder"
    )
