"""Estimate the memory for a picture before any work."""

from __future__ import annotations

from manet_cli.images import Header, ImageFormat
from manet_cli.inference import Engine

__all__ = ["HELD_ROWS", "host_memory", "needed_memory"]

HELD_ROWS = 64 << 20
"""Bytes of a result that may wait for the encoder while the picture uses the device."""

_COLLECTED = 256 << 20  # bytes of a result that the encoder may keep in memory
_PROGRAM = 300_000_000  # Python, PyTorch and the weights
_CODE = 15 * 4  # bytes of a pixel's kernel code
_FLOATS = 3 * 4  # bytes of a pixel's colours in the networks' input


def needed_memory(engine: Engine, header: Header, result: Header, fmt: ImageFormat) -> int:
    """Estimate the peak memory of a run in bytes.

    It holds the whole input and one row of tiles; a format that is not streamed also needs the whole result.

    Args:
        engine: runs the networks.
        header: of the input.
        result: header of the result.
        fmt: of the output.
    """
    pixels, photo = header.width * header.height, _pixel_bytes(header)
    channels = header.channels + header.has_alpha
    # The decoder's picture, the photo, and a copy of the photo.
    reading = 2 * photo + pixels * (4 if channels > 2 else channels) * header.bits // 8
    layers = 1 + header.has_alpha
    tile, halo = engine.restorer_tiles(layers)
    rows = min(tile + 2 * halo if tile else header.height, header.height)
    scale = engine.restorer.footprint.scale
    tiles = (
        rows * header.width * (_CODE + 3 * _FLOATS * layers)
        + min(tile or header.height, header.height) * header.width * scale**2 * channels * header.bits // 8
        + engine.working_memory(header.height, header.width, layers)
    )
    writing = int(result.width * result.height * channels * fmt.encoder_memory)
    if fmt.encoder_memory_limit is not None:
        writing = min(writing, fmt.encoder_memory_limit)
    return _PROGRAM + max(reading, photo + tiles + writing)


def host_memory(header: Header, result: Header) -> int:
    """Estimate the host memory in bytes for decoding and encoding a picture.

    Args:
        header: of the input.
        result: header of the result.
    """
    return 2 * _pixel_bytes(header) + min(_pixel_bytes(result), HELD_ROWS + _COLLECTED)


def _pixel_bytes(header: Header) -> int:
    return header.width * header.height * (header.channels + header.has_alpha) * header.bits // 8
