"""Set up and start a run: networks, photos, folder, processes."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from manet_cli.degradations.gaussian import KERNEL_SIZE
from manet_cli.errors import Parameter, UsageError, WeightsError
from manet_cli.inference import choose_precision, choose_torch_device
from manet_cli.models import BlindConfig, BlindModel, MANetConfig, RestorerConfig, kind_of_config
from manet_cli.training.batches import BatchMaker, Shard
from manet_cli.training.checkpoints import Checkpoint, RunFolder, check_same_run
from manet_cli.training.code_basis import compute_code_basis
from manet_cli.training.distribution import World, join_world
from manet_cli.training.initialization import initialize_estimator
from manet_cli.training.loading import fits_on
from manet_cli.training.loop import Outcome, StepReport, Trainer
from manet_cli.training.photos import PhotoCache, open_cache
from manet_cli.training.recipe import Recipe
from manet_cli.training.stage_kinds import stage_kind
from manet_cli.training.stages import new_discriminator, training_features
from manet_cli.training.torch_errors import explained
from manet_cli.training.validation import Validation
from manet_cli.weights import Weights, load_weights
from manet_cli.weights.layout import infer_config

__all__ = ["Photos", "Start", "train"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Photos:
    """A set of photos.

    Attributes:
        paths: paths of the pictures.
        root: names of photos are relative to this folder.
    """

    paths: Sequence[Path]
    root: Path


@dataclass(frozen=True)
class Start:
    """Initial weights of a run.

    Attributes:
        estimator: family or file of weights with the estimator; None for a new one.
        restorer: likewise; from a restorer of another scale or size, only matching tensors are loaded.
        resume: resume the run in the folder.
    """

    estimator: str | None = None
    restorer: str | None = None
    resume: bool = False


def train(
    recipe: Recipe,
    data: Photos,
    folder: RunFolder,
    start: Start,
    *,
    validation: Photos | None = None,
    cache: Path | None = None,
    device: str = "auto",
    report: Callable[[StepReport], None] = lambda report: None,
    progress: Callable[[float], None] = lambda share: None,
    begun: float | None = None,
) -> Outcome:
    """Train a stage. All arguments are checked before photos are decoded and folders are created.

    Args:
        recipe: the run's recipe.
        data: training photos.
        folder: the run's folder.
        start: initial weights.
        validation: photos to measure on.
        cache: folder of the decoded photos; by default in the run's folder.
        device: auto, cpu, cuda, cuda:N or mps.
        report: callback for step reports, in the first process only.
        progress: callback for the share of photos decoded.
        begun: start of the time limit, seconds of `time.monotonic`; None for the first step.

    Raises:
        ManetError: an argument is invalid, found before the first step if possible; for later errors see
            `Trainer.run`.
    """
    kind = choose_torch_device(device).type
    with join_world(kind) as world, explained(), ExitStack() as stack:
        chosen = choose_torch_device(
            f"cuda:{world.local_rank}" if kind == "cuda" and world.size > 1 else device
        )
        if kind == "cuda":
            torch.cuda.set_device(chosen)
        if recipe.batch_size % world.size:
            raise UsageError(
                Parameter("batch_size", recipe.batch_size),
                f" cannot be divided among {world.size} processes: give a multiple of {world.size}",
            )
        choose_precision(chosen, recipe.precision)
        training_features(recipe)
        beginning = _checkpoint(recipe, folder, start) or _Given.load(recipe, start)
        checkpoint = beginning if isinstance(beginning, Checkpoint) else None
        tested = None
        if validation and world.is_first:
            tested = Validation(validation.paths, recipe.validation, recipe.scale)
        if world.is_first:
            stack.enter_context(folder.prepared())
        photos = _decoded(data, cache or folder.path / "cache", recipe, world, progress)
        if checkpoint and checkpoint.facts.get("data") != photos.digest:
            raise UsageError("the run was started with other photos: give the same ", Parameter("data"))
        if fits_on(chosen, photos.pixels):
            photos = photos.to(chosen)
        maker = BatchMaker(photos, recipe, chosen, world.shard)
        if isinstance(beginning, Checkpoint):
            model = _restored_model(beginning)
        else:
            model = _new_model(recipe, beginning, maker)
        compared = getattr(start, stage_kind(recipe.stage).learns) is not None
        trainer = Trainer(recipe, model, maker, world, folder, tested, report, begun=begun, compared=compared)
        if checkpoint:
            trainer.restore(checkpoint)
        if world.is_first:
            folder.rewind_log(trainer.step)
            folder.write_recipe(recipe)
        world.wait()
        return trainer.run()


def _checkpoint(recipe: Recipe, folder: RunFolder, start: Start) -> Checkpoint | None:
    """Return the checkpoint to resume from; None for a new run."""
    if not start.resume:
        if folder.holds_a_run:
            raise UsageError(
                f"{folder.path} already contains a run: continue it with ",
                *(Parameter("resume", True), ", or give another folder with ", Parameter("output")),
            )
        return None
    check_same_run(folder.read_recipe(), recipe)
    discriminator = new_discriminator(recipe)
    checkpoint = folder.newest_checkpoint(discriminator.state_dict() if discriminator else {})
    if checkpoint is None:
        _log.warning("there is no checkpoint in %s yet: the run starts from step 0", folder.path)
    return checkpoint


def _decoded(
    data: Photos, cache: Path, recipe: Recipe, world: World, progress: Callable[[float], None]
) -> PhotoCache:
    """Open the decoded photos; decode them if missing.

    The first process decodes, then one process of each other machine (in a shared folder they find the photos
    decoded), then all others.
    """
    own_turn = 0 if world.is_first else 1 if world.local_rank == 0 else 2
    for turn in range(3):
        if turn == own_turn:
            photos = open_cache(data.paths, data.root, cache, smallest=recipe.crop_size, progress=progress)
        world.wait()
    return photos


def _restored_model(checkpoint: Checkpoint) -> BlindModel:
    tensors = checkpoint.part("model")
    return Weights(tensors, infer_config(tensors), published=False, sha256="").build()


@dataclass(frozen=True)
class _Given:
    """Initial weights of a run.

    Attributes:
        estimator: weights with the estimator; None for a new one.
        restorer: likewise.
        config: shapes of the networks.
    """

    estimator: Weights | None
    restorer: Weights | None
    config: BlindConfig

    @classmethod
    def load(cls, recipe: Recipe, start: Start) -> _Given:
        """Load the given weights.

        Raises:
            UsageError: the stage needs other weights.
            WeightsError: the weights are missing or damaged, or lack a network.
        """
        estimator, restorer = (_given(name, recipe.scale) for name in (start.estimator, start.restorer))
        configs = _estimator_config(recipe, start, estimator), _restorer_config(recipe, start, restorer)
        return cls(estimator, restorer, BlindConfig(*configs))


def _new_model(recipe: Recipe, given: _Given, maker: BatchMaker) -> BlindModel:
    """Return the initial networks: from the given weights, or new ones."""
    estimator, restorer = given.estimator, given.restorer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = BlindModel(given.config)
        if model.restorer is not None:
            kind_of_config(model.restorer.config).initialize(model.restorer)
    if estimator is not None:
        _take(model, estimator, "estimator")
    elif model.estimator is not None and recipe.initialization.unit_variance:
        initialize_estimator(model.estimator, model.estimator.pad(_first_batch(recipe, maker)))
    if restorer is not None:
        _take(model, restorer, "restorer")
    if model.kernel_code is not None:
        if restorer is not None and restorer.scale == recipe.scale:
            _take(model, restorer, "kernel_code")
        else:
            code = compute_code_basis(recipe.scale, length=model.kernel_code.basis.shape[1])
            model.kernel_code.basis.copy_(code.basis)
            _log.info(
                "computed the kernel code basis; it explains %.2f %% of the variance", 100 * code.explained
            )
    return model


def _given(name: str | None, scale: int) -> Weights | None:
    """Load the weights of an option, at the run's scale if available."""
    if name is None:
        return None
    try:
        return load_weights(name, scale)[0]
    except (UsageError, WeightsError):
        return load_weights(name)[0]


