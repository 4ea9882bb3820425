"""The training loop. It ends after a number of steps, a time limit or a signal."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from manet_cli.errors import Message, Parameter, TrainingError
from manet_cli.inference import choose_precision
from manet_cli.models import BlindModel
from manet_cli.training.batches import BatchMaker
from manet_cli.training.checkpoints import Checkpoint, RunFolder
from manet_cli.training.distribution import World
from manet_cli.training.loading import Loader
from manet_cli.training.opponent import Opponent
from manet_cli.training.optimization import MovingAverage, Optimizer, learning_rate
from manet_cli.training.recipe import Recipe
from manet_cli.training.stage_kinds import stage_kind
from manet_cli.training.stages import build_stage, stage_losses, stage_weight
from manet_cli.training.validation import Validation
from manet_cli.training.window import LogWindow
from manet_cli.weights import Weights

__all__ = ["Outcome", "StepReport", "Trainer"]

_log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_REPORT_SECONDS = 1.0  # least time between two reports, apart from lines of the log


@dataclass(frozen=True)
class StepReport:
    """Progress of a run.

    Attributes:
        step: steps done.
        share: share of the run done, in [0, 1].
        loss: mean loss in the last line of the log; None before the first line.
        rate: steps per second since that line.
    """

    step: int
    share: float
    loss: float | None
    rate: float


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        step: steps done.
        seconds: time used, including the time before a resume.
        signal: the signal that ended it early; None if it ended as planned.
        figures: results of the last validation; empty without one.
        began_with: the stage's figure (`StageKind.judged_by`) before the first step; None if not measured.
        best: its highest value since then, measured on `best.safetensors`; None without a validation.
    """

    step: int
    seconds: float
    signal: int | None
    figures: dict[str, float]
    began_with: float | None = None
    best: float | None = None


