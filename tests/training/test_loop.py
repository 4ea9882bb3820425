"""The loop: resumed runs are equal, signals save a checkpoint, and failing runs are reported."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch._inductor.exc import InductorError

from manet_cli.errors import OutOfMemoryError, OutputError, TrainingError, UsageError
from manet_cli.evaluation.measuring import Figures, measure
from manet_cli.models import BlindConfig, BlindModel, MANetConfig
from manet_cli.training import loop as module
from manet_cli.training.batches import BatchMaker
from manet_cli.training.checkpoints import RunFolder, check_same_run
from manet_cli.training.loading import Loader
from manet_cli.training.loop import StepReport, Trainer
from manet_cli.training.optimization import MovingAverage
from manet_cli.training.photos import PhotoCache
from manet_cli.training.recipe import Recipe
from manet_cli.training.run import _restored_model
from manet_cli.training.stage_kinds import STAGES
from manet_cli.training.stages import new_discriminator, stage_losses
from manet_cli.training.torch_errors import explained
from manet_cli.training.validation import Validation
from manet_cli.weights import read_weights
from tests.training.runs import make_trainer, small_model

EVERY_STEP = "[report]\nlog_every = 1\ncheckpoint_seconds = 1000\n"
NOT_COMPARED = ("seconds", "steps_per_second", "data_share")


def comparable(folder: Path) -> list[dict[str, object]]:
    """Return the lines of a run's log without times."""
    lines = RunFolder(folder).read_log()
    return [{key: value for key, value in line.items() if key not in NOT_COMPARED} for line in lines]


