"""Files <-> photos: pixels, alpha and metadata, and the formats.

Names that need NumPy or Pillow are imported lazily, because the help reads the list of formats.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from manet_cli.images.formats import (
    DEFAULT_FORMAT,
    FORMATS,
    ImageFormat,
    check_writable_as,
    format_by_name,
    format_for_suffix,
    has_picture_suffix,
    has_raw_suffix,
    has_readable_suffix,
    listed,
)

if TYPE_CHECKING:
    from manet_cli.images.alpha import premultiply, to_float, to_integer, unpremultiply
    from manet_cli.images.content import read_content
    from manet_cli.images.damage import Damage, denoise_of, measure_damage
    from manet_cli.images.files import MAX_PIXELS
    from manet_cli.images.finished import Finished, read_finished
    from manet_cli.images.jpeg_traces import quality_of_tables
    from manet_cli.images.photo import Header, Metadata, Photo
    from manet_cli.images.reading import read_header, read_photo
    from manet_cli.images.resizing import Resizer
    from manet_cli.images.sinks import CollectedPhoto, EightBitRows, HeldRows, RowSink
    from manet_cli.images.transfer import TransferCurves, transfer_curves
    from manet_cli.images.writing import open_output, read_record, room_beside, write_photo

__all__ = [
    "DEFAULT_FORMAT",
    "FORMATS",
    "MAX_PIXELS",
    "CollectedPhoto",
    "Damage",
    "EightBitRows",
    "Finished",
    "Header",
    "HeldRows",
    "ImageFormat",
    "Metadata",
    "Photo",
    "Resizer",
    "RowSink",
    "TransferCurves",
    "check_writable_as",
    "denoise_of",
    "format_by_name",
    "format_for_suffix",
    "has_picture_suffix",
    "has_raw_suffix",
    "has_readable_suffix",
    "listed",
    "measure_damage",
    "open_output",
    "premultiply",
    "quality_of_tables",
    "read_content",
    "read_finished",
    "read_header",
    "read_photo",
    "read_record",
    "room_beside",
    "to_float",
    "to_integer",
    "transfer_curves",
    "unpremultiply",
    "write_photo",
]

_IMPORTED_LATER = (
    *("alpha", "content", "damage", "files", "finished", "jpeg_traces", "photo", "reading", "resizing"),
    *("sinks", "transfer", "writing"),
)


def __getattr__(name: str) -> object:
    if name in __all__:
        for module in _IMPORTED_LATER:
            loaded = importlib.import_module(f"{__name__}.{module}")
            if name in loaded.__all__:
                value = globals()[name] = getattr(loaded, name)
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