class Trainer:
    """Trains one network of a model, and a discriminator if the stage has one.

    Args:
        recipe: the run's recipe.
        model: the networks that the stage needs, in float32 on the CPU; changed in place.
        maker: makes the batches, on the training device.
        world: the processes of the run.
        folder: output folder; only the first process writes.
        validation: validation set; None for no validation.
        report: callback for step reports.
        begun: when the time limit starts, in seconds of `time.monotonic`; None for the first step.
        compared: validate before the first step, because the network was trained before.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: BlindModel,
        maker: BatchMaker,
        world: World,
        folder: RunFolder,
        validation: Validation | None,
        report: Callable[[StepReport], None],
        *,
        begun: float | None = None,
        compared: bool = False,
    ) -> None:
        self.recipe, self.model, self.maker = recipe, model, maker
        self.world, self.folder, self.validation, self.report = world, folder, validation, report
        self.device = maker.device
        self.precision = choose_precision(self.device, recipe.precision)
        model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.stage = build_stage(recipe, model)
        self.network = self.stage.network.requires_grad_(True).train()
        half = self.precision == torch.float16
        self.optimizer = Optimizer(self.network, recipe.optimizer, half=half)
        discriminator = self.stage.discriminator
        self.opponent = Opponent(discriminator, recipe, world, half=half) if discriminator else None
        self.average = MovingAverage(self.optimizer.parameters, recipe.optimizer.ema)
        self.module = self._wrapped()
        self.step = 0
        self.best: float | None = None
        self.began_with: float | None = None
        self.figures: dict[str, float] = {}
        self._seconds_before = self._agreed_seconds = 0.0
        self._begun, self._compared = begun, compared
        self._validating = self._saving = 0.0
        self._started = self._last_checkpoint = self._last_validation = time.monotonic()
        self._last_report = self._started
        self._last_loss: float | None = None
        self._signal: int | None = None
        self._window = LogWindow()

    @property
    def seconds(self) -> float:
        """Time used, including the time before a resume."""
        return self._seconds_before + time.monotonic() - self._started

    @property
    def _ending(self) -> float:
        """Expected duration of the last validation and checkpoint in seconds."""
        return self._validating + self._saving

    def progress(self, step: int) -> float:
        """Return the share of the run done before a step, 0 to 1: by steps or by time, the larger one."""
        share = step / self.recipe.iterations
        if self.recipe.max_minutes:
            share = max(share, self._agreed_seconds / (60 * self.recipe.max_minutes))
        return min(1.0, share)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Resume from a checkpoint. Build `model` from its tensors first."""
        facts, averages = checkpoint.facts, checkpoint.part("average")
        self.optimizer.restore(checkpoint.part, facts.get("scaler"))
        for average, name in zip(self.average.averages, self.optimizer.names, strict=True):
            average.copy_(averages[name])
        if self.opponent:
            self.opponent.restore(checkpoint)
        self.best, self.began_with = (
            float(figure) if isinstance(figure, int | float) else None
            for figure in (facts.get("best"), facts.get("began_with"))
        )
        self.step, self._seconds_before = checkpoint.step, checkpoint.seconds

    def run(self) -> Outcome:
        """Train until the end or a signal, then write weights and a checkpoint.

        Raises:
            TrainingError: the gradients stay infinite or NaN.
            OutputError: the disk is full.
        """
        self._agreed_seconds = self._seconds_before
        with _signals(self._on_signal), Loader(self.maker, self.step, self.progress) as loader:
            self._start_clocks()
            while not self._finished():
                self._train_step(loader)
                self._after_step()
            self._end()
        return Outcome(self.step, self.seconds, self._signal, self.figures, self.began_with, self.best)

    def _start_clocks(self) -> None:
        now = time.monotonic()
        self._last_checkpoint = self._last_validation = self._last_report = now
        self._started = now if self._begun is None else self._begun
        if self.validation and self._compared and self.step == 0:
            self._validate()
        self._window = LogWindow()

    def _finished(self) -> bool:
        stop, seconds = self.world.largest([float(self._signal or 0), self.seconds + self._ending])
        if stop and not self._signal:
            self._signal = int(stop)
        self._agreed_seconds = seconds
        return bool(self._signal) or self.progress(self.step) >= 1

    def _train_step(self, loader: Loader) -> None:
        recipe, begun = self.recipe, time.monotonic()
        progress = self.progress(self.step)
        batch = loader.next()
        self._window.waited += time.monotonic() - begun
        weight = torch.full((), stage_weight(recipe, self.step, progress), device=self.device)
        if recipe.compile and self.device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        with torch.autocast(
            self.device.type, self.precision, enabled=self.precision != torch.float32, cache_enabled=True
        ):
            losses = stage_losses(self.module, recipe.stage, batch, weight)
        total = self.optimizer.scaled(losses["loss"])
        if self.opponent:
            total = total + self.opponent.optimizer.scaled(losses["discriminator"])
        total.backward()  # type: ignore[no-untyped-call]
        rate = learning_rate(recipe.optimizer, recipe.schedule, self.step, progress)
        losses["gradient_norm"] = self.optimizer.step(rate)
        if self.opponent:
            losses |= self.opponent.step(losses, self.step, progress)
        self.average.update(self.step)
        self.step += 1
        self._window.add(losses, rate)

    def _after_step(self) -> None:
        recipe = self.recipe
        now = time.monotonic()
        if self.step % recipe.report.log_every == 0:
            self._log_step()
        elif self.world.is_first and now - self._last_report > _REPORT_SECONDS:
            self._report(None, self._window.steps / self._window.seconds)
        # Only the first process validates and writes, so its clock decides.
        if not self.world.is_first:
            return
        if self.validation and now - self._last_validation > recipe.validation.every_seconds:
            self._validate()
        if now - self._last_checkpoint > recipe.report.checkpoint_seconds:
            self._save()

    def _log_step(self) -> None:
        means, seconds = self._window.means(), self._window.seconds
        names = sorted(means)
        means = dict(zip(names, self.world.mean([means[name] for name in names]), strict=True))
        self._check_health(means)
        if self.world.is_first:
            line = {
                "step": self.step,
                "seconds": round(self.seconds, 2),
                **means,
                "learning_rate": self._window.rate,
                "steps_per_second": self._window.steps / seconds,
                "data_share": self._window.waited / seconds,
            }
            self.folder.log(line)
            self._report(means["loss"], self._window.steps / seconds)
        self._window = LogWindow()

    def _report(self, loss: float | None, rate: float) -> None:
        self._last_report = time.monotonic()
        self._last_loss = self._last_loss if loss is None else loss
        self.report(StepReport(self.step, self.progress(self.step), self._last_loss, rate))

    def _check_health(self, means: dict[str, float]) -> None:
        guard = self.recipe.guard
        optimizers = [self.optimizer, self.opponent.optimizer] if self.opponent else [self.optimizer]
        bad_steps = max(int(optimizer.bad_steps) for optimizer in optimizers)
        if bad_steps >= guard.bad_steps:
            raise TrainingError(
                f"the gradients were infinite or NaN in the last {bad_steps} steps, up to step {self.step}: "
                "start another run from this run's weights with a lower learning rate or ",
                Parameter("precision", "fp32"),
            )
        variation = means.get("variation")
        if variation is not None and self.step >= guard.stall_after and variation < guard.stall_below:
            _log.warning(
                "STALLED at step %d: the estimated kernels hardly differ between inputs (their variance is "
                "%.4f of the true kernels'). Use the recipe 'robust', or start from trained weights with %s",
                self.step,
                variation,
                Message(Parameter("estimator")),
            )

    def _end(self) -> None:
        if self.step % self.recipe.report.log_every and self._window.steps:
            self._log_step()
        self.world.leave()
        if not self.world.is_first:
            return
        if self.validation and not self._signal:
            self._validate()
        self._save()

    def _validate(self) -> None:
        assert self.validation is not None
        begun = time.monotonic()
        model = Weights(self._averaged(), self.model.config, published=False, sha256="").build()
        figures = self.validation.measure(
            model, self.device, self.precision, lambda: self._signal is not None
        )
        self._last_validation = time.monotonic()
        self._validating = max(self._validating, self._last_validation - begun)
        self._window.pause(self._last_validation - begun)
        if not figures:
            return
        self.figures = figures
        self.folder.log({"step": self.step, "seconds": round(self.seconds, 2), "validation": self.figures})
        kind = stage_kind(self.recipe.stage)
        figure = self.figures.get(kind.judged_by)
        if self.step == 0 and self._compared:
            self.began_with = figure
        elif kind.keeps_best and figure is not None and (self.best is None or figure > self.best):
            self.best = figure
            self._write_weights(best=True)

    def _save(self) -> None:
        begun = time.monotonic()
        self._write_weights(best=False)
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for name, average in zip(self.optimizer.names, self.average.averages, strict=True):
            tensors[f"average.{name}"] = average
        tensors |= self.optimizer.state()
        facts: dict[str, object] = {
            "scaler": self.optimizer.scaler.state_dict(),
            "best": self.best,
            "began_with": self.began_with,
            "data": self.maker.cache.digest,
        }
        if self.opponent:
            tensors |= self.opponent.state()
            facts |= self.opponent.facts()
        self.folder.write_checkpoint(
            Checkpoint(tensors, self.step, self.seconds, facts), self.recipe.report.keep
        )
        self._last_checkpoint = time.monotonic()
        self._saving = max(self._saving, self._last_checkpoint - begun)
        self._window.pause(self._last_checkpoint - begun)

    def _write_weights(self, *, best: bool) -> None:
        path = self.folder.best if best else self.folder.weights
        number_format = self.recipe.report.number_format
        self.folder.write_weights(path, self._averaged(), self.model.config, number_format)

    def _averaged(self) -> dict[str, Tensor]:
        """Return the model's state dict on the CPU, with averages instead of the trained parameters."""
        state: dict[str, Tensor] = dict(self.model.state_dict())
        prefix = stage_kind(self.recipe.stage).learns
        averaged = self.recipe.optimizer.ema > 0
        for name, average, parameter in zip(
            self.optimizer.names, self.average.averages, self.optimizer.parameters, strict=True
        ):
            state[f"{prefix}.{name}"] = average if averaged else parameter.detach()
        return {name: tensor.detach().cpu() for name, tensor in state.items()}

    def _wrapped(self) -> nn.Module:
        module: nn.Module = self.stage
        if self.world.size > 1:
            devices = [self.device] if self.device.type == "cuda" else None
            module = DistributedDataParallel(module, device_ids=devices, broadcast_buffers=False)
        if self.recipe.compile:
            # On CUDA a step is recorded as a graph, so that its kernels need not be launched one by one.
            mode = "reduce-overhead" if self.device.type == "cuda" else None
            module = torch.compile(module, mode=mode)  # type: ignore[assignment]
        return module

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        self._signal = signum


@contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call ``handler`` on a signal, so that the current step can finish."""
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
