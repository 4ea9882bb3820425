"""The files of a run: recipe, checkpoints, weights and metrics. Each is written atomically."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from manet_cli.atomic import atomic_path, disk_reported, exclusive, prepare_folder, remove_leftovers
from manet_cli.errors import InputError, Parameter, UsageError, WeightsError
from manet_cli.models import BlindConfig
from manet_cli.regular_file import open_regular, read_regular
from manet_cli.training.recipe import Recipe
from manet_cli.training.recipe_files import LONGEST_RECIPE, parse_recipe
from manet_cli.weights import Weights, write_weights
from manet_cli.weights.bounds import LARGEST_FILE, check_safetensors
from manet_cli.weights.layout import check_layout, infer_config

__all__ = ["Checkpoint", "RunFolder", "check_same_run"]

_log = logging.getLogger(__name__)

_LONGEST_LOG = 1 << 30  # bytes of metrics.jsonl
_LARGEST = 4 * LARGEST_FILE  # bytes of a checkpoint: a model, its averages and two moments
_SCALER = {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}
_UNREADABLE = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError),
    *(safetensors.SafetensorError, WeightsError),
)

_GO_ON = ("free some space and continue with ", Parameter("resume", True))


@dataclass(frozen=True)
class Checkpoint:
    """All that is needed to resume a run.

    Attributes:
        tensors: by name: `model.*`, `average.*` and Adam's `moment1.*`, `moment2.*` and `updates.*`. With a
            discriminator also `discriminator.model.*`, its Adam's `discriminator.moment1.*` and so on.
        step: steps done.
        seconds: time used.
        facts: everything else, as JSON values.
    """

    tensors: Mapping[str, Tensor]
    step: int
    seconds: float
    facts: Mapping[str, object]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with `prefix.`, and remove this prefix."""
        start = f"{prefix}."
        return {name[len(start) :]: tensor for name, tensor in self.tensors.items() if name.startswith(start)}


