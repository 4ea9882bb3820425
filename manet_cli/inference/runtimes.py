"""The list of runtimes.

To add one: write its module (see `openvino_runtime`) and add its entry here. ``--device``, messages and
`doctor` ask the entry.
"""

from __future__ import annotations

from manet_cli.inference import openvino_runtime
from manet_cli.inference.runtime import Runtime

__all__ = ["RUNTIMES"]

RUNTIMES = [
    Runtime(
        id="openvino",
        names=("openvino", "openvino:GPU", "openvino:NPU"),
        find=openvino_runtime.find_device,
        devices=openvino_runtime.devices,
        auto=openvino_runtime.auto_device,
    ),
]
"""One entry per program that can run the networks instead of PyTorch."""
