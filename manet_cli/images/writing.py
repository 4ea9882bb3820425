"""Photos -> files, with what came beside the pixels and the record of the run.

What each format keeps (EXIF with the size tags updated; `grey`: one channel stays one; `yes*`: see below):

    format  grey  16-bit grey  alpha  EXIF  ICC  XMP  DPI  record in
    PNG     yes   yes          yes    yes   yes  yes  yes  iTXt chunk `manet_cli`
    JPEG    yes   no           no     yes   yes  yes  yes  EXIF ImageHistory
    WebP    no    no           yes    yes   yes* yes  no*  EXIF ImageHistory
    TIFF    yes   yes          yes    yes*  yes  yes  yes  EXIF ImageHistory
    BMP     yes   no           no     no    no   no   yes  nowhere
    AVIF    yes*  no           yes    yes   yes* yes  no*  EXIF ImageHistory

- WebP has no grey, AVIF as Pillow writes it no grey with alpha: such a photo becomes RGB, and a profile for
  grey, which would no longer fit, is left out.
- WebP and AVIF have no field for DPI; the resolution tags of the EXIF, where there is one, stay.
- TIFF: EXIF is merged into the file's own directories. The descriptive tags, the Exif, GPS and
  interoperability directories are kept, values unchanged; MakerNote is kept byte for byte, but offsets inside
  it no longer fit.
- JPEG: segments hold 64 KiB; EXIF or XMP above that is left out, and logged.

Equal photos, formats, qualities and records give equal bytes with one version of Pillow.
"""

from __future__ import annotations

import io
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from manet_cli.errors import OutputError, UsageError
from manet_cli.images import exif
from manet_cli.images.formats import ImageFormat, check_writable_as
from manet_cli.images.photo import Header, Metadata, Photo
from manet_cli.images.quiet import logged_warnings
from manet_cli.images.reading import open_image
from manet_cli.images.rows import CollectedImage, RowSink

__all__ = ["open_output", "read_record", "write_photo"]

_log = logging.getLogger(__name__)

_RECORD_KEYWORD = "manet_cli"
_XMP_KEYWORD = "XML:com.adobe.xmp"
_TIFF_XMP, _TIFF_IMAGE_HISTORY = 700, 0x9213
_TIFF_BYTE, _TIFF_ASCII = 1, 2
_JPEG_SEGMENT = 65533
_JPEG_XMP_PREFIX = 29
# Above this a TIFF may outgrow its 32-bit offsets: it becomes an uncompressed BigTIFF, which Pillow cannot
# deflate.
_CLASSIC_TIFF_BYTES = 4_000_000_000
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


def read_record(path: Path) -> str | None:
    """Give the record inside a file that `write_photo` wrote, without decoding its pixels.

    None for a file without one, one that cannot be read, or none at all; never an exception.
    """
    try:
        with open_image(path, path.name) as (image, _):
            if image.format == "PNG":
                record = image.info.get(_RECORD_KEYWORD)
            elif isinstance(image, TiffImageFile):
                record = image.tag_v2.get(_TIFF_IMAGE_HISTORY)
            else:
                block = image.info.get("exif")
                record = None if block is None else exif.history(exif.cleaned(block))
            return str(record) if isinstance(record, str) else None
    except Exception:  # noqa: BLE001 - a file that is not ours may fail in any way
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
        with _reported(name, fmt):
            self._rows = CollectedImage(header, folder)

    def write(self, pixels: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> None:
        """Take the next rows."""
        with _reported(self._name, self._format):
            self._rows.write(pixels, alpha)

    def finish(self) -> None:
        """Write what is left, after the last row."""
        with _reported(self._name, self._format):
            image = self._rows.image()
            if image.mode == "RGBX" and self._format.name not in _READS_UNUSED_BYTE:
                image = image.convert("RGB")
            with logged_warnings(self._name):
                _encode(
                    image, self._file, self._format, self._header, self._metadata, self._quality, self._record
                )
            self._file.flush()


class _PlainFile:
    """A file of which Pillow sees no descriptor, so that a full disk is an error with its reason."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write
        self.flush = file.flush


def _encode(
    image: Image.Image,
    file: BinaryIO,
    fmt: ImageFormat,
    header: Header,
    metadata: Metadata,
    quality: int | None,
    record: str | None,
) -> None:
    """Write the whole file."""
    block = _sized_exif(metadata, header)
    if quality is None:
        quality = fmt.default_quality
    grey_kept = header.channels == 1 and fmt.name != "webp" and (fmt.name != "avif" or not header.has_alpha)
    options: dict[str, Any] = {} if metadata.dpi is None else {"dpi": metadata.dpi}
    if metadata.icc_profile is not None and (grey_kept or metadata.icc_profile[16:20] != b"GRAY"):
        options["icc_profile"] = metadata.icc_profile
    if fmt.name == "png":
        options |= _png_options(metadata, block, record)
    elif fmt.name == "tiff":
        file.write(_encoded_tiff(image, metadata, block, record, options))
        return
    elif fmt.name != "bmp":
        if record is not None:
            block = exif.with_history(block, record)
        options |= {
            "jpeg": _jpeg_options,
            "webp": _webp_options,
            "avif": _avif_options,
        }[fmt.name](metadata, block, record)
        options["quality"] = quality
        if fmt.name == "avif" and grey_kept:
            options["subsampling"] = "4:0:0"
    image.save(cast(BinaryIO, _PlainFile(file)), fmt.pillow_name, **options)


def _sized_exif(metadata: Metadata, header: Header) -> bytes | None:
    """Give the EXIF with the picture's size; None if there is none or it cannot be followed."""
    if metadata.exif is None:
        return None
    try:
        return exif.with_size(metadata.exif, header.width, header.height)
    except exif.CorruptExifError as error:
        _log.warning("the EXIF is damaged and is not written: %s", error)
        return None


def _png_options(metadata: Metadata, block: bytes | None, record: str | None) -> dict[str, Any]:
    text = PngInfo()
    if record is not None:
        text.add_itxt(_RECORD_KEYWORD, record)
    if metadata.xmp is not None:
        text.add_itxt(_XMP_KEYWORD, metadata.xmp)
    return {"pnginfo": text, "exif": block}


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


def _encoded_tiff(
    image: Image.Image,
    metadata: Metadata,
    block: bytes | None,
    record: str | None,
    options: dict[str, Any],
) -> bytes:
    """Give the bytes of a TIFF file: deflated, or a BigTIFF if it may outgrow 4 GB."""
    tags = ImageFileDirectory_v2()
    if metadata.xmp is not None:
        tags.tagtype[_TIFF_XMP] = _TIFF_BYTE
        tags[_TIFF_XMP] = metadata.xmp
    if record is not None:
        tags.tagtype[_TIFF_IMAGE_HISTORY] = _TIFF_ASCII
        tags[_TIFF_IMAGE_HISTORY] = record
    bytes_per_pixel = 2 if image.mode.startswith("I;16") else len(image.mode)
    large = image.width * image.height * bytes_per_pixel > _CLASSIC_TIFF_BYTES
    layout = {"big_tiff": True} if large else {"compression": "tiff_adobe_deflate"}
    file = io.BytesIO()
    image.save(file, "TIFF", **(options | layout | {"tiffinfo": tags}))
    if block is None:
        return file.getvalue()
    if large:
        _log.warning("the EXIF is not written into a TIFF of more than 4 GB")
        return file.getvalue()
    return exif.into_tiff(file.getvalue(), block)