def resumed(recipe: Recipe, cache: PhotoCache, folder: Path) -> Trainer:
    discriminator = new_discriminator(recipe)
    checkpoint = RunFolder(folder).newest_checkpoint(discriminator.state_dict() if discriminator else {})
    assert checkpoint is not None
    return make_trainer(recipe, cache, folder, model=_restored_model(checkpoint), checkpoint=checkpoint)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_resumed_run_is_the_uninterrupted_run(
    stage: str, precision: str, cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    toml = EVERY_STEP + "[discriminator]\nbound = 0.5\n"  # a new one is held back now and then
    recipe = make_recipe(stage, toml, iterations=7, precision=precision, batch_size=2)
    make_trainer(recipe, cache, tmp_path / "whole").run()

    def stop(report: StepReport) -> None:
        if report.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    outcome = make_trainer(recipe, cache, tmp_path / "parts", report=stop).run()
    assert (outcome.step, outcome.signal) == (3, signal.SIGTERM)
    # Steps that a killed process logged after its last checkpoint are done again.
    RunFolder(tmp_path / "parts").log({"step": 4, "loss": 1.0})
    outcome = resumed(recipe, cache, tmp_path / "parts").run()
    assert (outcome.step, outcome.signal) == (7, None)
    assert comparable(tmp_path / "parts") == comparable(tmp_path / "whole")
    whole, parts = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_a_finished_run_can_be_made_longer_and_only_that(
    cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = make_recipe("sr", EVERY_STEP, iterations=2)
    make_trainer(recipe, cache, tmp_path / "run").run()
    assert resumed(recipe, cache, tmp_path / "run").run().step == 2
    longer = make_recipe("sr", EVERY_STEP, iterations=4, max_minutes=60.0)
    check_same_run(recipe, longer)
    assert resumed(longer, cache, tmp_path / "run").run().step == 4
    with pytest.raises(UsageError, match="started with batch_size = 4, but now it is 8"):
        check_same_run(recipe, make_recipe("sr", EVERY_STEP, batch_size=8))


def test_a_time_budget_ends_the_run_and_its_schedule(
    cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    train_step = Trainer._train_step

    def timed(self: Trainer, loader: Loader) -> None:
        train_step(self, loader)
        now[0] += 6.0

    monkeypatch.setattr(Trainer, "_train_step", timed)
    recipe = make_recipe("sr", EVERY_STEP + "[schedule]\nwarmup = 0\n", iterations=10_000, max_minutes=1.0)
    outcome = make_trainer(recipe, cache, tmp_path / "run").run()
    assert outcome.step == 10
    rates = [float(str(line["learning_rate"])) for line in RunFolder(tmp_path / "run").read_log()]
    assert rates[0] == recipe.optimizer.learning_rate
    assert rates[5] == pytest.approx(rates[0] / 2)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.03 * rates[0]


def test_the_average_is_what_is_written(
    cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    toml = EVERY_STEP + "[optimizer]\nema = 0.9\nlearning_rate = 1e-2\n[report]\nnumber_format = 'float32'\n"
    toml = toml.replace("[report]\nlog_every = 1\n", "", 1).replace("checkpoint_seconds = 1000\n", "", 1)
    trainer = make_trainer(make_recipe("sr", toml), cache, tmp_path / "run")
    trainer.run()
    written = read_weights(tmp_path / "run" / "weights.safetensors").tensors["restorer.trunk.weight"]
    assert trainer.model.restorer is not None
    names = [name for name, _ in trainer.network.named_parameters()]
    assert torch.equal(written, trainer.average.averages[names.index("trunk.weight")])
    assert not torch.equal(written, trainer.model.restorer.get_parameter("trunk.weight"))


def test_the_moving_average_forgets_the_first_weights_soon() -> None:
    parameter = torch.nn.Parameter(torch.full((3,), 100.0))
    average = MovingAverage([parameter], 0.999)
    with torch.no_grad():
        parameter.fill_(1.0)
    for step in range(100):
        average.update(step)
    assert float(average.averages[0].max()) == pytest.approx(1.0, abs=0.01)


def test_weights_and_checkpoints_are_kept_as_promised(
    cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    toml = "[report]\nlog_every = 2\ncheckpoint_seconds = 0\nkeep = 3\n"
    make_trainer(make_recipe("manet", toml, iterations=6), cache, tmp_path / "run").run()
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == [f"step_{step:08d}.safetensors" for step in (4, 5, 6)]
    weights = read_weights(tmp_path / "run" / "weights.safetensors")
    assert {str(t.dtype) for n, t in weights.tensors.items() if n.startswith("estimator.")} == {
        "torch.float16"
    }
    assert weights.tensors["kernel_code.basis"].dtype == torch.float32
    assert weights.config.estimator == MANetConfig(channels=(16, 32))


def test_a_damaged_checkpoint_is_passed_over(
    cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    toml = "[report]\ncheckpoint_seconds = 0\n"
    make_trainer(make_recipe("sr", toml, iterations=3), cache, tmp_path / "run").run()
    newest = tmp_path / "run" / "checkpoints" / "step_00000003.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING):
        checkpoint = RunFolder(tmp_path / "run").newest_checkpoint()
    assert checkpoint is not None
    assert checkpoint.step == 2
    assert "damaged and skipped" in caplog.text


def test_gradients_that_are_not_finite_are_left_out_and_then_end_the_run(
    cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = stage_losses
    sick = [False]

    def sometimes_sick(*arguments: object) -> dict[str, torch.Tensor]:
        result = losses(*arguments)  # type: ignore[arg-type]
        return {**result, "loss": result["loss"] * torch.nan} if sick[0] else result

    monkeypatch.setattr(module, "stage_losses", sometimes_sick)
    toml = EVERY_STEP + "[guard]\nbad_steps = 3\n"
    trainer = make_trainer(make_recipe("sr", toml, iterations=20), cache, tmp_path / "run")
    before = [parameter.detach().clone() for parameter in trainer.optimizer.parameters]

    def fall_ill(report: StepReport) -> None:
        sick[0] = report.step in (2, 3) or report.step >= 6

    trainer.report = fall_ill
    with pytest.raises(TrainingError, match="infinite or NaN in the last 3 steps"):
        trainer.run()
    assert trainer.step == 9
    for parameter, first in zip(trainer.optimizer.parameters, before, strict=True):
        assert torch.isfinite(parameter).all()
        assert not torch.equal(parameter, first)


def test_an_estimator_that_stalls_is_reported_loudly(
    cache: PhotoCache,
    make_recipe: Callable[..., Recipe],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    toml = EVERY_STEP + "[guard]\nstall_after = 4\n[optimizer]\nlearning_rate = 1e-6\n"
    model = small_model()
    assert model.estimator is not None
    torch.nn.init.zeros_(model.estimator.tail.weight)
    with caplog.at_level(logging.WARNING):
        make_trainer(make_recipe("manet", toml, iterations=4), cache, tmp_path / "run", model=model).run()
    assert "STALLED at step 4" in caplog.text
    assert "STALLED at step 3" not in caplog.text


def test_validation_measures_the_average_by_the_published_protocol(
    cache: PhotoCache, photos: Path, make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    toml = EVERY_STEP + "[validation]\nprotocol = '9,1,0'\ncrop = 64\nevery_seconds = 0\n"
    recipe = make_recipe("finetune", toml, iterations=3)
    validation = Validation([photos / "a.png", photos / "none.png"], recipe.validation, 4)
    outcome = make_trainer(recipe, cache, tmp_path / "run", validation=validation).run()
    measured = [line["validation"] for line in RunFolder(tmp_path / "run").read_log() if "validation" in line]
    assert len(measured) == 4
    assert outcome.figures == measured[-1]
    assert {"psnr_y", "kernel_psnr", "lr_psnr", "nonblind_psnr_y"} <= set(outcome.figures)
    best = read_weights(tmp_path / "run" / "best.safetensors")
    assert best.config == read_weights(tmp_path / "run" / "weights.safetensors").config
    model = read_weights(tmp_path / "run" / "weights.safetensors").build()
    again = validation.measure(model, torch.device("cpu"), torch.float32)
    assert again["psnr_y"] == pytest.approx(outcome.figures["psnr_y"], abs=0.05)


def test_errors_of_the_device_and_the_disk_are_sentences(
    cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_trainer(make_recipe("sr", iterations=1), cache, tmp_path / "whole").run()

    def too_large(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(module, "stage_losses", too_large)
    with pytest.raises(OutOfMemoryError, match="smaller batch_size"), explained():
        make_trainer(make_recipe("sr"), cache, tmp_path / "run").run()
    assert threading.active_count() == 1

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    folder = RunFolder(tmp_path / "whole")
    kept = folder.newest_checkpoint()
    assert kept is not None
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"step 2 cannot be written.*No space left on device.*is kept"):
        folder.write_checkpoint(dataclasses.replace(kept, step=2), keep=2)
    found = folder.newest_checkpoint()
    assert found is not None
    assert found.step == 1
    assert [path.name for path in folder.checkpoints.iterdir()] == ["step_00000001.safetensors"]


def test_a_failure_while_cutting_crops_is_not_waited_for(
    cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: BatchMaker, draws: object) -> torch.Tensor:
        raise OutputError("the photos are gone")

    monkeypatch.setattr(BatchMaker, "crops", broken)
    with pytest.raises(OutputError, match="the photos are gone"):
        make_trainer(make_recipe("sr"), cache, tmp_path / "run").run()


def test_metrics_are_json_lines(
    cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    model = BlindModel(BlindConfig(MANetConfig(channels=(16, 32)), None))
    make_trainer(make_recipe("manet", EVERY_STEP), cache, tmp_path / "run", model=model).run()
    lines = [json.loads(text) for text in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 9))
    names = {"loss", "l1", "divergence", "variation", "gradient_norm", "learning_rate", "steps_per_second"}
    assert all(names | {"seconds", "data_share"} <= set(line) for line in lines)
    assert safetensors.torch.load_file(tmp_path / "run" / "weights.safetensors")


def test_a_figure_that_is_not_finite_is_null_in_the_metrics(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.log({"step": 1, "gradient_norm": float("inf"), "loss": float("nan"), "rate": 0.5})
    (line,) = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {"step": 1, "gradient_norm": None, "loss": None, "rate": 0.5}


def test_only_one_process_trains_in_a_folder(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path).prepared(),
        pytest.raises(OutputError, match="another process is at work in"),
        RunFolder(tmp_path).prepared(),
    ):
        raise AssertionError
    with RunFolder(tmp_path).prepared():  # free again
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_a_signal_does_not_wait_for_the_whole_validation(
    cache: PhotoCache,
    photos: Path,
    make_recipe: Callable[..., Recipe],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = make_recipe("sr", "[validation]\nprotocol = 'grid'\ncrop = 64\n", iterations=2)
    validation = Validation([photos / "a.png"], recipe.validation, 4)
    measured = []

    def interrupted(*arguments: object, **options: object) -> Figures:
        measured.append(1)
        if len(measured) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return measure(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("manet_cli.training.validation.measure", interrupted)
    outcome = make_trainer(recipe, cache, tmp_path / "run", validation=validation).run()
    assert (outcome.step, outcome.signal, outcome.figures) == (2, signal.SIGTERM, {})
    assert len(measured) == 3
    assert not (tmp_path / "run" / "best.safetensors").exists()
    finished = resumed(recipe, cache, tmp_path / "run")
    finished.validation = validation
    assert "nonblind_psnr_y" in finished.run().figures


def test_a_step_that_cannot_be_compiled_is_one_sentence(
    cache: PhotoCache, make_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def uncompilable(module: torch.nn.Module, **options: object) -> Callable[..., None]:
        def fail(*arguments: object) -> None:
            raise InductorError(RuntimeError("no compiler\nlong listing"), None)

        return fail

    monkeypatch.setattr(torch, "compile", uncompilable)
    expected = r"cannot compile the step.*leave compile out"
    with pytest.raises(TrainingError, match=expected) as caught, explained():
        make_trainer(make_recipe("sr", compile=True), cache, tmp_path / "run").run()
    assert "long listing" not in str(caught.value)
