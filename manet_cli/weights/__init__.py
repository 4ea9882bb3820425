"""Weights: the manifest, the files, and nothing unchecked between them and a model."""

from manet_cli.weights.files import Weights, file_sha256, read_weights, write_weights
from manet_cli.weights.manifest import DEFAULT_FAMILY, Entry, load_manifest
from manet_cli.weights.resolve import DEFAULT_SCALE, describe_weights, find_entry, load_weights, weights_path

__all__ = [
    "DEFAULT_FAMILY",
    "DEFAULT_SCALE",
    "Entry",
    "Weights",
    "describe_weights",
    "file_sha256",
    "find_entry",
    "load_manifest",
    "load_weights",
    "read_weights",
    "weights_path",
    "write_weights",
]
