"""Shared parts of the studies of ``manet study``: models, pictures and files."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from manet_cli.errors import InputError, ManetError, UsageError
from manet_cli.evaluation.pictures import hr_tensor
from manet_cli.evaluation.studies.compare import Compared, Crop, compare_picture
from manet_cli.evaluation.studies.estimates import Subject
from manet_cli.evaluation.studies.files import Study, StudyFiles
from manet_cli.images import read_content, read_photo
from manet_cli.inference import memory_reported
from manet_cli.jobs.models import ModelOptions, open_models
from manet_cli.jobs.sources import Source, expand_sources
from manet_cli.stopping import end_if_stopped
from manet_cli.weights import Downloads

__all__ = [
    "SharpPicture",
    "UncomparedPicture",
    "compare_pictures",
    "find_pictures",
    "finish_study",
    "open_subjects",
    "read_sharp_picture",
]

_MOST_PICTURES = 32


@dataclass(frozen=True)
class SharpPicture:
    """An HR picture that a study blurs.

    Attributes:
        pixels: (1, 3, H, W) in [0, 1].
        about: facts about its file, for the numbers of the study.
    """

    pixels: Tensor
    about: dict[str, object]


@dataclass(frozen=True)
class UncomparedPicture:
    """A photo that could not be enlarged.

    Attributes:
        name: as given by the user.
        error: the error.
    """

    name: str
    error: ManetError


def open_subjects(names: Sequence[str], options: ModelOptions, *, restorer: bool = False) -> list[Subject]:
    """Open the models of a study.

    Args:
        names: families, entries or files of weights.
        options: options of all models; without a scale, the first model sets it.
        restorer: whether the study needs a restorer besides the estimator.

    Raises:
        UsageError, DeviceError: as in `open_models`.
        WeightsError: weights are missing or damaged, or lack a network.
    """
    models = open_models(names, options)
    for _, opened in models:
        opened.engine.require(estimator=True, restorer=restorer)
    return [
        Subject(model, opened.scale, opened.device, opened.precision, options.tile_text)
        for model, opened in models
    ]


def read_sharp_picture(name: str) -> SharpPicture:
    """Read the picture that a study blurs.

    Raises:
        InputError: the picture cannot be read.
        OutOfMemoryError: the picture is too large.
    """
    data = read_content(Path(name), name)
    with memory_reported(name):
        pixels = hr_tensor(read_photo(data, name), name)
    return SharpPicture(pixels, {"image": Path(name).name, "image_sha256": hashlib.sha256(data).hexdigest()})


def find_pictures(inputs: list[str]) -> list[Source]:
    """Return the photos of a sheet.

    Raises:
        UsageError: there are too many photos.
    """
    sources = expand_sources(inputs)
    if len(sources) > _MOST_PICTURES:
        raise UsageError(f"{len(sources)} pictures are given: give at most {_MOST_PICTURES} for a sheet")
    return sources


def compare_pictures(
    subjects: Sequence[Subject], sources: Sequence[Source], crop: Crop | None, shown: Downloads
) -> Iterator[Compared | UncomparedPicture]:
    """Enlarge photos by each method. A bad photo does not stop the others.

    Args:
        subjects: the models.
        sources: the photos.
        crop: the detail; None for the square with most contrast.
        shown: shows the progress of a photo, given its name.
    """
    for source in sources:
        try:
            if source.error:
                raise source.error
            if source.path is None:
                raise InputError("standard input cannot be compared: give a file")
            with shown(source.name) as progress:
                data = read_content(source.path, source.name)
                compared = compare_picture(subjects, source.path.name, data, crop, progress)
        except ManetError as error:
            end_if_stopped()
            yield UncomparedPicture(source.name, error)
        else:
            yield compared


def finish_study(study: Study, about: dict[str, object], files: StudyFiles) -> dict[str, object]:
    """Write a study's two files, and return its numbers.

    Args:
        study: the study.
        about: facts about the picture, for the numbers.
        files: the output files.

    Raises:
        OutputError: the files cannot be written.
    """
    numbers = {"study": study.numbers["study"], **about, **study.numbers}
    files.write(dataclasses.replace(study, numbers=numbers))
    return numbers
