"""The record inside an output: from what and how it was made, enough to know whether to make it again.

It holds nothing that differs between equal runs: no path, no time, no host, not the output's name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from manet_cli import __version__
from manet_cli.images import read_record

__all__ = ["Record", "matches"]

Settings = Mapping[str, object]


@dataclass(frozen=True)
class Record:
    """What an output was made from.

    Attributes:
        input_name: file name of the input, without its folder.
        input_sha256: digest of the input file.
        weights_sha256: digest of the weight file.
        settings: every setting that changes pixels, as the user asked for it.
    """

    input_name: str
    input_sha256: str
    weights_sha256: str
    settings: Settings

    @classmethod
    def of(cls, name: str, data: bytes, weights_sha256: str, settings: Settings) -> Record:
        """Make the record for an input's content."""
        return cls(Path(name).name, hashlib.sha256(data).hexdigest(), weights_sha256, settings)

    def to_json(self) -> str:
        """Return the record as one line of ASCII JSON."""
        return json.dumps(
            {
                "tool": f"manet_cli {__version__}",
                "input": self.input_name,
                "input_sha256": self.input_sha256,
                "weights_sha256": self.weights_sha256,
                "settings": dict(self.settings),
            }
        )


def matches(output: Path, record: Record) -> bool:
    """Whether ``output`` holds a record of the same input, weights and settings (names do not matter)."""
    text = read_record(output)
    if text is None:
        return False
    try:
        found = json.loads(text)
    except ValueError:
        return False
    wanted = json.loads(record.to_json())
    same = ("input_sha256", "weights_sha256", "settings")
    return isinstance(found, dict) and all(found.get(key) == wanted[key] for key in same)
