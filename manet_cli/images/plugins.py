"""Formats that Pillow may lack or reads with plugins (extras), loaded for the first such file."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from PIL import features

from manet_cli.errors import InputError

__all__ = ["register"]


@dataclass(frozen=True)
class _Plugin:
    """`module`: module to import. `start`: its function to call, if any. `pillow_name`: Pillow's format."""

    module: str
    start: str | None
    pillow_name: str
    extra: str


_PLUGINS = {
    "HEIC": _Plugin("pillow_heif", "register_heif_opener", "HEIF", "heic"),
    "JPEG XL": _Plugin("pillow_jxl", None, "JXL", "jxl"),
}


_BUILT_IN = {"GIF": ("GIF", None), "PPM": ("PPM", None), "JPEG 2000": ("JPEG2000", "jpg_2000")}
"""Pillow's name of a read-only format, and the required feature of Pillow's build."""


def register(kind: str | None, name: str) -> tuple[str, ...]:
    """Load the plugin for a kind of file, if it needs one; return Pillow's name of the format.

    `kind`: from `headers.kind_of`. `name`: name of the file in messages. Raises InputError if the plugin is
    not installed (the message names the extra), or if Pillow was built without the format.
    """
    if kind in _BUILT_IN:
        pillow_name, feature = _BUILT_IN[kind]
        if feature is not None and not features.check(feature):
            raise InputError(f"{name} is a {kind} file, which this Pillow cannot read: convert it to PNG")
        return (pillow_name,)
    plugin = _PLUGINS.get(kind or "")
    if plugin is None:
        return ()
    try:
        module = importlib.import_module(plugin.module)
    except (ImportError, OSError) as error:
        raise InputError(
            f"{name} is a {kind} file, which needs an extra: pip install 'manet-cli[{plugin.extra}]', "
            "or convert it to PNG or JPEG"
        ) from error
    if plugin.start is not None:
        getattr(module, plugin.start)()
    return (plugin.pillow_name,)
