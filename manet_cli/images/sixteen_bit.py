"""Read 16-bit pictures in colour or with transparency with libvips; Pillow reduces them to 8 bits.

Pillow still opens the file and reads the size and the metadata; libvips only decodes the pixels. This needs
the extra `vips` (pyvips and its binary wheel), imported at the first such picture.
"""

from __future__ import annotations

import importlib.util
import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from manet_cli.errors import InputError

__all__ = ["check_readable", "load_vips", "read_pixels"]

_LOADERS = {"PNG": "pngload_buffer", "TIFF": "tiffload_buffer"}


def check_readable(name: str, bits: int) -> None:
    """Raise InputError, which names the extra, if libvips is missing.

    `name`: name of the file in messages. `bits`: bits per channel.
    """
    if not _installed():
        raise InputError(
            f"{name} has {bits} bits per channel in colour or with transparency, which needs an extra: "
            "pip install 'manet-cli[vips]', or convert it to 8 bits per channel"
        )


def read_pixels(data: bytes, format_name: str, name: str) -> npt.NDArray[np.uint16]:
    """Decode the stored pixels of a file, without orientation and profile.

    `data`: content of the file. `format_name`: PNG or TIFF. Returns (H, W, channels) uint16; with 2 or 4
    channels, the last one is straight alpha (libvips undoes premultiplied alpha). Raises InputError.
    """
    vips = _vips(name)
    try:
        # Without fail_on, libvips returns black pixels where it cannot decode.
        image = getattr(vips.Image, _LOADERS[format_name])(data, fail_on="error")
        values: npt.NDArray[Any] = image.numpy()
    except vips.Error as error:
        reason = error.detail.strip().splitlines()[0] if error.detail else "no reason given"
        raise InputError(
            f"{name} cannot be decoded ({reason}): copy it again, or export it with LZW compression"
        ) from error
    if values.dtype != np.uint16:
        raise InputError(f"{name} does not have the 16 bits per channel that it claims: export it again")
    return values if values.ndim == 3 else values[..., np.newaxis]


def _installed() -> bool:
    try:
        return importlib.util.find_spec("pyvips") is not None
    except ValueError:  # a module without a specification, or blocked on purpose
        return False


def _vips(name: str) -> Any:  # noqa: ANN401 - pyvips has no types
    """Import libvips, or raise InputError if it does not load."""
    try:
        return load_vips()
    except (ImportError, OSError) as error:
        raise InputError(
            f"{name} needs libvips, which is installed but does not start ({error}): "
            "reinstall it with 'pip install --force-reinstall pyvips pyvips-binary'"
        ) from error


def load_vips() -> Any:  # noqa: ANN401 - pyvips has no types
    """Import libvips, without its cache and its messages. Raises ImportError or OSError."""
    import pyvips  # type: ignore[import-untyped,unused-ignore]

    pyvips.cache_set_max(0)  # libvips would cache the last hundred pictures
    logging.getLogger("pyvips").setLevel(logging.CRITICAL)  # errors are also raised
    return pyvips
