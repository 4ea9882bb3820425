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
from manet_cli.images.photo import Metadata, Photo
from manet_cli.images.reading import MAX_PIXELS, Header, read_header, read_photo
from manet_cli.images.writing import read_record, write_photo

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "Header",
    "ImageFormat",
    "Metadata",
    "Photo",
    "check_writable_as",
    "format_by_name",
    "format_for_suffix",
    "premultiply",
    "read_header",
    "read_photo",
    "read_record",
    "to_float",
    "to_integer",
    "unpremultiply",
    "write_photo",
]
