"""The networks, and nothing else: no files, no devices, no tiles."""

from manet_cli.models.blind import BlindConfig, BlindModel
from manet_cli.models.kernel_code import KernelCode
from manet_cli.models.manet import MANet, MANetConfig
from manet_cli.models.rrdb_sft import RRDBSFT, RRDBSFTConfig
from manet_cli.models.tiling_facts import Footprint

__all__ = [
    "RRDBSFT",
    "BlindConfig",
    "BlindModel",
    "Footprint",
    "KernelCode",
    "MANet",
    "MANetConfig",
    "RRDBSFTConfig",
]
