"""Photos -> files, with what came beside the pixels and the record of the run.

What each format keeps (EXIF and XMP with their sizes updated; `grey`: one channel stays one; `*`: see below):

    format  grey  16 bits  alpha  EXIF  ICC  XMP  IPTC  DPI  record in
    PNG     yes   yes      yes    yes   yes  yes  yes   yes  iTXt chunk `manet_cli`
    JPEG    yes   no       no     yes   yes  yes  yes   yes  EXIF ImageHistory
    WebP    no    no       yes    yes   yes* yes  no    no*  EXIF ImageHistory
    TIFF    yes   yes      yes    yes*  yes  yes  yes   yes  EXIF ImageHistory
    BMP     yes   no       no     no    no   no   no    yes  nowhere
    AVIF    yes*  no       yes    yes   yes* yes  no    no*  EXIF ImageHistory

- WebP has no grey, AVIF as Pillow writes it no grey with alpha: such a photo becomes RGB, and a profile for
  grey, which would no longer fit, is left out.
- WebP and AVIF have no field for IPTC, nor for DPI; the resolution tags of the EXIF stay.
- TIFF: EXIF is merged into the file's own directories. The descriptive tags, the Exif, GPS and
  interoperability directories are kept, values unchanged; MakerNote is kept byte for byte, but offsets inside
  it no longer fit.
- JPEG: segments hold 64 KiB; EXIF, XMP or IPTC above that is left out, and logged.

Equal photos, formats, qualities and records give equal bytes with one version of Pillow and zlib.
"""

from __future__ import annotations

import logging
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from manet_cli.errors import OutputError, UsageError
from manet_cli.images import exif, iptc
from manet_cli.images.formats import ImageFormat, check_writable_as
from manet_cli.images.lossless import (
    BANDED_FORMATS,
    RECORD_KEYWORD,
    TIFF_IMAGE_HISTORY,
    BandWriter,
    sized_exif,
    sized_xmp,
)
from manet_cli.images.photo import Header, Metadata, Photo
from manet_cli.images.reading import open_image
from manet_cli.images.sinks import CollectedImage, RowSink
from manet_cli.images.warning_log import logged_warnings
from manet_cli.stopping import end_if_stopped

__all__ = ["open_output", "read_record", "room_beside", "write_photo"]

_log = logging.getLogger(__name__)

_JPEG_SEGMENT = 65533
_JPEG_XMP_PREFIX = 29
# The bytes that libaom gives depend on the number of threads, which is the machine's unless it is fixed.
_AVIF_THREADS = 8
_READS_UNUSED_BYTE = ("jpeg", "webp")  # of RGBX; the other encoders of Pillow need RGB
_SPOOLED = 64 << 20  # an output that is no file is kept in memory up to here, then on the disk
_COPIED_AT_ONCE = 1 << 20


def write_photo(
    photo: Photo,
    path_or_file: Path | BinaryIO,
    fmt: ImageFormat,
    *,
    quality: int | None = None,
    record: str | None = None,
    name: str | None = None,
) -> None:
    """Write a whole photo: `open_output` with the photo's rows and metadata."""
    with open_output(
        path_or_file, fmt, photo.header, photo.metadata, quality=quality, record=record, name=name
    ) as rows:
        rows.write(photo.pixels, photo.alpha)


