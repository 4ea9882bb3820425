"""Networks that a runtime has compiled, kept in the user's cache: a later start need not compile them again.

A file ``$XDG_CACHE_HOME/manet/compiled/KEY.blob`` holds the SHA-256 of its content, then the content. The key
is a digest of everything that the content depends on. Damaged files count as missing. Nothing here raises an
error: without a cache the networks are compiled at every start.
"""

from __future__ import annotations

import functools
import hashlib
import os
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

import manet_cli.models
from manet_cli import __version__
from manet_cli.atomic import atomic_path, remove_leftovers
from manet_cli.errors import OutputError
from manet_cli.regular_file import read_regular
from manet_cli.user_cache import user_cache

__all__ = ["cache_key", "keep", "kept"]

_LARGEST = 256 << 20  # bytes of all files together
_DIGEST = 32  # bytes
_SUFFIX = ".blob"


def cache_key(module: nn.Module, *facts: object) -> str:
    """Return the key of a compiled module.

    Args:
        module: what is compiled; its layers, their settings and all weights count.
        facts: everything else that matters; ``repr`` must show it.
    """
    digest = hashlib.sha256(repr((__version__, torch.__version__, _sources(), facts)).encode())
    for name, part in module.named_modules():
        own = {key: value for key, value in vars(part).items() if not key.startswith("_")}
        digest.update(repr((name, type(part).__qualname__, part.extra_repr(), sorted(own.items()))).encode())
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        digest.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@functools.cache
def _sources() -> str:
    """Return a digest of the code of the networks: it may change without the version."""
    digest = hashlib.sha256()
    for folder in (Path(manet_cli.models.__file__).parent, Path(__file__).parent):
        with suppress(OSError):
            for path in sorted(folder.glob("*.py")):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def kept(key: str) -> bytes | None:
    """Return the content that was kept under a key; None if there is none."""
    path = _path(key)
    try:
        data = read_regular(path, _LARGEST)
        os.utime(path)  # the least recently used files are removed first
    except OSError:
        return None
    content = data[_DIGEST:]
    return content if hashlib.sha256(content).digest() == data[:_DIGEST] else None


def keep(key: str, content: bytes) -> None:
    """Keep content under a key, and remove the least recently used files beyond 256 MiB."""
    path = _path(key)
    with suppress(OSError, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        with atomic_path(path) as temporary:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)
        _shrink(path.parent)


def _shrink(folder: Path) -> None:
    files = sorted(
        ((path.stat(), path) for path in folder.glob(f"*{_SUFFIX}")), key=lambda pair: -pair[0].st_mtime_ns
    )
    total = 0
    for facts, path in files:
        total += facts.st_size
        if total > _LARGEST:
            path.unlink()


def _path(key: str) -> Path:
    return user_cache() / "compiled" / f"{key}{_SUFFIX}"
