"""Weights: the manifest, downloads, verification and strict loading."""

from manet_cli.weights.cache import cache_folder
from manet_cli.weights.files import Weights, file_sha256, read_weights, write_weights
from manet_cli.weights.int8 import build_int8
from manet_cli.weights.inventory import describe_weights, list_weights, names_here
from manet_cli.weights.manifest import DEFAULT_FAMILY, Entry, load_manifest
from manet_cli.weights.pull import Downloads
from manet_cli.weights.resolve import (
    DEFAULT_SCALE,
    Located,
    find_entry,
    load_pair,
    load_weights,
    locate_weights,
    pair_digest,
)

__all__ = [
    "DEFAULT_FAMILY",
    "DEFAULT_SCALE",
    "Downloads",
    "Entry",
    "Located",
    "Weights",
    "build_int8",
    "cache_folder",
    "describe_weights",
    "file_sha256",
    "find_entry",
    "list_weights",
    "load_manifest",
    "load_pair",
    "load_weights",
    "locate_weights",
    "names_here",
    "pair_digest",
    "read_weights",
    "write_weights",
]
