"""A finished study and its two files: the figure and the numbers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from manet_cli.atomic import atomic_path, check_folder, check_name, prepare_folder, remove_leftovers
from manet_cli.errors import OutputError, Parameter
from manet_cli.evaluation.studies.style import render
from manet_cli.file_identity import existing_folder, is_folder, ledger_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Study", "StudyFiles"]


@dataclass(frozen=True)
class Study:
    """Result of a study.

    Attributes:
        numbers: numbers for a script; no infinities.
        size: size of the figure in pixels, (width, height).
        draw: draws the figure.
    """

    numbers: dict[str, object]
    size: tuple[int, int]
    draw: Callable[[Figure], None]


@dataclass(frozen=True)
class StudyFiles:
    """Output files of a study: ``figure`` is a PNG file, ``numbers`` a JSON file."""

    figure: Path
    numbers: Path

    @classmethod
    def plan(cls, folder: Path, stem: str, inputs: Sequence[str], *, overwrite: bool) -> StudyFiles:
        """Name the files and check that they may be written, before any work.

        Args:
            folder: output folder; created after the study if missing.
            stem: file name of both, without suffix.
            inputs: pictures, which are never overwritten.
            overwrite: replace existing files.

        Raises:
            OutputError: the files may not be written.
        """
        files = cls(folder / f"{stem}.png", folder / f"{stem}.json")
        if os.path.lexists(folder) and not is_folder(folder):
            raise OutputError(Parameter("output", folder), " is a file: choose a folder")
        check_folder(existing_folder(folder))
        read = ledger_of(map(Path, inputs))
        for path in (files.figure, files.numbers):
            check_name(path)
            if is_folder(path):
                raise OutputError(f"{path} is a folder: choose another ", Parameter("output"))
            if read.find(path) is not None:
                raise OutputError(
                    f"{path} is an input, and inputs are never overwritten: choose another ",
                    Parameter("output"),
                )
            if os.path.lexists(path) and not overwrite:
                raise OutputError(
                    f"{path} exists: give ",
                    *(Parameter("overwrite", True), " or choose another ", Parameter("output")),
                )
        return files

    def write(self, study: Study) -> None:
        """Write both files atomically.

        Raises:
            OutputError: the files cannot be written.
        """
        figure = render(study.size, study.draw)
        numbers = _laid_out(study.numbers)
        prepare_folder(self.figure.parent)
        remove_leftovers(self.figure.parent)
        with atomic_path(self.figure) as figure_path, atomic_path(self.numbers) as numbers_path:
            figure_path.write_bytes(figure)
            numbers_path.write_text(numbers, encoding="utf-8")


def _laid_out(numbers: dict[str, object]) -> str:
    """Format numbers as readable JSON: one name per line, a list of plain numbers on one line."""
    text = json.dumps(numbers, indent=2, allow_nan=False) + "\n"
    # No string holds a newline.
    return re.sub(r"\[\n[^\[\]{}\"]*\]", lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", text)
