"""The interface between writing and the encoders of the formats."""

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
    """Content of a file besides the pixels, and its encoding.

    Attributes:
        format: its row in the list of formats.
        header: header of the picture.
        metadata: the metadata that the format keeps, with this picture's sizes.
        quality: 1 to 100; None for a lossless format.
        record: record of the run, ASCII; None for none, or if the format cannot store it.
        folder: folder for temporary files; None for the system's default.
    """

    format: ImageFormat
    header: Header
    metadata: Metadata
    quality: int | None = None
    record: str | None = None
    folder: Path | None = None


class Encoder(RowSink, Protocol):
    """Writes one picture into an open, empty file. It does not read or close the file.

    A row of `FORMATS` names the callable that makes an encoder from a seekable file and an `OutputSpec`.
    Raises OSError, ValueError or RuntimeError; the caller adds the file's name.
    """

    def finish(self) -> None:
        """Complete the file after the last rows."""
        ...
