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
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from manet_cli.errors import OutputError, UsageError
from manet_cli.images import exif
from manet_cli.images.formats import ImageFormat, check_writable_as
from manet_cli.images.photo import Metadata, Photo
from manet_cli.images.quiet import logged_warnings
from manet_cli.images.reading import open_image

__all__ = ["read_record", "write_photo"]

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


def write_photo(
    photo: Photo,
    path_or_file: Path | BinaryIO,
    fmt: ImageFormat,
    *,
    quality: int | None = None,
    record: str | None = None,
    name: str | None = None,
) -> None:
    """Encode `photo` as `fmt` and write it to a path, or to an open binary file that need not be seekable.

    `quality`: 1..100 for JPEG, WebP and AVIF, None for the format's default. `record`: ASCII text that
    `read_record` gives back; BMP drops it. `name`: what messages call the output. The file is
    encoded in memory first and written in one go; a path
    is overwritten in place, so callers give a temporary one (`atomic_path`).

    Raises OutputError if the format cannot hold the photo or the file cannot be written, UsageError for a
    quality that means nothing.
    """
    if name is None:
        name = path_or_file.name if isinstance(path_or_file, Path) else "the output"
    bits = photo.pixels.dtype.itemsize * 8
    check_writable_as(fmt, photo.width, photo.height, alpha=photo.alpha is not None, bits=bits)
    _check_quality(fmt, quality)
    try:
        with logged_warnings(name):
            encoded = _encoded(photo, fmt, quality, record)
    except (OSError, ValueError, RuntimeError) as error:
        raise OutputError(f"{name} cannot be encoded as {fmt.name.upper()} ({error}): choose png") from error
    try:
        if isinstance(path_or_file, Path):
            path_or_file.write_bytes(encoded)
        else:
            path_or_file.write(encoded)
            path_or_file.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or "the system gave no reason"
        raise OutputError(
            f"{name} cannot be written ({reason}): free some space or choose another folder"
        ) from error


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


def _encoded(photo: Photo, fmt: ImageFormat, quality: int | None, record: str | None) -> bytes:
    """Give the bytes of the whole file."""
    image = _image(photo)
    metadata = photo.metadata
    block = _sized_exif(photo)
    if quality is None:
        quality = fmt.default_quality
    grey_kept = (
        photo.pixels.shape[2] == 1 and fmt.name != "webp" and (fmt.name != "avif" or photo.alpha is None)
    )
    options: dict[str, Any] = {} if metadata.dpi is None else {"dpi": metadata.dpi}
    if metadata.icc_profile is not None and (grey_kept or metadata.icc_profile[16:20] != b"GRAY"):
        options["icc_profile"] = metadata.icc_profile
    if fmt.name == "png":
        options |= _png_options(metadata, block, record)
    elif fmt.name == "tiff":
        return _encoded_tiff(image, photo, block, record, options)
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
    return _saved(image, fmt.pillow_name, options)


def _saved(image: Image.Image, pillow_name: str, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    image.save(file, pillow_name, **options)
    return file.getvalue()


def _image(photo: Photo) -> Image.Image:
    """Give the photo as a Pillow image: L, LA, RGB, RGBA or I;16."""
    pixels = photo.pixels
    if photo.alpha is not None:
        pixels = np.concatenate([pixels, photo.alpha[..., np.newaxis]], axis=-1)
    elif pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    return Image.fromarray(pixels)


def _sized_exif(photo: Photo) -> bytes | None:
    """Give the photo's EXIF with the photo's size; None if there is none or it cannot be followed."""
    if photo.metadata.exif is None:
        return None
    try:
        return exif.with_size(photo.metadata.exif, photo.width, photo.height)
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
    image: Image.Image, photo: Photo, block: bytes | None, record: str | None, options: dict[str, Any]
) -> bytes:
    """Give the bytes of a TIFF file: deflated, or a BigTIFF if it may outgrow 4 GB."""
    tags = ImageFileDirectory_v2()
    if photo.metadata.xmp is not None:
        tags.tagtype[_TIFF_XMP] = _TIFF_BYTE
        tags[_TIFF_XMP] = photo.metadata.xmp
    if record is not None:
        tags.tagtype[_TIFF_IMAGE_HISTORY] = _TIFF_ASCII
        tags[_TIFF_IMAGE_HISTORY] = record
    large = photo.pixels.nbytes + (0 if photo.alpha is None else photo.alpha.nbytes) > _CLASSIC_TIFF_BYTES
    layout = {"big_tiff": True} if large else {"compression": "tiff_adobe_deflate"}
    file = _saved(image, "TIFF", options | layout | {"tiffinfo": tags})
    if block is None:
        return file
    if large:
        _log.warning("the EXIF is not written into a TIFF of more than 4 GB")
        return file
    return exif.into_tiff(file, block)
