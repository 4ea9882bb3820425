"""List and describe known weights and their locations."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from manet_cli.file_identity import is_file
from manet_cli.weights.cache import Receipt, receipts
from manet_cli.weights.files import Weights
from manet_cli.weights.manifest import DEFAULT_FAMILY, PAIR, Entry, load_manifest
from manet_cli.weights.pull import cached
from manet_cli.weights.resolve import (
    find_entry,
    is_weight_file,
    load_weights,
    locate_weights,
    pair_digest,
)
from manet_cli.weights.sources import is_source

__all__ = ["describe_weights", "list_weights", "names_here"]

_BYTES_PER_PARAMETER = 4  # in the published files


def list_weights() -> list[dict[str, object]]:
    """List all weights for a script: the manifest's entries, then other pulled weights.

    Each has at least ``name, family, scale, where (shipped|cached|pullable|missing), path, bytes, sha256,
    licence, quality, summary``. For a missing file, ``bytes`` is estimated from the number of parameters.
    Files are not hashed.
    """
    known = {receipt.source: receipt for receipt in receipts()}
    rows = [_entry_fields(entry, known) for entry in load_manifest()]
    rows += [_receipt_fields(receipt) for receipt in known.values()]
    return rows


def names_here() -> list[str]:
    """Return the names of all weights that should be on this machine: shipped or pulled."""
    return [str(row["name"]) for row in list_weights() if row["where"] in ("shipped", "cached", "missing")]


def _entry_fields(entry: Entry, known: dict[str, Receipt]) -> dict[str, object]:
    """Return an entry's fields; remove its receipt from ``known``."""
    fields = {key: value for key, value in dataclasses.asdict(entry).items() if key != "file"}
    source = entry.source
    if source is None:
        path, where = entry.path, "shipped"
    else:
        receipt = known.pop(source.text, None)
        path, where = (receipt.path, "cached") if receipt else (None, "pullable")
        if receipt:
            fields["sha256"] = receipt.sha256
    if path is not None and not is_file(path):
        path, where = None, "pullable" if source else "missing"
    return fields | {"where": where, "path": path and str(path), "bytes": _bytes(path, entry.parameters)}


def _receipt_fields(receipt: Receipt) -> dict[str, object]:
    here = is_file(receipt.path)
    fields: dict[str, object] = dict.fromkeys(field.name for field in dataclasses.fields(Entry))
    del fields["file"]
    return fields | {
        "name": receipt.source,
        "sha256": receipt.sha256,
        "url": receipt.source,
        "where": "cached" if here else "pullable",
        "path": str(receipt.path) if here else None,
        "bytes": _bytes(receipt.path if here else None, None),
    }


def _bytes(path: Path | None, parameters: int | None) -> int | None:
    if path is not None:
        return path.stat().st_size
    return parameters * _BYTES_PER_PARAMETER if parameters else None


def describe_weights(name: str, scale: int | None = None) -> dict[str, object]:
    """Describe weights: their manifest entry and, if the file is here, its content.

    ``pair`` names both sets if the name means two; all other fields are about the first.

    Raises:
        UsageError: the named entry has another scale than ``scale``.
        WeightsError: unknown or damaged weights, or a source that was not pulled.
    """
    fields: dict[str, object] = {}
    if not is_weight_file(name) and not is_source(name):
        entry = find_entry(name, scale)
        fields = _entry_fields(entry, {receipt.source: receipt for receipt in receipts()})
        if entry.source and cached(entry.source) is None:
            return fields
    elif is_source(name):
        fields["path"] = str(locate_weights(name, scale).path)
    weights, used_at = load_weights(name, scale)
    if name == DEFAULT_FAMILY and pair_digest(used_at) is not None:
        fields["pair"] = [find_entry(family, used_at).name for family in PAIR]
    return fields | {"scale": used_at, **_contents(weights)}


def _contents(weights: Weights) -> dict[str, object]:
    fields: dict[str, object] = {"sha256": weights.sha256}
    fields["layout"] = "published" if weights.published else "manet_cli"
    for part, config in (("estimator", weights.config.estimator), ("restorer", weights.config.restorer)):
        tensors = [tensor for key, tensor in weights.tensors.items() if key.startswith(f"{part}.")]
        fields[part] = None if config is None else dataclasses.asdict(config)
        fields[f"{part}_parameters"] = sum(tensor.numel() for tensor in tensors)
    fields["parameters"] = sum(tensor.numel() for tensor in weights.tensors.values())
    fields["number_formats"] = sorted({str(t.dtype).removeprefix("torch.") for t in weights.tensors.values()})
    return fields
