"""Small weights, cheap to write and read."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from manet_cli.models import BlindConfig, BlindModel, MANetConfig, RRDBSFTConfig
from manet_cli.weights.layout import to_published

SMALL = BlindConfig(
    MANetConfig(channels=(8, 12)),
    RRDBSFTConfig(scale=3, features=6, blocks=2, growth=4, transform_width=5, code_length=7),
)


@pytest.fixture
def small_tensors() -> dict[str, Tensor]:
    """State dict of a small blind model in our layout, with every number drawn."""
    torch.manual_seed(0)
    model = BlindModel(SMALL)
    return {name: torch.randn_like(tensor) for name, tensor in model.state_dict().items()}


@pytest.fixture
def published_tensors(small_tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same in the published layout."""
    return {name: tensor.clone() for name, tensor in to_published(small_tensors).items()}


@pytest.fixture
def safetensors_file(small_tensors: dict[str, Tensor], tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    save_file(small_tensors, path)
    return path


@pytest.fixture
def pickle_file(published_tensors: dict[str, Tensor], tmp_path: Path) -> Path:
    path = tmp_path / "small.pth"
    torch.save(published_tensors, path)
    return path