def _estimator_config(recipe: Recipe, start: Start, given: Weights | None) -> MANetConfig | None:
    kind = stage_kind(recipe.stage)
    if given is None:
        if kind.goes_on:
            raise UsageError(
                f"stage {recipe.stage} needs an estimator of the kernels: give ", Parameter("estimator")
            )
        return MANetConfig() if kind.learns == "estimator" else None
    if given.config.estimator is None:
        raise WeightsError(
            f"{start.estimator} holds no estimator: give other weights with ", Parameter("estimator")
        )
    if given.config.estimator.kernel_size != KERNEL_SIZE:
        size = given.config.estimator.kernel_size
        raise WeightsError(
            f"{start.estimator} estimates kernels of {size}x{size}, but training makes {KERNEL_SIZE}"
        )
    return given.config.estimator


def _restorer_config(recipe: Recipe, start: Start, given: Weights | None) -> RestorerConfig | None:
    kind = stage_kind(recipe.stage)
    if given is None:
        if kind.goes_on:
            raise UsageError(f"stage {recipe.stage} needs a trained restorer: give ", Parameter("restorer"))
        return recipe.restorer if kind.learns == "restorer" else None
    if given.config.restorer is None:
        raise WeightsError(
            f"{start.restorer} holds no restorer: give other weights with ", Parameter("restorer")
        )
    if given.scale != recipe.scale and (kind.goes_on or kind.learns != "restorer"):
        raise UsageError(
            f"{start.restorer} holds a restorer for x{given.scale}: only stage sr can start an "
            f"x{recipe.scale} restorer from it"
        )
    return dataclasses.replace(given.config.restorer, scale=recipe.scale)


def _first_batch(recipe: Recipe, maker: BatchMaker) -> Tensor:
    """Return the whole first batch's LR patches (of all processes), on the CPU."""
    whole = BatchMaker(maker.cache, recipe, torch.device("cpu"), Shard())
    draws = whole.draw(0, 0.0)
    return whole.degrade(whole.crops(draws).cpu(), draws).lr


def _take(model: BlindModel, weights: Weights, part: str) -> None:
    """Copy one network from weights into a model; tensors of another shape (another scale) stay new."""
    own = model.state_dict()
    with torch.no_grad():
        for name, tensor in weights.tensors.items():
            if name.startswith(f"{part}.") and own[name].shape == tensor.shape:
                own[name].copy_(tensor)
            elif name.startswith(f"{part}."):
                _log.warning("%s is newly initialised: the given weights have another shape", name)
