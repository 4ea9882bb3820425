"""Photos -> files, with metadata and the record of the run.

The rows of `FORMATS` list what each format keeps. EXIF and XMP are written with updated sizes. With one
version of Pillow and zlib, equal photos, formats, qualities and records give equal bytes.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy.typing as npt
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import TiffImageFile

from manet_cli.atomic import not_written
from manet_cli.errors import OutputError, UsageError
from manet_cli.images import exif, profiles, xmp
from manet_cli.images.encoding import Encoder, OutputSpec
from manet_cli.images.formats import DEFAULT_FORMAT, ImageFormat, check_writable_as, load_encoder
from manet_cli.images.lossless import RECORD_KEYWORD, TIFF_IMAGE_HISTORY
from manet_cli.images.photo import Header, Metadata, Photo
from manet_cli.images.reading import open_image
from manet_cli.images.sinks import CollectedImage, RowSink
from manet_cli.images.warning_log import logged_warnings
from manet_cli.stopping import end_if_stopped

__all__ = ["open_output", "read_record", "record_in", "room_beside", "write_photo"]

_log = logging.getLogger(__name__)

_SPOOLED = 64 << 20  # bytes of a streamed output kept in memory; a larger one is kept on the disk
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
    """Yield a sink that encodes the rows of a picture into a path or an open binary file.

    Args:
        path_or_file: a path is overwritten in place, so callers give a temporary one (`atomic_path`). An open
            file, seekable or not, gets the whole picture when the block ends, or nothing.
        fmt: format of the file.
        header: header of the picture.
        metadata: metadata of the picture; the format may keep only a part of it.
        quality: 1 to 100; None for the format's default, or for a lossless format.
        record: ASCII text that `read_record` returns; left out if the format cannot store it.
        name: name of the output in messages.

    Raises:
        OutputError: the format cannot store the picture, or the file cannot be written; the sink's ``write``
            raises it too.
        UsageError: the quality is out of range, or the format is lossless.
    """
    if name is None:
        name = path_or_file.name if isinstance(path_or_file, Path) else "the output"
    check_writable_as(fmt, header.width, header.height, alpha=header.has_alpha, bits=header.bits)
    folder = path_or_file.parent if isinstance(path_or_file, Path) else None
    spec = OutputSpec(
        fmt,
        header,
        _kept_metadata(metadata, fmt, header),
        _checked_quality(fmt, quality),
        record if fmt.record else None,
        folder,
    )
    conversion = _conversion(metadata, fmt, header, name)
    if isinstance(path_or_file, Path):
        with _reported(name, fmt):
            file = path_or_file.open("wb")
        try:
            encoder = _ReportingEncoder(file, spec, name, conversion)
            yield encoder
            encoder.finish()
        finally:
            with suppress(OSError):  # everything is written already
                file.close()
        return
    with tempfile.SpooledTemporaryFile(_SPOOLED) as spool:
        encoder = _ReportingEncoder(cast(BinaryIO, spool), spec, name, conversion)
        yield encoder
        encoder.finish()
        with _reported(name, fmt):
            spool.seek(0)
            shutil.copyfileobj(spool, path_or_file, _COPIED_AT_ONCE)
            path_or_file.flush()


def room_beside(fmt: ImageFormat, header: Header) -> int:
    """Return the temporary disk space in bytes for writing a picture, without its file."""
    return 0 if fmt.streamed else CollectedImage.room(header)


def read_record(path: Path) -> str | None:
    """Return the record in a file that `write_photo` wrote, without decoding its pixels.

    None if there is no record or the file is not readable; never raises.
    """
    try:
        with open_image(path, path.name, max_pixels=None) as (image, _):
            return record_in(image)
    except Exception:  # noqa: BLE001 - a file that is not ours may fail in any way
        end_if_stopped()
        _log.debug("%s has no readable record", path.name, exc_info=True)
        return None


def record_in(image: Image.Image) -> str | None:
    """Return the record in an opened picture; None for none. A damaged picture may raise anything."""
    if image.format == "PNG":
        record = image.info.get(RECORD_KEYWORD)
    elif isinstance(image, TiffImageFile):
        record = image.tag_v2.get(TIFF_IMAGE_HISTORY)
    else:
        block = image.info.get("exif")
        record = None if block is None else exif.history(exif.cleaned(block))
    return str(record) if isinstance(record, str) else None


def _kept_metadata(metadata: Metadata, fmt: ImageFormat, header: Header) -> Metadata:
    """Return the metadata that a format keeps, with the picture's sizes."""
    kept = {field: value for field, value in asdict(metadata).items() if field in fmt.metadata}
    size = metadata.size or (header.width, header.height)
    if kept.get("exif") is not None:
        try:
            kept["exif"] = exif.with_size(kept["exif"], header.width, header.height, size)
        except exif.CorruptTagsError as error:
            _log.warning("the EXIF is damaged and is not written: %s", error)
            kept["exif"] = None
    profile = kept.get("icc_profile")
    if profile is not None and not fmt.keeps_grey(header):  # grey may become RGB here
        kept["icc_profile"] = profiles.coloured_twin(profile)
    if kept.get("xmp") is not None:
        kept["xmp"] = xmp.with_size(kept["xmp"], header.width, header.height, size)
    return Metadata(**kept)


def _conversion(metadata: Metadata, fmt: ImageFormat, header: Header, name: str) -> profiles.ToSrgb | None:
    """Return a conversion to sRGB for a format without profiles, and log it; otherwise None."""
    profile = metadata.icc_profile
    if profile is None or "icc_profile" in fmt.metadata or header.bits > 8:
        return None
    try:
        conversion = profiles.ToSrgb(profile)
    except (ImageCms.PyCMSError, OSError):
        _log.warning("%s: %s cannot store the input's colour profile, so it is lost", name, fmt.title)
        return None
    if not conversion.changes:
        return None
    _log.warning("%s: %s cannot store a colour profile; the colours are converted to sRGB", name, fmt.title)
    return conversion


def _checked_quality(fmt: ImageFormat, quality: int | None) -> int | None:
    """Return the quality for encoding; None for a lossless format."""
    if quality is None:
        return fmt.default_quality
    if fmt.default_quality is None:
        raise UsageError(f"a quality has no effect on {fmt.name.upper()}, which is lossless: leave it out")
    if quality not in range(1, 101):
        raise UsageError(f"the quality is {quality}: choose a whole number from 1 to 100")
    return quality


@contextmanager
def _reported(name: str, fmt: ImageFormat) -> Iterator[None]:
    """Turn errors in encoding or writing the output `name` into an OutputError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise not_written(name, error) from error
        raise OutputError(
            f"{name} cannot be encoded as {fmt.name.upper()} ({error}): choose {DEFAULT_FORMAT.name}"
        ) from error


class _ReportingEncoder:
    """Encodes a picture into a file; errors have the user's name of the output."""

    def __init__(
        self, file: BinaryIO, spec: OutputSpec, name: str, conversion: profiles.ToSrgb | None
    ) -> None:
        self._file = file
        self._conversion = conversion
        self._format = spec.format
        self._name = name
        with _reported(name, spec.format):
            self._encoder: Encoder = load_encoder(spec.format)(file, spec)

    def write(self, pixels: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> None:
        """Take the next rows."""
        with _reported(self._name, self._format):
            self._encoder.write(self._conversion(pixels) if self._conversion else pixels, alpha)

    def finish(self) -> None:
        """Write the rest after the last row."""
        with _reported(self._name, self._format), logged_warnings(self._name):
            self._encoder.finish()
            self._file.flush()
