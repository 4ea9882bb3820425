"""Files <-> photos: pixels, alpha and metadata, and the formats."""

from manet_cli.images.alpha import premultiply, to_float, to_integer, unpremultiply
from manet_cli.images.formats import (
    FORMATS,
    IMAGE_SUFFIXES,
    ImageFormat,
    check_writable_as,
    format_by_name,
    format_for_suffix,
)
from manet_cli.images.photo import Header, Metadata, Photo
from manet_cli.images.reading import MAX_PIXELS, read_header, read_photo
from manet_cli.images.resizing import Resizer
from manet_cli.images.sinks import CollectedPhoto, HeldRows, RowSink
from manet_cli.images.transfer import TransferCurves, transfer_curves
from manet_cli.images.writing import open_output, read_record, room_beside, write_photo

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "CollectedPhoto",
    "Header",
    "HeldRows",
    "ImageFormat",
    "Metadata",
    "Photo",
    "Resizer",
    "RowSink",
    "TransferCurves",
    "check_writable_as",
    "format_by_name",
    "format_for_suffix",
    "open_output",
    "premultiply",
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
