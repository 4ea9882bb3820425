"""Pillow's encoders of JPEG, WebP, BMP and AVIF, which need the whole picture at once.

- WebP has no grey, and Pillow's AVIF has no grey with alpha: such a photo becomes RGB.
- WebP and AVIF have no field for IPTC or DPI; the resolution tags of the EXIF stay.
- JPEG: a segment has at most 64 KiB; larger EXIF, XMP or IPTC is left out, and logged.
"""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Callable
from typing import Any, BinaryIO, cast

import numpy.typing as npt

from manet_cli.images import exif, iptc
from manet_cli.images.encoding import OutputSpec
from manet_cli.images.sinks import CollectedImage

__all__ = ["avif_encoder", "bmp_encoder", "jpeg_encoder", "webp_encoder"]

logger = logging.getLogger(__name__)

_JPEG_SEGMENT = 65533
_JPEG_XMP_PREFIX = 29
_EXIF_PREFIX = b"Exif\0\0"
# libaom's output depends on the number of threads, which is fixed here.
_AVIF_THREADS = 8


class _WholePicture:
    """Collects the rows of a picture, then writes the file.

    Args:
        file: an open, empty file.
        spec: content besides the pixels.
        options: returns Pillow's options.
        takes_rgbx: the encoder accepts RGB with an unused byte; otherwise the picture is copied without it.
        finished: edits the bytes of the finished file, which is then encoded in memory.
    """

    def __init__(
        self,
        file: BinaryIO,
        spec: OutputSpec,
        options: Callable[[OutputSpec], dict[str, Any]],
        *,
        takes_rgbx: bool = False,
        finished: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._file = file
        self._spec = spec
        self._options = options
        self._takes_rgbx = takes_rgbx
        self._finished = finished
        self._rows = CollectedImage(spec.header, spec.folder)

    def write(self, pixels: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> None:
        """Take the next rows."""
        self._rows.write(pixels, alpha)

    def finish(self) -> None:
        """Write the whole file."""
        image = self._rows.image()
        if image.mode == "RGBX" and not self._takes_rgbx:
            image = image.convert("RGB")
        held = io.BytesIO() if self._finished else None
        file = held or cast(BinaryIO, _PlainFile(self._file))
        image.save(file, self._spec.format.pillow_name, **self._options(self._spec))
        if held and self._finished:
            self._file.write(self._finished(held.getvalue()))


class _PlainFile:
    """A file that hides its descriptor from Pillow, so that a full disk raises an error with its reason."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write
        self.flush = file.flush


def jpeg_encoder(file: BinaryIO, spec: OutputSpec) -> _WholePicture:
    """Start a JPEG file."""
    return _WholePicture(file, spec, _jpeg_options, takes_rgbx=True)


def webp_encoder(file: BinaryIO, spec: OutputSpec) -> _WholePicture:
    """Start a WebP file."""
    return _WholePicture(file, spec, _webp_options, takes_rgbx=True, finished=_exif_first)


def bmp_encoder(file: BinaryIO, spec: OutputSpec) -> _WholePicture:
    """Start a BMP file."""
    return _WholePicture(file, spec, _common_options)


def avif_encoder(file: BinaryIO, spec: OutputSpec) -> _WholePicture:
    """Start an AVIF file."""
    return _WholePicture(file, spec, _avif_options)


def _common_options(spec: OutputSpec) -> dict[str, Any]:
    """Return quality, resolution and profile, if given."""
    options: dict[str, Any] = {}
    if spec.quality is not None:
        options["quality"] = spec.quality
    if spec.metadata.dpi is not None:
        options["dpi"] = spec.metadata.dpi
    if spec.metadata.icc_profile is not None:
        options["icc_profile"] = spec.metadata.icc_profile
    return options


def _block(spec: OutputSpec) -> bytes | None:
    """Return the EXIF with the record of the run."""
    block = spec.metadata.exif
    return block if spec.record is None else exif.with_history(block, spec.record)


def _jpeg_options(spec: OutputSpec) -> dict[str, Any]:
    metadata, block = spec.metadata, _block(spec)
    options = {**_common_options(spec), "subsampling": "4:4:4"}
    if block is not None:
        if not _fits("EXIF", block, len(_EXIF_PREFIX) + len(block)):
            block = b"" if spec.record is None else exif.with_history(None, spec.record)
        options["exif"] = _EXIF_PREFIX + block if block else b""
    if metadata.xmp is not None and _fits("XMP", metadata.xmp, _JPEG_XMP_PREFIX + len(metadata.xmp)):
        options["xmp"] = metadata.xmp
    if metadata.iptc is not None:
        segment = iptc.APP13_PREFIX + iptc.to_resources(metadata.iptc)
        if _fits("IPTC", metadata.iptc, len(segment)):
            options["extra"] = b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment
    return options


def _fits(kind: str, content: bytes, size: int) -> bool:
    """Whether a JPEG segment of `size` bytes is small enough; log if it is too large."""
    if size > _JPEG_SEGMENT:
        logger.warning("the %s has %d bytes, too many for a JPEG, and is not written", kind, len(content))
    return size <= _JPEG_SEGMENT


def _webp_options(spec: OutputSpec) -> dict[str, Any]:
    return {**_common_options(spec), "exif": _block(spec) or b"", "xmp": spec.metadata.xmp or b""}


def _exif_first(webp: bytes) -> bytes:
    """Move the EXIF of a WebP file before the pixels, so that a truncated file still has it."""
    chunks, position = list[bytes](), 12
    while position + 8 <= len(webp):
        (length,) = struct.unpack_from("<L", webp, position + 4)
        end = position + 8 + length + length % 2
        chunks.append(webp[position:end])
        position = end
    chunks.sort(key=lambda chunk: {b"VP8X": 0, b"ICCP": 1, b"EXIF": 2}.get(chunk[:4], 3))
    return webp[:12] + b"".join(chunks)


def _avif_options(spec: OutputSpec) -> dict[str, Any]:
    block = _block(spec)
    if block is not None:  # AVIF has a box for the orientation; Pillow would rewrite EXIF with the tag
        block = exif.without_orientation(block)
    return {
        **_common_options(spec),
        "exif": block or b"",
        "xmp": spec.metadata.xmp or b"",
        "subsampling": "4:0:0" if spec.format.keeps_grey(spec.header) else "4:4:4",
        "max_threads": _AVIF_THREADS,
    }
