"""A toy runtime: PyTorch under another name. All that a new runtime takes is this file and its row."""

from __future__ import annotations

import torch

from manet_cli.errors import UsageError
from manet_cli.inference.networks import Networks, TorchNetworks
from manet_cli.inference.runtime import Runtime, RuntimeDevice
from manet_cli.inference.torch_device import PRECISIONS
from manet_cli.models import BlindModel


class Shadow(RuntimeDevice):
    type = "shadow"
    product = "Toy"
    is_cpu = True

    def __str__(self) -> str:
        return "shadow"

    def choose_precision(self, name: str) -> torch.dtype:
        if name not in ("auto", "fp32"):
            raise UsageError("a shadow computes in fp32")
        return PRECISIONS["fp32"]

    def networks(self, model: BlindModel, precision: torch.dtype) -> Networks:
        return TorchNetworks(model, torch.device("cpu"), precision)


def find(name: str | None) -> RuntimeDevice:
    if name is not None:
        raise UsageError("there is one shadow")
    return Shadow()


SHADOW = Runtime(id="shadow", names=("shadow",), find=find, devices=lambda: [Shadow()])
