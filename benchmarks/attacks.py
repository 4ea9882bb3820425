"""Seconds and peak memory to refuse hostile files, each in a separate process.

The memory for importing PyTorch and the package is subtracted. The goal is 10 s and 1 GB.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from harness import machine, peak_memory
from PIL import Image

from manet_cli.errors import ManetError
from manet_cli.images import read_content, read_photo
from manet_cli.jobs.blur.map_file import read_kernel_map
from manet_cli.weights import read_weights

SIZE = 1_000_000  # bytes of each file's metadata
TAGS = 60_000
XMP = b"XML:com.adobe.xmp" + bytes(5)


def tiff() -> bytes:
    """A TIFF whose tags all have the same value."""
    values = struct.pack(">HHLL", 1, 7, SIZE, 0)[2:]
    entries = b"".join(struct.pack(">H", tag) + values for tag in range(1, TAGS))
    return b"MM" + struct.pack(">HLH", 42, 8, TAGS - 1) + entries + bytes(4 + SIZE)


def png(kind: bytes, data: bytes) -> bytes:
    """A PNG with one more chunk."""
    file = io.BytesIO()
    Image.new("RGB", (24, 24)).save(file, "PNG")
    content, chunk = file.getvalue(), kind + data
    framed = struct.pack(">L", len(data)) + chunk + struct.pack(">L", zlib.crc32(chunk))
    return content[:33] + framed + content[33:]


def jpeg() -> bytes:
    """A progressive JPEG that makes its decoder pass over 36 megapixels 60 times."""
    file = io.BytesIO()
    Image.new("L", (6000, 6000)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    start = data.rindex(b"\xff\xda")
    return data[:start] + data[start:-2] * 50 + b"\xff\xd9"


def jpeg2000() -> bytes:
    """A JPEG 2000 file with millions of empty boxes."""
    file = io.BytesIO()
    Image.new("RGB", (24, 24)).save(file, "JPEG2000")
    data = file.getvalue()
    start = data.index(b"jp2h") - 4
    return data[:start] + struct.pack(">L4s", 8, b"free") * 3_000_000 + data[start:]


def weights() -> bytes:
    """An archive of one tensor of 600 MB of zeros, compressed."""
    stored, packed = io.BytesIO(), io.BytesIO()
    torch.save({"conv_first.weight": torch.zeros(150_000_000)}, stored)
    with zipfile.ZipFile(stored) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return packed.getvalue()


def kernels() -> bytes:
    """Three maps of 600 MB of zeros, compressed."""
    file = io.BytesIO()
    zeros = np.zeros(600_000_000, np.uint8)
    np.savez_compressed(file, kernels=zeros, codes=zeros, basis=zeros)
    return file.getvalue()


ATTACKS: dict[str, Callable[[], bytes]] = {
    "overlapping tags.tif": tiff,
    "EXIF prefixes.png": lambda: png(b"eXIf", b"Exif\0\0" * (SIZE // 6)),
    "open thumbnails.png": lambda: png(
        b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + b"<xmp:Thumbnails " * (SIZE // 16)
    ),
    "scans.jpg": jpeg,
    "boxes.jp2": jpeg2000,
    "comments.pbm": lambda: b"P1\n8 8\n" + b"# x\n" * SIZE + b"1" * 64,
    "sparse.png": lambda: png(b"teSt", b""),
    "sparse.webp": lambda: b"RIFF    WEBPVP8 ",
    "compressed.pth": weights,
    "bytearray.pth": lambda: b"\x80\x02cbuiltins\nbytearray\nJ" + struct.pack("<i", 2**31 - 1) + b"\x85R.",
    "sparse.safetensors": lambda: bytes(100),
    "compressed.npz": kernels,
}


def refuse(path: Path) -> None:
    """Read a file, and print the seconds, the memory and the outcome."""
    before, started = peak_memory(), time.perf_counter()
    try:
        if path.suffix in (".pth", ".safetensors"):
            read_weights(path)
        elif path.suffix == ".npz":
            read_kernel_map(path, 4, 21, torch.zeros(441, 15))
        else:
            read_photo(read_content(path, path.name), path.name)
        outcome = "read"
    except ManetError as error:
        outcome = str(error).replace(str(path), path.name)
    print(json.dumps([time.perf_counter() - started, peak_memory() - before, outcome]))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        refuse(arguments.worker)
        return
    print(f"{machine()}\n\n| file | seconds | MB | outcome |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, make in ATTACKS.items():
            path = Path(folder, name)
            path.write_bytes(make())
            if name.startswith("sparse"):
                os.truncate(path, 1700 << 20 if path.suffix == ".png" else 100 << 30)
            command = [sys.executable, __file__, "--worker", str(path)]
            seconds, memory, outcome = json.loads(
                subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
            )
            print(f"| {name} | {seconds:.1f} | {memory / 1e6:.0f} | {outcome[:90]} |")
            path.unlink()


if __name__ == "__main__":
    main()
