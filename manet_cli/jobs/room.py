"""Whether the disk has room for what a run will write."""

from __future__ import annotations

import shutil
from pathlib import Path

from manet_cli.errors import OutputError
from manet_cli.images import Header, ImageFormat
from manet_cli.jobs.names import existing_folder

__all__ = ["Room", "least_bytes"]

# Bytes of a file per byte of its pixels, a low guess (of 8 photos the least were 0.28 as PNG, 0.07 as JPEG,
# 0.02 as WebP): who has not even that much room would wait in vain.
_LEAST = {"png": 0.25, "tiff": 0.25, "bmp": 1.0, "jpeg": 0.05}
_LEAST_OTHERWISE = 0.01
# As long as a run takes less than this, trying costs less than a wrong guess.
_UNCHECKED = 16 << 20


def least_bytes(fmt: ImageFormat, header: Header) -> int:
    """Return the bytes below which the file of such a photo hardly ever stays."""
    plain = header.width * header.height * (header.channels + header.has_alpha) * header.bits // 8
    return int(plain * _LEAST.get(fmt.name, _LEAST_OTHERWISE))


class Room:
    """The free space of the disks that a run writes to, taken up picture by picture."""

    def __init__(self) -> None:
        self._left: dict[int, int] = {}
        self._taken: dict[int, int] = {}

    def take(self, path: Path, size: int, spare: int = 0) -> None:
        """Take `size` bytes of the disk that `path` will be on, and see that `spare` more are left meanwhile.

        Raises:
            OutputError: there are not so many left.
        """
        folder = existing_folder(path.parent)
        try:
            device = folder.stat().st_dev
            left = self._left.setdefault(device, shutil.disk_usage(folder).free)
        except OSError:
            return  # whatever is wrong there, writing will tell
        taken = self._taken.get(device, 0) + size
        if size + spare > left and taken + spare > _UNCHECKED:
            raise OutputError(
                f"{path.name} will take at least {_shown(size + spare)} of disk, and {folder} has "
                f"{_shown(max(left, 0))} left for it: free some space or choose another folder"
            )
        self._left[device] = left - size
        self._taken[device] = taken


def _shown(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"
