"""Read weight files without running code, check them, write them atomically.

No other code loads a user's pickle.
"""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from manet_cli.atomic import atomic_path
from manet_cli.errors import UsageError, WeightsError
from manet_cli.models import BlindConfig, BlindModel
from manet_cli.regular_file import open_regular
from manet_cli.weights.bounds import LARGEST_FILE, check_pickle, check_safetensors
from manet_cli.weights.layout import check_layout, from_published, infer_config, is_published, to_published

__all__ = ["WEIGHT_SUFFIXES", "Weights", "file_sha256", "read_weights", "write_weights"]

_PICKLE_SUFFIXES = (".pth", ".pt")
WEIGHT_SUFFIXES = (".safetensors", *_PICKLE_SUFFIXES)


@dataclass(frozen=True)
class Weights:
    """The content of a weight file.

    Attributes:
        tensors: state dict of a `BlindModel`, in the number format of the file.
        config: shapes of its networks.
        published: whether the file has the published layout.
        sha256: digest of the file; for a converted file, of the download.
        code_stride: n, if the restorer works as well with interpolated codes of every n-th pixel; else 1.
    """

    tensors: Mapping[str, Tensor]
    config: BlindConfig
    published: bool
    sha256: str
    code_stride: int = 1

    @property
    def scale(self) -> int | None:
        """The restorer's scale; None without a restorer."""
        return self.config.restorer.scale if self.config.restorer else None

    def build(self) -> BlindModel:
        """Return the model in float32, on the CPU, in evaluation mode, without gradients."""
        with torch.device("meta"):
            model = BlindModel(self.config)
        model.load_state_dict({name: tensor.float() for name, tensor in self.tensors.items()}, assign=True)
        return model.eval().requires_grad_(False)


def file_sha256(path: Path, most: int | None = None) -> str:
    """Return the hexadecimal SHA-256 of a regular file.

    Raises:
        OSError: the file cannot be read, or has more than ``most`` bytes.
    """
    digest = hashlib.sha256()
    with open_regular(path, most) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_weights(path: Path) -> Weights:
    """Read and check a weight file: ``.safetensors``, or ``.pth`` without running any code in it.

    Raises:
        WeightsError: the file is missing or damaged, or contains anything but the networks' tensors.
    """
    try:
        sha256 = file_sha256(path, LARGEST_FILE)
        tensors = _read_pickle(path) if path.suffix.lower() in _PICKLE_SUFFIXES else _read_safetensors(path)
        published = is_published(tensors)
        if published:
            tensors = from_published(tensors)
        config = infer_config(tensors)
        check_layout(tensors, config)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: there is no such weight file.") from error
    except OSError as error:
        raise WeightsError(f"{path}: this weight file cannot be read ({error.strerror or error}).") from error
    except WeightsError as error:
        raise WeightsError(f"{path}: these weights cannot be used: {error}") from error
    return Weights(tensors, config, published, sha256)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    check_safetensors(path)
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise WeightsError("the file is damaged or is not in the safetensors format.") from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    check_pickle(path)
    try:
        with warnings.catch_warnings():
            # PyTorch warns of unknown formats in damaged files; the content is checked below.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
            raise WeightsError(
                "the pickle holds more than tensors, which could run code; nothing in it was run."
            ) from error
        raise WeightsError("the file is damaged or is not a PyTorch file.") from error
    if not isinstance(content, dict) or not content:
        raise WeightsError("expected a state dict of named tensors.")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WeightsError(f"expected a state dict of named tensors, but {name!r} is something else.")
    return content


def write_weights(weights: Weights, path: Path) -> None:
    """Write weights atomically: in our layout as ``.safetensors``, in the published layout as ``.pth``.

    The number format stays the same.

    Raises:
        UsageError: another suffix.
        OutputError: the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in WEIGHT_SUFFIXES:
        raise UsageError(
            f"{path}: weights are written as .safetensors or .pth, not as {suffix or 'no suffix'}."
        )
    # Copies, because torch.save writes the whole storage of a view, and safetensors refuses shared storage.
    tensors = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, tensor in weights.tensors.items()
    }
    with atomic_path(path) as temporary:
        if suffix == ".safetensors":
            # save_file would replace the locked temporary file by a new one with private permissions.
            temporary.write_bytes(safetensors.torch.save(tensors, {"format": "pt"}))
        else:
            # torch.save stores the file name; with a stream, equal weights give equal bytes.
            with temporary.open("wb") as stream:
                torch.save(to_published(tensors), stream)
