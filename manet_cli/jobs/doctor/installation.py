"""Look at the installed software, the settings, the weights and their cache."""

from __future__ import annotations

import importlib.metadata
import os
import re

from manet_cli import __version__
from manet_cli.errors import WeightsError
from manet_cli.file_identity import existing_folder, is_folder
from manet_cli.images import FORMATS
from manet_cli.jobs.doctor.findings import Examination
from manet_cli.weights import cache_folder, list_weights, load_manifest, load_weights

__all__ = ["look_at_software", "look_at_weights"]

_PACKAGES = ("torch", "numpy", "pillow", "typer", "rich", "huggingface-hub", "safetensors")
_SETTINGS = re.compile(
    r"MANET_.+|HF_.+|XDG_CACHE_HOME|SSL_CERT_FILE|CUDA_VISIBLE_DEVICES|OMP_NUM_THREADS|.+_PROXY",
    re.IGNORECASE,
)
_SECRET = re.compile(r".*(TOKEN|_PROXY)", re.IGNORECASE)


def look_at_software(found: Examination) -> None:
    """Note versions, extras, picture formats and environment variables."""
    found.versions = {"manet-cli": __version__, **{name: _version(name) for name in _PACKAGES}}
    for requirement in _requirements():
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", requirement)
        if name and extra and extra[1] != "dev":
            found.extras.setdefault(extra[1], {})[name[0]] = _version(name[0])
    from PIL import features

    needed = {fmt.name: fmt.pillow_feature for fmt in FORMATS if fmt.pillow_feature}
    needed |= {"jpeg 2000": "jpg_2000", "colour profiles": "littlecms2"}
    found.formats = {name: bool(features.check(feature)) for name, feature in needed.items()}
    found.settings = {
        name: "(set)" if _SECRET.fullmatch(name) else value
        for name, value in sorted(os.environ.items())
        if _SETTINGS.fullmatch(name) and value
    }


def _requirements() -> list[str]:
    try:
        return importlib.metadata.requires("manet-cli") or []
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return []


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def look_at_weights(found: Examination) -> None:
    """Note the weights and their cache, and read all shipped weights."""
    from huggingface_hub import constants

    folder = cache_folder()
    existing = existing_folder(folder)
    found.cache = {
        "folder": str(folder),
        "writable": os.access(existing, os.W_OK | os.X_OK) and is_folder(existing),
        "hub": constants.HF_HUB_CACHE,
        "offline": constants.HF_HUB_OFFLINE,
    }
    found.weights = {
        str(row["name"]): str(row["where"]) for row in list_weights() if row["where"] != "pullable"
    }
    for entry in load_manifest():
        if entry.file:
            try:
                load_weights(entry.name)
            except WeightsError as error:
                found.problems.append(str(error))
                found.exit_code = WeightsError.exit_code
