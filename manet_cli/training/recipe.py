"""Recipes: all settings of a training run, as frozen dataclasses; `recipe_files` reads them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from manet_cli.degradations.gaussian import KERNEL_SIZE, KernelRange
from manet_cli.degradations.step import StepRecipe
from manet_cli.errors import UsageError
from manet_cli.models import RESTORERS, RestorerConfig, restorer_kind
from manet_cli.training.stage_kinds import STAGES

__all__ = [
    "BlurRecipe",
    "DiscriminatorRecipe",
    "GuardRecipe",
    "InitializationRecipe",
    "LossRecipe",
    "NetworkRecipe",
    "OptimizerRecipe",
    "Recipe",
    "ReportRecipe",
    "ScheduleRecipe",
    "ValidationRecipe",
]

_SEEDS = 2**63  # the limit of PyTorch and of TOML
SCHEDULES = ("cosine", "halving", "constant")
NUMBER_FORMATS = ("float16", "float32")


@dataclass(frozen=True)
class BlurRecipe:
    """The crops and the kernels that blur them.

    Attributes:
        texture_choices: number of crops drawn for each patch; the one with most texture is used.
        variance_exponent: a variance's position in its range is uniform in [0, 1], raised to this power: 1 is
            the published distribution; with more, narrow kernels are more frequent.
        elongated_share: share of strongly elongated kernels, 0 to 1.
        elongated_until: share of the run after which all kernels come from the published distribution.
        variant_share: share of the patches with two kernels, one on each side of a random line.
    """

    texture_choices: int = 1
    variance_exponent: float = 1.0
    elongated_share: float = 0.0
    elongated_until: float = 1.0
    variant_share: float = 0.0


@dataclass(frozen=True)
class NetworkRecipe:
    """A new restorer; in a file its settings are keys of the same table.

    Attributes:
        architecture: id of its entry in `models.RESTORERS`.
        settings: its shape, except scale and code length; a missing setting has its default.
    """

    architecture: str = RESTORERS[0].id
    settings: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kind = restorer_kind(self.architecture)
        if kind is None:
            names = ", ".join(kind.id for kind in RESTORERS)
            raise UsageError(f"architecture = {self.architecture!r}, expected {names}")
        known = {field.name for field in dataclasses.fields(kind.config)}
        own = sorted(known - {field.name for field in dataclasses.fields(RestorerConfig)})
        if unknown := sorted(self.settings.keys() - set(own)):
            raise UsageError(f"[network]: there is no key {unknown[0]!r}; expected {', '.join(own)}")
        for name, number in self.settings.items():
            if type(number) is not int or number < 1:
                raise UsageError(f"{name} = {number!r}, expected a whole number, 1 or more")


@dataclass(frozen=True)
class InitializationRecipe:
    """Initialisation of new networks.

    Attributes:
        unit_variance: scale the estimator's layers one after another to outputs of variance 1 on a batch;
            otherwise PyTorch's default.
    """

    unit_variance: bool = False


@dataclass(frozen=True)
class LossRecipe:
    """Losses besides L1.

    Attributes:
        divergence_until: stage `manet`: share of the run over which the loss changes from the
            Kullback-Leibler divergence of the kernels to L1; 0 for L1 alone.
        reblur: stage `manet`: weight of the mean difference, in levels of 255, between an LR patch and the
            sharp patch blurred with the estimated kernels; L1 on kernels x 1e4 has weight 1. 0 for none.
        true_kernel_share: stages `finetune` and `crisp`: share of the patches that are restored with
            their true kernel.
        perceptual: stage `crisp`: weight of the mean difference of frozen features, in units of their
            deviation over ImageNet; 0 for none.
        adversarial: stage `crisp`: weight of the adversarial loss; 0 for none.
        grid: stage `crisp`: weight of patterns with a period of 4 pixels: of the mean excess of
            `phase_contrast`, restored over sharp patches; 0 for none.
        adversarial_warmup: steps over which the weight of `adversarial` rises from zero, because a new
            discriminator judges at random.
    """

    divergence_until: float = 0.0
    reblur: float = 0.0
    true_kernel_share: float = 0.0
    perceptual: float = 0.1
    adversarial: float = 0.01
    grid: float = 0.3
    adversarial_warmup: int = 0


@dataclass(frozen=True)
class OptimizerRecipe:
    """Adam.

    Attributes:
        learning_rate: its highest value.
        beta1, beta2: decay of the moments.
        clip: largest norm of the gradient; 0 for no limit.
        ema: decay per step of the weights' moving average; the average is validated and written. 0 for
            none.
    """

    learning_rate: float = 2e-4
    beta1: float = 0.9
    beta2: float = 0.999
    clip: float = 0.0
    ema: float = 0.0


@dataclass(frozen=True)
class DiscriminatorRecipe:
    """Adam of the discriminator of stage `crisp`; its learning rate has the restorer's schedule.

    Attributes:
        learning_rate: its highest value, as in Real-ESRGAN (arXiv:2107.10833).
        beta1, beta2: decay of the moments.
        clip: largest norm of the gradient; 0 for no limit.
        bound: its step is skipped while its accuracy on the batch's pixels, 0 to 1, is above this bound: a
            discriminator that always wins gives the restorer no useful gradient. 1 for never.
    """

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99
    clip: float = 0.0
    bound: float = 1.0


@dataclass(frozen=True)
class ScheduleRecipe:
    """Course of the learning rate.

    Attributes:
        kind: `cosine` (zero at the end of the run, by steps or by time), `halving` or `constant`.
        halve_every: steps between halvings.
        warmup: first steps, over which it rises from zero.
    """

    kind: str = "cosine"
    halve_every: int = 50_000
    warmup: int = 0


@dataclass(frozen=True)
class GuardRecipe:
    """Checks that detect a failing run.

    Attributes:
        stall_after: steps after which the run warns if estimated kernels hardly vary with the input.
        stall_below: the bound for this warning: variance of the estimated kernels / of the true kernels.
        bad_steps: end the run after this many gradients in a row that are not finite.
    """

    stall_after: int = 1500
    stall_below: float = 0.02
    bad_steps: int = 25


@dataclass(frozen=True)
class ReportRecipe:
    """Log, checkpoints and weights.

    Attributes:
        log_every: steps between lines of `metrics.jsonl`.
        checkpoint_seconds: time between checkpoints.
        keep: number of checkpoints to keep.
        number_format: float16 or float32, for `weights.safetensors`.
    """

    log_every: int = 50
    checkpoint_seconds: float = 60.0
    keep: int = 2
    number_format: str = "float16"


@dataclass(frozen=True)
class ValidationRecipe:
    """Validation.

    Attributes:
        every_seconds: time between validations; there is always one after the last step.
        protocol: as in `manet evaluate`.
        crop: side of the crop from the middle of each photo, in HR pixels.
        limit: largest number of photos.
    """

    every_seconds: float = 600.0
    protocol: str = "grid"
    crop: int = 256
    limit: int = 12


@dataclass(frozen=True)
class Recipe:
    """All settings of a training run, without its data.

    Attributes:
        stage: name of a row of `stage_kinds`.
        scale: 2, 3 or 4.
        seed: random seed.
        iterations: number of steps.
        max_minutes: time limit in minutes; 0 for none.
        batch_size: patches per step, over all processes.
        patch_size: side of a patch in HR pixels, a multiple of the scale.
        precision: auto, fp32, bf16 or fp16.
        compile: whether PyTorch compiles the step.
        degradation: the steps between the blur and the rounding to 8 bits, by name, see
            `degradations.registry`.
    """

    stage: str
    scale: int
    iterations: int
    seed: int = 0
    max_minutes: float = 0.0
    batch_size: int = 16
    patch_size: int = 192
    precision: str = "auto"
    compile: bool = False
    blur: BlurRecipe = field(default_factory=BlurRecipe)
    degradation: Mapping[str, StepRecipe] = field(default_factory=dict)
    network: NetworkRecipe = field(default_factory=NetworkRecipe)
    initialization: InitializationRecipe = field(default_factory=InitializationRecipe)
    loss: LossRecipe = field(default_factory=LossRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    discriminator: DiscriminatorRecipe = field(default_factory=DiscriminatorRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)
    guard: GuardRecipe = field(default_factory=GuardRecipe)
    report: ReportRecipe = field(default_factory=ReportRecipe)
    validation: ValidationRecipe = field(default_factory=ValidationRecipe)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def kernel_range(self) -> KernelRange:
        """The published variances of the scale."""
        return KernelRange.for_scale(self.scale)

    @property
    def elongated_ranges(self) -> tuple[KernelRange, KernelRange]:
        """The variances along and across a strongly elongated kernel: 1.25 s to 2.5 s, 0.175 s to 0.5 s."""
        return KernelRange(1.25 * self.scale, 2.5 * self.scale), KernelRange(
            0.175 * self.scale, 0.5 * self.scale
        )

    @property
    def restorer(self) -> RestorerConfig:
        """The shape of a new restorer."""
        kind = restorer_kind(self.network.architecture) or RESTORERS[0]
        return kind.config(scale=self.scale, **self.network.settings)

    @property
    def lr_patch(self) -> int:
        """Side of a patch in LR pixels."""
        return self.patch_size // self.scale

    @property
    def crop_size(self) -> int:
        """Side of a crop in HR pixels: a patch with a margin of half a kernel."""
        return self.patch_size + KERNEL_SIZE - 1

    def to_toml(self) -> str:
        """Return the recipe as TOML, for `parse_recipe`."""
        values = dataclasses.asdict(self)
        network = values["network"]
        values["network"] = {"architecture": network["architecture"], **network["settings"]}
        return _toml(values)


def _toml(values: Mapping[str, Any], table: str = "") -> str:
    plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
    lines = [f"\n[{table}]"] if table else []
    # JSON and TOML write strings, numbers and booleans alike.
    lines += [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    text = "\n".join(lines) + "\n"
    prefix = f"{table}." if table else ""
    return text + "".join(_toml(values[key], prefix + key) for key in values if key not in plain)


def _check(recipe: Recipe) -> None:
    if recipe.stage not in STAGES:
        raise UsageError(f"stage = {recipe.stage!r}, expected {', '.join(STAGES)}")
    if recipe.scale not in (2, 3, 4):
        raise UsageError(f"scale = {recipe.scale}, expected 2, 3 or 4")
    if recipe.patch_size < 8 * recipe.scale or recipe.patch_size % recipe.scale:
        raise UsageError(
            f"patch_size = {recipe.patch_size}, expected a multiple of the scale {recipe.scale}, "
            f"{8 * recipe.scale} or more"
        )
    if recipe.loss.reblur and recipe.patch_size < KERNEL_SIZE + 3:
        raise UsageError(
            f"patch_size = {recipe.patch_size} is too small for reblur, expected {KERNEL_SIZE + 3} or more"
        )
    positive = {
        "iterations": recipe.iterations,
        "batch_size": recipe.batch_size,
        "texture_choices": recipe.blur.texture_choices,
        "halve_every": recipe.schedule.halve_every,
        "log_every": recipe.report.log_every,
        "keep": recipe.report.keep,
        "bad_steps": recipe.guard.bad_steps,
        "limit": recipe.validation.limit,
    }
    for name, number in positive.items():
        if number < 1:
            raise UsageError(f"{name} = {number}, expected 1 or more")
    shares = {
        "elongated_share": recipe.blur.elongated_share,
        "elongated_until": recipe.blur.elongated_until,
        "variant_share": recipe.blur.variant_share,
        "divergence_until": recipe.loss.divergence_until,
        "true_kernel_share": recipe.loss.true_kernel_share,
        "ema": recipe.optimizer.ema,
        "bound": recipe.discriminator.bound,
    }
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise UsageError(f"{name} = {share}, expected a number from 0 to 1")
    for adam in (recipe.optimizer, recipe.discriminator):
        for name, beta in (("beta1", adam.beta1), ("beta2", adam.beta2)):
            if not 0 <= beta < 1:
                raise UsageError(f"{name} = {beta}, expected a number from 0 to less than 1")
    if not 0 <= recipe.seed < _SEEDS:
        raise UsageError(f"seed = {recipe.seed}, expected a number from 0 to less than 2^63")
    if not 0 < recipe.blur.variance_exponent <= 10:
        raise UsageError(
            f"variance_exponent = {recipe.blur.variance_exponent}, expected more than 0, up to 10"
        )
    at_least_zero = {
        "max_minutes": recipe.max_minutes,
        "reblur": recipe.loss.reblur,
        "perceptual": recipe.loss.perceptual,
        "adversarial": recipe.loss.adversarial,
        "grid": recipe.loss.grid,
        "adversarial_warmup": recipe.loss.adversarial_warmup,
        "clip": recipe.optimizer.clip,
        "learning_rate": recipe.optimizer.learning_rate,
        "discriminator.clip": recipe.discriminator.clip,
        "discriminator.learning_rate": recipe.discriminator.learning_rate,
        "warmup": recipe.schedule.warmup,
        "checkpoint_seconds": recipe.report.checkpoint_seconds,
        "every_seconds": recipe.validation.every_seconds,
    }
    for name, value in at_least_zero.items():
        if not 0 <= value < float("inf"):
            raise UsageError(f"{name} = {value}, expected 0 or more")
    choices = {
        "schedule.kind": (recipe.schedule.kind, SCHEDULES),
        "report.number_format": (recipe.report.number_format, NUMBER_FORMATS),
        "precision": (recipe.precision, ("auto", "fp32", "bf16", "fp16")),
    }
    for name, (choice, known) in choices.items():
        if choice not in known:
            raise UsageError(f"{name} = {choice!r}, expected {', '.join(known)}")
