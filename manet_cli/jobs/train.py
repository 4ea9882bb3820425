"""Plan and run a training, for ``manet train``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from manet_cli.atomic import check_name
from manet_cli.errors import InputError, Message, OutputError, Parameter, UsageError
from manet_cli.file_identity import is_folder, ledger_of, same_file
from manet_cli.jobs.durations import duration
from manet_cli.jobs.outputs import files_among, say_if_named_like_file
from manet_cli.jobs.sources import expand_sources
from manet_cli.training import (
    Outcome,
    Photos,
    Recipe,
    RunFolder,
    Start,
    StepReport,
    load_recipe,
    stage_kind,
    train,
)

__all__ = ["TrainJob", "TrainRequest", "TrainResult", "plan_training"]


@dataclass(frozen=True)
class TrainRequest:
    """Request for a training run.

    Attributes:
        stage: manet, sr, finetune or crisp.
        data: folder of photos.
        output: folder of the run.
        scale: 2, 3 or 4; None for the recipe's scale.
        recipe: name of a recipe.
        config: TOML file whose keys override the recipe.
        options: keys that override both; None for a key that was not given.
        start: initial weights of the run.
        validation: folder of photos to measure on; None for none.
        cache: folder of the decoded photos; None for a folder in the run's folder.
        device: auto, cpu, cuda, cuda:N or mps.
        begun: start of the command, seconds of `time.monotonic`.
    """

    stage: str
    data: Path
    output: Path
    scale: int | None = None
    recipe: str = "robust"
    config: Path | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    start: Start = field(default_factory=Start)
    validation: Path | None = None
    cache: Path | None = None
    device: str = "auto"
    begun: float = field(default_factory=time.monotonic)


_VALIDATION = Parameter("validation")
_FIGURES = {
    "kernel_psnr": "kernel PSNR",
    "nonblind_psnr_y": "PSNR-Y with true kernels",
    "psnr_y": "PSNR-Y",
}


@dataclass(frozen=True)
class TrainResult:
    """Result of a run.

    Attributes:
        weights: the file of the weights.
        outcome: of the loop.
        recipe: of the run.
    """

    weights: Path
    outcome: Outcome
    recipe: Recipe

    def fields(self) -> dict[str, object]:
        """Return the result for a script."""
        return {
            "weights": str(self.weights),
            "step": self.outcome.step,
            "seconds": round(self.outcome.seconds, 1),
            "validation": self.outcome.figures,
            "began_with": self.outcome.began_with,
            "status": "interrupted" if self.outcome.signal else "done",
        }

    def message(self) -> Message:
        """Say where the weights are and how good they are."""
        outcome, kind = self.outcome, stage_kind(self.recipe.stage)
        spent = f"{self.weights}: {outcome.step} steps in {duration(outcome.seconds)}"
        if not outcome.step:
            spent += " (all time was spent on preparing)"
        figure = outcome.figures.get(kind.judged_by)
        if figure is None:
            if outcome.signal:
                return Message(spent)
            return Message(spent, "; their quality is unknown: measure on photos with ", _VALIDATION)
        words = f"{spent}, {_FIGURES[kind.judged_by]} {figure:.2f} dB in validation"
        began = outcome.began_with
        if began is not None and figure < began and kind.keeps_best:
            words += f", WORSE than the {began:.2f} dB at the start: keep the initial weights"
        elif began is not None:
            words += f" ({began:.2f} dB at the start)"
        if outcome.best is not None and outcome.best > figure:
            best = self.weights.with_name("best.safetensors")
            words += f"; the best weights, {outcome.best:.2f} dB, are in {best}"
        return Message(words)


@dataclass(frozen=True)
class TrainJob:
    """A run with checked options and its photos.

    Attributes:
        request: the user's request.
        recipe: of the run, complete.
        photos: for training.
        validation: photos to measure on, if any.
    """

    request: TrainRequest
    recipe: Recipe
    photos: Photos
    validation: Photos | None

    def run(self, *, decoding: Callable[[float], None], report: Callable[[StepReport], None]) -> TrainResult:
        """Train.

        Args:
            decoding: callback for the share of photos decoded, in [0, 1].
            report: callback for step reports, in the first process only.

        Raises:
            ManetError: as in `training.train`.
        """
        request, folder = self.request, RunFolder(self.request.output)
        outcome = train(
            self.recipe,
            self.photos,
            folder,
            request.start,
            validation=self.validation,
            cache=request.cache,
            device=request.device,
            report=report,
            progress=decoding,
            begun=request.begun,
        )
        return TrainResult(folder.weights, outcome, self.recipe)


def plan_training(request: TrainRequest) -> TrainJob:
    """Check the options and find the photos.

    Raises:
        OutputError: the run would overwrite its initial weights or its config, or its folder's name is too
            long.
        UsageError: an option is invalid.
        InputError: a folder holds no photos.
    """
    check_name(RunFolder(request.output).checkpoints)
    if not request.start.resume:
        say_if_named_like_file(request.output)
        _check_inputs(request)
    if same_file(request.output, request.data):
        raise UsageError(Parameter("output"), " is the folder of the photos: choose another for the run")
    recipe = load_recipe(
        request.stage, request.scale, name=request.recipe, config=request.config, options=request.options
    )
    validation = _photos(request.validation) if request.validation else None
    return TrainJob(request, recipe, _photos(request.data, validation), validation)


def _check_inputs(request: TrainRequest) -> None:
    """Raise OutputError if the run would overwrite one of its input files."""
    folder = RunFolder(request.output)
    read = ledger_of(files_among(request.start.estimator, request.start.restorer, request.config))
    for path in folder.files:
        if read.find(path) is not None:
            raise OutputError(
                f"{path} is an input, and inputs are never overwritten: choose another ", Parameter("output")
            )


def _photos(folder: Path, besides: Photos | None = None) -> Photos:
    """Return the pictures in a folder and its subfolders, without the validation photos."""
    if not is_folder(folder):
        raise InputError(f"{folder} is not a folder: give a folder of photos")
    sources = expand_sources([str(folder)], recursive=True)
    paths = [source.path for source in sources if source.path is not None and source.error is None]
    if not paths:
        raise InputError(f"{folder} holds no pictures: give a folder of photos")
    held_back = ledger_of(besides.paths if besides else ())
    kept = [path for path in paths if held_back.find(path) is None]
    if not kept:
        raise InputError(
            f"{folder} holds no pictures except those of ",
            *(Parameter("validation"), ": give ", Parameter("validation"), " other photos"),
        )
    return Photos(kept, folder)
