"""Small weights, cheap to write and read."""

import os
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from manet_cli.models import BlindConfig, BlindModel, MANetConfig, RRDBSFTConfig
from manet_cli.weights import https
from manet_cli.weights.layout import to_published
from tests.weights.servers import Server, certificate

SMALL = BlindConfig(
    MANetConfig(channels=(8, 12)),
    RRDBSFTConfig(scale=3, features=6, blocks=2, growth=4, transform_width=5, code_length=7),
)


@pytest.fixture
def small_tensors() -> dict[str, Tensor]:
    """State dict of a small blind model in our layout, with random numbers."""
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


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder of pulled weights, independent of this machine's settings."""
    for name in list(os.environ):
        if name.startswith("HF_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(https, "_PAUSE", 0.001)
    return tmp_path / "cache" / "manet" / "weights"


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate for this machine, and a server's context with it."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command for a certificate")
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server(
    cache: Path, tls: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """An https server whose certificate is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[0]))
    with Server(tls[1]).running() as server:
        yield server