@contextmanager
def open_output(
    path_or_file: Path | BinaryIO,
    fmt: ImageFormat,
    header: Header,
    metadata: Metadata,
    *,
    quality: int | None = None,
    record: str | None = None,
    name: str | None = None,
) -> Iterator[RowSink]:
    """Give who takes the rows of a picture, to be written as `fmt` to a path or to an open binary file.

    `header` and `metadata`: of the picture to be written. `quality`: 1..100 for JPEG, WebP and AVIF, None for
    the format's default. `record`: ASCII text that `read_record` gives back; BMP drops it. `name`: what
    messages call the output. A path is overwritten in place, so callers give a temporary one (`atomic_path`);
    an open file, which need not be seekable, gets the picture in one go when the block ends, or nothing.

    Raises OutputError if the format cannot hold the picture or the file cannot be written, UsageError for a
    quality that means nothing; `write` of what is given raises OutputError too.
    """
    if name is None:
        name = path_or_file.name if isinstance(path_or_file, Path) else "the output"
    check_writable_as(fmt, header.width, header.height, alpha=header.has_alpha, bits=header.bits)
    _check_quality(fmt, quality)
    if isinstance(path_or_file, Path):
        with _reported(name, fmt):
            file = path_or_file.open("wb")
        try:
            encoder = _Encoder(file, fmt, header, metadata, quality, record, name, path_or_file.parent)
            yield encoder
            encoder.finish()
        finally:
            with suppress(OSError):  # nothing of a whole picture is left to write
                file.close()
        return
    with tempfile.SpooledTemporaryFile(_SPOOLED) as spool:
        encoder = _Encoder(cast(BinaryIO, spool), fmt, header, metadata, quality, record, name, None)
        yield encoder
        encoder.finish()
        with _reported(name, fmt):
            spool.seek(0)
            shutil.copyfileobj(spool, path_or_file, _COPIED_AT_ONCE)
            path_or_file.flush()


def room_beside(fmt: ImageFormat, header: Header) -> int:
    """Give the bytes of disk that writing such a picture takes beside its file, as long as it goes on."""
    return 0 if fmt.name in BANDED_FORMATS else CollectedImage.room(header)


def read_record(path: Path) -> str | None:
    """Give the record inside a file that `write_photo` wrote, without decoding its pixels.

    None for a file without one, one that cannot be read, or none at all; never an exception.
    """
    try:
        with open_image(path, path.name, max_pixels=None) as (image, _):
            if image.format == "PNG":
                record = image.info.get(RECORD_KEYWORD)
            elif isinstance(image, TiffImageFile):
                record = image.tag_v2.get(TIFF_IMAGE_HISTORY)
            else:
                block = image.info.get("exif")
                record = None if block is None else exif.history(exif.cleaned(block))
            return str(record) if isinstance(record, str) else None
    except Exception:  # noqa: BLE001 - a file that is not ours may fail in any way
        end_if_stopped()
        _log.debug("%s holds no readable record", path.name, exc_info=True)
        return None


def _check_quality(fmt: ImageFormat, quality: int | None) -> None:
    if quality is None:
        return
    if fmt.default_quality is None:
        raise UsageError(f"a quality means nothing for {fmt.name.upper()}, which is lossless: leave it out")
    if quality not in range(1, 101):
        raise UsageError(f"the quality {quality} is not from 1 to 100: choose one that is")


@contextmanager
def _reported(name: str, fmt: ImageFormat) -> Iterator[None]:
    """Turn what goes wrong while the output called `name` is encoded or written into an OutputError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise OutputError(
                f"{name} cannot be written ({error.strerror}): free some space or choose another folder"
            ) from error
        raise OutputError(f"{name} cannot be encoded as {fmt.name.upper()} ({error}): choose png") from error


class _Encoder:
    """Writes a picture into a file, errors reported under the name that the user knows it by."""

    def __init__(
        self,
        file: BinaryIO,
        fmt: ImageFormat,
        header: Header,
        metadata: Metadata,
        quality: int | None,
        record: str | None,
        name: str,
        folder: Path | None,
    ) -> None:
        self._file = file
        self._format = fmt
        self._header = header
        self._metadata = metadata
        self._quality = quality
        self._record = record
        self._name = name
        self._rows: BandWriter | CollectedImage
        with _reported(name, fmt):
            if fmt.name in BANDED_FORMATS:
                self._rows = BandWriter(file, fmt, header, metadata, record)
            else:
                self._rows = CollectedImage(header, folder)

    def write(self, pixels: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> None:
        """Take the next rows."""
        with _reported(self._name, self._format):
            self._rows.write(pixels, alpha)

    def finish(self) -> None:
        """Write what is left, after the last row."""
        with _reported(self._name, self._format):
            if isinstance(self._rows, BandWriter):
                self._rows.finish()
            else:
                self._encode(self._rows.image())
            self._file.flush()

    def _encode(self, image: Image.Image) -> None:
        """Write the whole file by Pillow."""
        fmt, header = self._format, self._header
        if image.mode == "RGBX" and fmt.name not in _READS_UNUSED_BYTE:
            image = image.convert("RGB")
        options = _options(fmt, header, self._metadata, self._quality, self._record)
        with logged_warnings(self._name):
            image.save(cast(BinaryIO, _PlainFile(self._file)), fmt.pillow_name, **options)


class _PlainFile:
    """A file of which Pillow sees no descriptor, so that a full disk is an error with its reason."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write
        self.flush = file.flush