class RunFolder:
    """A run's folder: `config.toml`, `metrics.jsonl`, `checkpoints/`, the last and the best weights.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.weights = path / "weights.safetensors"
        self.best = path / "best.safetensors"
        self._config = path / "config.toml"
        self._metrics = path / "metrics.jsonl"

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that a run writes, without checkpoints."""
        return (self.weights, self.best, self._config, self._metrics)

    @property
    def holds_a_run(self) -> bool:
        """Whether a run was started here."""
        return os.path.lexists(self._config)

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Create the folder, remove leftovers of dead processes, and lock the folder during the block.

        Raises:
            OutputError: it cannot be created, or another process trains in it.
        """
        prepare_folder(self.checkpoints)
        with exclusive(self.path / ".run.manet-tmp", wait=False):
            for folder in (self.path, self.checkpoints):
                remove_leftovers(folder)
            yield

    def write_recipe(self, recipe: Recipe) -> None:
        """Write the resolved recipe."""
        with atomic_path(self._config) as temporary:
            temporary.write_text(recipe.to_toml(), encoding="utf-8")

    def read_recipe(self) -> Recipe:
        """Return the recipe of the run that was started here.

        Raises:
            InputError: there is none.
            UsageError: it is damaged.
        """
        try:
            text = read_regular(self._config, LONGEST_RECIPE).decode()
        except UnicodeDecodeError as error:
            raise UsageError(f"{self._config} is damaged, it is not text: restore it") from error
        except OSError as error:
            raise InputError(
                f"{self.path} holds no run to resume: leave ", Parameter("resume"), " out to start one"
            ) from error
        return parse_recipe(text, str(self._config))

    def write_checkpoint(self, checkpoint: Checkpoint, keep: int) -> None:
        """Write a checkpoint; keep the newest `keep` up to it and remove all others.

        Checkpoints of later steps are removed too: they are damaged, and the run skipped them.

        Raises:
            OutputError: it cannot be written; older checkpoints are kept.
        """
        facts = {"step": checkpoint.step, "seconds": checkpoint.seconds, **checkpoint.facts}
        tensors = {name: tensor.contiguous().cpu() for name, tensor in checkpoint.tensors.items()}
        data = safetensors.torch.save(tensors, {"run": json.dumps(facts)})
        path = self.checkpoints / f"step_{checkpoint.step:08d}.safetensors"
        advice = (*_GO_ON, "; the previous checkpoint is kept")
        with atomic_path(path, name=f"the checkpoint of step {checkpoint.step}", advice=advice) as temporary:
            temporary.write_bytes(data)
        files = self._checkpoint_files()
        place = files.index(path)
        for stale in (*files[:place], *files[place + keep :]):
            stale.unlink(missing_ok=True)

    def newest_checkpoint(
        self, discriminator: Mapping[str, Tensor] = MappingProxyType({})
    ) -> Checkpoint | None:
        """Return the newest complete checkpoint; None if there is none yet.

        Args:
            discriminator: expected tensors of its discriminator (only their shapes count); empty for none.
        """
        for path in self._checkpoint_files():
            try:
                return _read_checkpoint(path, discriminator)
            except _UNREADABLE as error:
                _log.warning("%s is damaged and skipped: %s", path, error)
        return None

    def write_weights(
        self, path: Path, tensors: Mapping[str, Tensor], config: BlindConfig, number_format: str
    ) -> None:
        """Write weights for `--model`; the kernel code basis stays float32."""
        dtype = torch.float16 if number_format == "float16" else torch.float32
        formatted = {
            name: tensor.float() if name.startswith("kernel_code.") else tensor.to(dtype)
            for name, tensor in tensors.items()
        }
        write_weights(Weights(formatted, config, published=False, sha256=""), path)

    def log(self, line: Mapping[str, object]) -> None:
        """Append a line to `metrics.jsonl`. Numbers that are not finite become null, as JSON has none.

        Raises:
            OutputError: it cannot be written.
        """
        known = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in line.items()
        }
        with disk_reported(str(self._metrics), *_GO_ON), self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(known) + "\n")

    def read_log(self) -> list[dict[str, object]]:
        """Return the lines of `metrics.jsonl`; skip incomplete and foreign lines.

        Raises:
            InputError: it cannot be read.
        """
        lines = []
        try:
            data = read_regular(self._metrics, _LONGEST_LOG)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(
                f"{self._metrics} cannot be read ({error.strerror}): move it away and try again"
            ) from error
        for text in data.splitlines():
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict):
                lines.append(line)
        return lines

    def rewind_log(self, step: int) -> None:
        """Remove the lines of steps after `step`: the run repeats these steps."""
        kept = [line for line in self.read_log() if isinstance(at := line.get("step"), int) and at <= step]
        with atomic_path(self._metrics) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def _checkpoint_files(self) -> list[Path]:
        """Return the checkpoints, the newest first."""
        return sorted(self.checkpoints.glob("step_*.safetensors"), reverse=True)


def _read_checkpoint(path: Path, discriminator: Mapping[str, Tensor]) -> Checkpoint:
    """Read and check a checkpoint; raise one of `_UNREADABLE` if no run can resume from it."""
    open_regular(path, _LARGEST).close()
    check_safetensors(path)
    with safetensors.safe_open(path, framework="pt") as file:
        facts = json.loads((file.metadata() or {})["run"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    step, seconds = facts.pop("step"), facts.pop("seconds")
    if (
        type(step) is not int
        or step < 0
        or not isinstance(seconds, float | int)
        or not 0 <= seconds < math.inf
    ):
        raise ValueError("its step or its time is not a number")
    for scaler in (facts.get("scaler"), facts.get("discriminator_scaler")):
        if scaler and not (isinstance(scaler, dict) and scaler.keys() >= _SCALER):
            raise ValueError("its loss scale is incomplete")
    checkpoint = Checkpoint(tensors, step, float(seconds), facts)
    model, averages = checkpoint.part("model"), checkpoint.part("average")
    check_layout(model, infer_config(model))
    trained = [checkpoint.part(f"model.{network}") for network in ("estimator", "restorer")]
    if not averages or not any(_fits(averages, model) for model in trained):
        raise ValueError("its averages belong to another model")
    _check_moments(checkpoint, "", averages)
    found = checkpoint.part("discriminator.model")
    if discriminator and (found.keys() != discriminator.keys() or not _fits(found, discriminator)):
        raise ValueError("its discriminator is incomplete")
    _check_moments(checkpoint, "discriminator.", discriminator)
    return checkpoint


def _check_moments(checkpoint: Checkpoint, prefix: str, trained: Mapping[str, Tensor]) -> None:
    """Raise an error unless Adam's tensors under a prefix fit the trained tensors."""
    *moments, updates = (checkpoint.part(f"{prefix}{part}") for part in ("moment1", "moment2", "updates"))
    if any(part.keys() != updates.keys() or not _fits(part, trained) for part in moments):
        raise ValueError("its moments are incomplete or belong to another model")
    if any(update.numel() != 1 for update in updates.values()):
        raise ValueError("its counts of updates are not numbers")


def _fits(part: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> bool:
    """Whether all tensors are float and have the shapes of the model's tensors of the same names."""
    return all(
        name in model and tensor.shape == model[name].shape and tensor.is_floating_point()
        for name, tensor in part.items()
    )


def check_same_run(old: Recipe, new: Recipe) -> None:
    """Refuse to resume with another recipe; only the length of the run may differ.

    Raises:
        UsageError: the first difference.
    """
    before, after = dataclasses.asdict(old), dataclasses.asdict(new)
    for key in before:
        if key not in ("iterations", "max_minutes") and before[key] != after[key]:
            raise UsageError(
                f"the run was started with {key} = {before[key]}, but now it is {after[key]}: only ",
                *(Parameter("iterations"), " and ", Parameter("max_minutes")),
                " may change; start another run from its weights with ",
                *(Parameter("estimator"), " or ", Parameter("restorer")),
            )
