"""Limits of a weight file, checked on its structure before anything is loaded.

A `.pth` file is a zip archive of one pickle and the tensors' bytes, uncompressed. In PyTorch's older format
it is five pickles followed by the bytes. Pickles are scanned, not run: they may only name the functions that
rebuild tensors.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from pathlib import Path
from typing import BinaryIO

from manet_cli.errors import WeightsError
from manet_cli.regular_file import open_regular

__all__ = ["LARGEST_FILE", "check_pickle", "check_safetensors"]

LARGEST_FILE = 1 << 30
"""Largest size in bytes of a weight file or a checkpoint; the published networks take 80 MB."""

_LONGEST_HEAD = 8 << 20  # bytes of names, shapes and offsets
_LONGEST_START = 64
_LEGACY_PICKLES = 5  # magic number, version, system, content, keys of the storages
_LEGACY_START = re.compile(rb"\x80.\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL)
_REBUILDERS = re.compile(
    r"collections OrderedDict"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|parameter|sparse_tensor|meta_tensor_no_storage)"
    r"|torch\.serialization _get_layout"
    r"|torch ([A-Za-z0-9]*Storage|Size|b?float[0-9]+)"
)
_DAMAGED = "the file is damaged or is not a PyTorch file."
_NOT_TENSORS = "the pickle holds more than tensors, which could run code; nothing in it was run."


def check_safetensors(path: Path) -> None:
    """Raise WeightsError for a safetensors file with a longer header than any network needs."""
    with open_regular(path) as file:
        head = int.from_bytes(file.read(8), "little")
        if _LONGEST_HEAD < head < file.seek(0, io.SEEK_END):
            raise WeightsError("it names more tensors than a network has.")


def check_pickle(path: Path) -> None:
    """Raise WeightsError for a `.pth` file that needs more memory than its size, or that runs code."""
    with open_regular(path) as file:
        if file.read(4) == b"PK\x03\x04":
            _check_archive(file)
            return
        file.seek(0)
        if not _LEGACY_START.match(file.read(_LONGEST_START)):
            raise WeightsError(_DAMAGED)
        file.seek(0)
        for _ in range(_LEGACY_PICKLES):
            _check_globals(file)


def _check_archive(file: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise WeightsError("its tensors are compressed, which PyTorch does not do: save them again.")
            size = file.seek(0, io.SEEK_END)
            if sum(member.file_size for member in members) > size:
                raise WeightsError("its tensors overlap.")
            for member in members:
                if member.filename.endswith(".pkl"):
                    if member.file_size > _LONGEST_HEAD:
                        raise WeightsError("it names more tensors than a network has.")
                    _check_globals(io.BytesIO(archive.read(member)))
    except WeightsError:
        raise
    except Exception as error:  # a damaged archive can raise anything
        raise WeightsError(_DAMAGED) from error


def _check_globals(file: BinaryIO) -> None:
    """Scan a pickle to its end and check every name that it could call."""
    start = file.tell()
    try:
        for operation, argument, _ in pickletools.genops(file):
            if file.tell() - start > _LONGEST_HEAD:
                raise WeightsError("it names more tensors than a network has.")
            name = None
            if operation.name == "GLOBAL":
                name = str(argument)
            elif operation.name in ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4"):
                name = operation.name
            if name is not None and not _REBUILDERS.fullmatch(name):
                raise WeightsError(_NOT_TENSORS)
    except WeightsError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise WeightsError(_DAMAGED) from error
