"""Measure models on a set of pictures, for ``manet evaluate``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from manet_cli.degradations.step import DegradationStep
from manet_cli.errors import InputError, ManetError, OutputError
from manet_cli.evaluation.protocols import GRID, parse_protocol
from manet_cli.evaluation.results import Measurement, Settings, open_results
from manet_cli.evaluation.runs import Evaluation
from manet_cli.evaluation.tables import Table, mean_fields, tables
from manet_cli.images import read_content
from manet_cli.inference.dial import Denoise
from manet_cli.jobs.models import ModelOptions, open_models
from manet_cli.jobs.sources import Source, expand_sources
from manet_cli.stopping import end_if_stopped
from manet_cli.weights import DEFAULT_SCALE, Downloads

__all__ = ["EvaluateJob", "EvaluateRequest", "UnmeasuredPicture", "open_evaluation"]


@dataclass(frozen=True)
class EvaluateRequest:
    """Request for an evaluation.

    Attributes:
        pictures: a folder of sharp pictures, a picture, or a pattern.
        models: families, entries or files of weights, at least one.
        options: options of all models; the field ``model`` is ignored.
        protocol: as in `parse_protocol`.
        steps: steps after the blur.
        seed: random seed for noise, kernels and the mixture.
        limit: number of pictures to take; None for all.
        recursive: include the subfolders of a folder.
        output: file of the results, possibly from an earlier run; None for no file.
        denoise: position of the dial: 0 to 1, or ``auto``; None for ``auto``.
    """

    pictures: str
    models: Sequence[str]
    options: ModelOptions
    protocol: str = GRID
    steps: Sequence[DegradationStep] = ()
    seed: int = 0
    limit: int | None = None
    recursive: bool = False
    output: Path | None = None
    denoise: Denoise | None = None


@dataclass(frozen=True)
class UnmeasuredPicture:
    """A picture that could not be measured.

    Attributes:
        image: name of the picture, as in `Measurement`.
        error: reason.
    """

    image: str
    error: ManetError

    def fields(self) -> dict[str, object]:
        """Return the failure as fields for JSON."""
        return {"image": self.image, "error": self.error}


@dataclass(frozen=True)
class EvaluateJob:
    """A measurement of models on a set of pictures, ready to run.

    Attributes:
        evaluation: the protocol, the models, and the results so far.
        sources: the pictures.
        lines: measurements so far, including those of an earlier run.
    """

    evaluation: Evaluation
    sources: Sequence[Source]
    lines: list[Measurement] = field(default_factory=list)

    def run(self, shown: Downloads) -> Iterator[Measurement | UnmeasuredPicture]:
        """Measure all pictures. A bad picture does not stop the others.

        Args:
            shown: shows the progress of a picture; called with its name.

        Raises:
            OutputError: a measurement cannot be written to the file of results.
        """
        for source in self.sources:
            name = source.name if source.path is None else (source.below / source.path.name).as_posix()
            try:
                data = _content(source)
                with shown(name) as progress:
                    for line in self.evaluation.lines(name, data, progress):
                        self.lines.append(line)
                        yield line
            except OutputError:
                raise
            except ManetError as error:
                end_if_stopped()
                yield UnmeasuredPicture(name, error)

    def means(self) -> list[dict[str, object]]:
        """Return each model's means as fields for JSON."""
        models = self.evaluation.models
        return [
            mean_fields(model.name, model.sha256, group)
            for model, group in zip(models, self._groups(), strict=True)
        ]

    def heading(self) -> list[str]:
        """Return the lines above the tables: the settings, and the models with their numbers."""
        settings, models = self.evaluation.settings, self.evaluation.models
        pictures = len({(line.image, line.image_sha256) for line in self.lines})
        parts = [f"x{settings.scale}", f"protocol {settings.protocol}", f"pictures {pictures}"]
        parts += [f"{name} {text}" for name, text in settings.steps.items()]
        parts += [f"denoise {settings.denoise}"] if settings.denoise is not None else []
        parts += [f"{settings.precision} on {settings.device}"]
        names = [
            f"{f'{number}: ' if len(models) > 1 else ''}{model.name}, sha256 {model.sha256}"
            for number, model in enumerate(models, 1)
        ]
        return [", ".join(parts), *names]

    def tables(self) -> list[Table]:
        """Return the means as tables; an empty list if nothing was measured."""
        return tables(self._groups()) if self.lines else []

    def _groups(self) -> list[list[Measurement]]:
        """Return the lines of each model."""
        return [
            [line for line in self.lines if line.weights_sha256 == model.sha256]
            for model in self.evaluation.models
        ]


@contextmanager
def open_evaluation(request: EvaluateRequest) -> Iterator[EvaluateJob]:
    """Open the models and the file of the results, and find the pictures.

    Raises:
        ManetError: any error in the request.
    """
    options = request.options
    # The scale may still be unknown. Parse at any, so that an invalid protocol fails before loading weights.
    scale = options.scale or DEFAULT_SCALE
    parse_protocol(request.protocol, scale, steps=request.steps, seed=request.seed)
    models = open_models(request.models, options, request.denoise)
    opened = models[0][1]
    test = parse_protocol(request.protocol, opened.scale, steps=request.steps, seed=request.seed)
    settings = Settings(
        opened.scale,
        test.name,
        {step.name: step.text for step in request.steps},
        request.seed,
        opened.device,
        opened.precision,
        options.tile_text,
        next((model.denoise for model, _ in models if model.denoise is not None), None),
    )
    sources = expand_sources([request.pictures], recursive=request.recursive)[: request.limit]
    with open_results(request.output, settings) as results:
        yield EvaluateJob(Evaluation(test, [model for model, _ in models], settings, results), sources)


def _content(source: Source) -> bytes:
    if source.error:
        raise source.error
    if source.path is None:
        raise InputError("standard input cannot be measured: give a folder or a picture")
    return read_content(source.path, source.name)
