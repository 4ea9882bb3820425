"""The networks alone: no files, no devices, no tiles."""

from manet_cli.models.blend import BlendedRestorer
from manet_cli.models.blind import BlindConfig, BlindModel
from manet_cli.models.int8 import Int8Block, Range, int8_blocks
from manet_cli.models.kernel_code import KernelCode, KernelDecoder, interpolated_codes
from manet_cli.models.manet import MANet, MANetConfig
from manet_cli.models.restorer import Restorer, RestorerConfig, RestorerKind
from manet_cli.models.restorers import RESTORERS, kind_of_config, kind_of_names, restorer_kind
from manet_cli.models.rrdb_sft import RRDBSFT, RRDBSFTConfig
from manet_cli.models.tiling_facts import Footprint

__all__ = [
    "RESTORERS",
    "RRDBSFT",
    "BlendedRestorer",
    "BlindConfig",
    "BlindModel",
    "Footprint",
    "Int8Block",
    "KernelCode",
    "KernelDecoder",
    "MANet",
    "MANetConfig",
    "RRDBSFTConfig",
    "Range",
    "Restorer",
    "RestorerConfig",
    "RestorerKind",
    "int8_blocks",
    "interpolated_codes",
    "kind_of_config",
    "kind_of_names",
    "restorer_kind",
]
