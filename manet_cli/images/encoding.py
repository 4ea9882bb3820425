"""What writing a file and the encoders of the formats agree on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from manet_cli.images.formats import ImageFormat
from manet_cli.images.photo import Header, Metadata
from manet_cli.images.sinks import RowSink

__all__ = ["Encoder", "OutputSpec"]


@dataclass(frozen=True)
class OutputSpec:
    """What a file is to hold beside its pixels, and how it is encoded.

    Attributes:
        format: its row in the list of formats.
        header: of the picture.
        metadata: the part that the format keeps, with the sizes of this picture.
        quality: 1 to 100; None for a lossless format.
        record: of the run, ASCII; None for none, or where the format has no place for it.
        folder: where a temporary file may be; None for the system's usual place.
    """

    format: ImageFormat
    header: Header
    metadata: Metadata
    quality: int | None = None
    record: str | None = None
    folder: Path | None = None


class Encoder(RowSink, Protocol):
    """Writes one picture into an open, empty file, which need not be readable and stays open.

    A row of `FORMATS` names what makes one: a callable that takes the file, which is seekable, and an
    `OutputSpec`. Raises OSError, ValueError or RuntimeError where it fails; the caller adds the file's name.
    """

    def finish(self) -> None:
        """Make the file whole, after the last rows."""
        ...