def _options(
    fmt: ImageFormat, header: Header, metadata: Metadata, quality: int | None, record: str | None
) -> dict[str, Any]:
    """Give what Pillow is to write beside the pixels, and how."""
    block = sized_exif(metadata, header.width, header.height)
    metadata = replace(metadata, xmp=sized_xmp(metadata, header.width, header.height))
    grey_kept = header.channels == 1 and fmt.name != "webp" and (fmt.name != "avif" or not header.has_alpha)
    options: dict[str, Any] = {} if metadata.dpi is None else {"dpi": metadata.dpi}
    if metadata.icc_profile is not None and (grey_kept or metadata.icc_profile[16:20] != b"GRAY"):
        options["icc_profile"] = metadata.icc_profile
    if fmt.name == "bmp":
        return options
    if record is not None:
        block = exif.with_history(block, record)
    options |= {
        "jpeg": _jpeg_options,
        "webp": _webp_options,
        "avif": _avif_options,
    }[fmt.name](metadata, block, record)
    options["quality"] = fmt.default_quality if quality is None else quality
    if fmt.name == "avif" and grey_kept:
        options["subsampling"] = "4:0:0"
    return options


def _jpeg_options(metadata: Metadata, block: bytes | None, record: str | None) -> dict[str, Any]:
    options: dict[str, Any] = {"subsampling": "4:4:4"}
    if block is not None:
        segment = b"Exif\0\0" + block
        if len(segment) > _JPEG_SEGMENT:
            _log.warning("the EXIF has %d bytes, more than JPEG holds, and is not written", len(block))
            segment = b"" if record is None else b"Exif\0\0" + exif.with_history(None, record)
        options["exif"] = segment
    if metadata.xmp is not None:
        if len(metadata.xmp) > _JPEG_SEGMENT - _JPEG_XMP_PREFIX:
            _log.warning("the XMP has %d bytes, more than JPEG holds, and is not written", len(metadata.xmp))
        else:
            options["xmp"] = metadata.xmp
    if metadata.iptc is not None:
        segment = iptc.APP13_PREFIX + iptc.to_resources(metadata.iptc)
        if len(segment) > _JPEG_SEGMENT:
            _log.warning(
                "the IPTC has %d bytes, more than JPEG holds, and is not written", len(metadata.iptc)
            )
        else:
            options["extra"] = b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment
    return options


def _webp_options(metadata: Metadata, block: bytes | None, record: str | None) -> dict[str, Any]:
    return {"exif": block or b"", "xmp": metadata.xmp or b""}


def _avif_options(metadata: Metadata, block: bytes | None, record: str | None) -> dict[str, Any]:
    if block is not None:  # AVIF turns by a box of its own; Pillow would rewrite an EXIF that has the tag
        block = exif.without_orientation(block)
    return {
        "exif": block or b"",
        "xmp": metadata.xmp or b"",
        "subsampling": "4:4:4",
        "max_threads": _AVIF_THREADS,
    }
