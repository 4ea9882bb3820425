"""From what ``--model`` names to weights that can be trusted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from manet_cli.errors import UsageError, WeightsError
from manet_cli.weights.files import PICKLE_SUFFIXES, Weights, file_sha256, read_weights
from manet_cli.weights.manifest import DEFAULT_FAMILY, Entry, load_manifest

__all__ = ["DEFAULT_SCALE", "describe_weights", "find_entry", "load_weights", "weights_path"]

DEFAULT_SCALE = 4


def load_weights(model: str = DEFAULT_FAMILY, scale: int | None = None) -> tuple[Weights, int]:
    """Load the weights that ``model`` names.

    Args:
        model: a family of the manifest, an entry's name, or the path of a weight file.
        scale: 2, 3 or 4; None for the file's own or, where that decides nothing, 4.

    Returns:
        The weights, and the scale to use them at.

    Raises:
        UsageError: a file of another scale than an explicit ``scale``.
        WeightsError: unknown, missing or damaged weights.
    """
    if _is_file(model):
        weights = read_weights(Path(model).expanduser())
        if None not in (scale, weights.scale) and scale != weights.scale:
            raise UsageError(f"{model} holds weights for x{weights.scale}, but -s {scale} was asked for.")
        return weights, weights.scale or scale or DEFAULT_SCALE
    entry = find_entry(model, scale)
    return read_weights(_verified_path(entry)), entry.scale


def find_entry(name: str, scale: int | None = None) -> Entry:
    """Find the manifest's entry for a family (at ``scale``, by default 4) or of that very name.

    Raises:
        WeightsError: there is none.
        UsageError: the name is that of an entry for another scale than an explicit ``scale``.
    """
    manifest = load_manifest()
    for entry in manifest:
        if entry.name == name:
            if scale not in (None, entry.scale):
                raise UsageError(f"{name} is for x{entry.scale}, but -s {scale} was asked for.")
            return entry
    family = [entry for entry in manifest if entry.family == name]
    if not family:
        known = ", ".join(dict.fromkeys(entry.family for entry in manifest))
        raise WeightsError(
            f"there are no weights called {name!r}; give one of {known}, "
            "or the path of a .safetensors or .pth file."
        )
    for entry in family:
        if entry.scale == (scale or DEFAULT_SCALE):
            return entry
    scales = ", ".join(f"-s {entry.scale}" for entry in family)
    raise WeightsError(
        f"there are no weights for x{scale or DEFAULT_SCALE} in {name!r} yet; use {scales}, "
        "or give a file of that scale with --model."
    )


def weights_path(name: str, scale: int | None = None) -> Path:
    """Return the path of the file that ``name`` stands for, checked against the manifest.

    Raises:
        UsageError, WeightsError: as `load_weights`.
    """
    if not _is_file(name):
        return _verified_path(find_entry(name, scale))
    path = Path(name).expanduser()
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such weight file.")
    return path


def describe_weights(name: str, scale: int | None = None) -> dict[str, object]:
    """Return what weights are: from the manifest what it says of them, from the file what is in it.

    Raises:
        UsageError, WeightsError: as `load_weights`.
    """
    fields: dict[str, object] = {} if _is_file(name) else find_entry(name, scale).fields()
    weights, used_at = load_weights(name, scale)
    fields |= {"scale": used_at, "sha256": weights.sha256}
    fields["layout"] = "published" if weights.published else "manet_cli"
    for part, config in (("estimator", weights.config.estimator), ("restorer", weights.config.restorer)):
        tensors = [tensor for key, tensor in weights.tensors.items() if key.startswith(f"{part}.")]
        fields[part] = None if config is None else dataclasses.asdict(config)
        fields[f"{part}_parameters"] = sum(tensor.numel() for tensor in tensors)
    fields["number_formats"] = sorted({str(t.dtype).removeprefix("torch.") for t in weights.tensors.values()})
    return fields


def _verified_path(entry: Entry) -> Path:
    path = entry.path
    if path is None:
        raise WeightsError(
            f"{entry.name} is not shipped; download it from {entry.url} and give the file with --model."
        )
    if not path.is_file():
        raise WeightsError(f"{path}: the shipped weights are missing; install manet-cli again.")
    if (digest := file_sha256(path)) != entry.sha256:
        raise WeightsError(
            f"{path}: the file has sha256 {digest}, but {entry.name} is {entry.sha256}; "
            "install manet-cli again."
        )
    return path


def _is_file(model: str) -> bool:
    suffix = Path(model).suffix.lower()
    return suffix in (".safetensors", *PICKLE_SUFFIXES) or "/" in model or "\\" in model
