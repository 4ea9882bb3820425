"""Find and load the weights named by ``--model``, verified."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from manet_cli.errors import Message, Parameter, UsageError, WeightsError
from manet_cli.file_identity import is_file, is_folder
from manet_cli.weights.bounds import LARGEST_FILE
from manet_cli.weights.files import WEIGHT_SUFFIXES, Weights, file_sha256, read_weights
from manet_cli.weights.manifest import DEFAULT_FAMILY, PAIR, RETIRED, Entry, load_manifest
from manet_cli.weights.pull import Downloads, cached, pull
from manet_cli.weights.sources import is_source, parse_source

__all__ = [
    "DEFAULT_SCALE",
    "Located",
    "find_entry",
    "is_weight_file",
    "load_pair",
    "load_weights",
    "locate_weights",
    "pair_digest",
]

DEFAULT_SCALE = 4
SHIPPED_CODE_STRIDE = 4
"""``Weights.code_stride`` of the shipped weights; measured with ``benchmarks/code_grid.py``."""


@dataclass(frozen=True)
class Located:
    """A weight file on this machine.

    Attributes:
        path: path of the file.
        sha256: digest that identifies the weights: digest of the file or, if it was converted, of the
            download.
        entry: manifest entry; None for the user's files and sources.
        status: shipped, cached, pulled (just now), or file.
    """

    path: Path
    sha256: str
    entry: Entry | None
    status: str


def load_weights(
    model: str = DEFAULT_FAMILY, scale: int | None = None, downloads: Downloads | None = None
) -> tuple[Weights, int]:
    """Load weights.

    Args:
        model: a family of the manifest, an entry's name, the path of a weight file, or a source
            (``hf://...`` or ``https://...``).
        scale: 2, 3 or 4; None for the scale of the file or, if it has none, 4.
        downloads: shows downloads; None to download nothing.

    Returns:
        The weights, and the scale to use them at.

    Raises:
        UsageError: the file has another scale than ``scale``.
        WeightsError: unknown, missing or damaged weights.
    """
    if is_weight_file(model):
        weights, entry = read_weights(_home_expanded(model)), None
    else:
        located = locate_weights(model, scale, downloads=downloads)
        weights, entry = read_weights(located.path), located.entry
        stride = SHIPPED_CODE_STRIDE if located.status == "shipped" else 1
        weights = dataclasses.replace(weights, sha256=located.sha256, code_stride=stride)
    if entry is not None:
        return weights, entry.scale
    if None not in (scale, weights.scale) and scale != weights.scale:
        raise UsageError(
            f"{model} holds weights for x{weights.scale}, but you gave ", Parameter("scale", scale)
        )
    return weights, weights.scale or scale or DEFAULT_SCALE


def load_pair(scale: int | None = None) -> tuple[Weights, Weights] | None:
    """Load both sets of `DEFAULT_FAMILY`; None if this scale has no second set.

    Args:
        scale: 2, 3 or 4; None for 4.

    Raises:
        WeightsError: missing or damaged weights.
    """
    if pair_digest(scale) is None:
        return None
    first, second = (load_weights(family, scale)[0] for family in PAIR)
    return first, second


def pair_digest(scale: int | None = None) -> str | None:
    """Return the digest that identifies the pair at a scale; None if there is no pair."""
    wanted = scale or DEFAULT_SCALE
    digests = {entry.family: entry.sha256 or "" for entry in load_manifest() if entry.scale == wanted}
    if not all(family in digests for family in PAIR):
        return None
    return hashlib.sha256(" ".join(digests[family] for family in PAIR).encode()).hexdigest()


def find_entry(name: str, scale: int | None = None) -> Entry:
    """Find a manifest entry by its name, or by its family and ``scale`` (by default 4).

    `DEFAULT_FAMILY` is the first of `PAIR`.

    Raises:
        WeightsError: there is no such entry, or the name is from an earlier version.
        UsageError: the named entry has another scale than ``scale``.
    """
    manifest = load_manifest()
    for entry in manifest:
        if entry.name == name:
            if scale not in (None, entry.scale):
                raise UsageError(f"{name} is for x{entry.scale}, but you gave ", Parameter("scale", scale))
            return entry
    family = [entry for entry in manifest if entry.family == (PAIR[0] if name == DEFAULT_FAMILY else name)]
    if not family:
        if name in RETIRED:
            raise WeightsError(f"there are no weights {name!r} any more: use {RETIRED[name]!r}")
        if is_folder(Path(name)):
            raise WeightsError(
                f"{name} is a folder: give a file, such as {Path(name) / 'weights.safetensors'}"
            )
        known = ", ".join(dict.fromkeys([DEFAULT_FAMILY, *(entry.family for entry in manifest)]))
        raise WeightsError(
            f"there are no weights called {name!r}; give one of {known}, "
            "the path of a .safetensors or .pth file, or hf://OWNER/REPO/FILE@REVISION."
        )
    for entry in family:
        if entry.scale == (scale or DEFAULT_SCALE):
            return entry
    raise WeightsError(
        f"there are no weights for x{scale or DEFAULT_SCALE} in {name!r} yet; use ",
        *Message.listed((Parameter("scale", entry.scale) for entry in family), ", "),
        ", or give a file of that scale with ",
        Parameter("model"),
    )


def locate_weights(
    name: str,
    scale: int | None = None,
    *,
    accept_unverified: bool = False,
    downloads: Downloads | None = None,
) -> Located:
    """Find a weight file and verify it by the manifest or by its receipt.

    Args:
        name: as in `load_weights`.
        scale: picks the entry of a family.
        accept_unverified: accept a file with an unknown digest, and record the digest.
        downloads: shows downloads; None to download nothing.

    Raises:
        UsageError, WeightsError: as in `load_weights`.
    """
    if is_weight_file(name):
        path = _home_expanded(name)
        if not is_file(path):
            raise WeightsError(f"{path}: there is no such weight file.")
        try:
            return Located(path, file_sha256(path, LARGEST_FILE), None, "file")
        except OSError as error:
            raise WeightsError(f"{path}: this weight file cannot be read ({error.strerror}).") from error
    if is_source(name):
        entry, source = None, parse_source(name)
    else:
        entry = find_entry(name, scale)
        if entry.source is None:
            return Located(_shipped_path(entry), entry.sha256 or "", entry, "shipped")
        source = entry.source
    receipt, status = cached(source), "cached"
    if receipt is None:
        status = "pulled"
        receipt = pull(
            source,
            name=entry.name if entry else name,
            accept_unverified=accept_unverified,
            downloads=downloads,
            scale=entry.scale if entry else None,
        )
    return Located(receipt.path, receipt.sha256, entry, status)


def _home_expanded(name: str) -> Path:
    return Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser fails for an unknown user


def is_weight_file(model: str) -> bool:
    """Whether a name is a file, not a family, an entry or a source."""
    if is_source(model):
        return False
    return Path(model).suffix.lower() in WEIGHT_SUFFIXES or "/" in model or "\\" in model


def _shipped_path(entry: Entry) -> Path:
    path = entry.path
    if path is None:
        raise WeightsError(f"{entry.name}: the manifest has no file and no address for these weights.")
    if not path.is_file():
        raise WeightsError(f"{path}: the shipped weights are missing; install manet-cli again.")
    if (digest := file_sha256(path)) != entry.sha256:
        raise WeightsError(
            f"{path}: the file has sha256 {digest}, but {entry.name} has {entry.sha256}; "
            "install manet-cli again."
        )
    return path
