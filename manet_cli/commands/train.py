"""``manet train``: the estimator, the restorer, and both together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from manet_cli.commands import options as shared
from manet_cli.commands.help import FILES, SCRIPTS, SPEED, TRAINING

__all__ = ["train"]


def train(
    stage: Annotated[
        str,
        typer.Option(
            "--stage",
            metavar="manet|sr|finetune|crisp",
            help="manet: the kernel estimator. sr: the restorer, with the true kernels. "
            "finetune: the restorer, with the estimator's kernels. crisp: the restorer, for sharp textures.",
            rich_help_panel=TRAINING,
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="DIR", help="Folder of photos, with its subfolders.", rich_help_panel=FILES
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="RUN_DIR",
            help="Folder of the run; made if missing.",
            rich_help_panel=FILES,
        ),
    ],
    scale: shared.Scale = None,
    val: Annotated[
        Path | None,
        typer.Option(
            "--val",
            metavar="DIR",
            help="Photos for validation, never trained on.",
            rich_help_panel=FILES,
        ),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe",
            metavar="NAME",
            help="robust; camera: with noise, sharpening and JPEG too; paper: exactly as in the supplement.",
            rich_help_panel=TRAINING,
        ),
    ] = "robust",
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE.toml",
            help="Keys that override the recipe. Options override both.",
            rich_help_panel=FILES,
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option("--iterations", metavar="N", min=1, help="Number of steps.", rich_help_panel=TRAINING),
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            "--max-minutes",
            metavar="M",
            min=0,
            help="End after this time at the latest, decoding and validation included.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            metavar="N",
            min=1,
            help="Patches per step, over all processes.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    patch_size: Annotated[
        int | None,
        typer.Option(
            "--patch-size", min=16, metavar="HR_PIXELS", help="Side of a patch.", rich_help_panel=TRAINING
        ),
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(
            "--estimator",
            metavar="WEIGHTS",
            help="Start from the estimator of this family or file.",
            rich_help_panel=FILES,
        ),
    ] = None,
    restorer: Annotated[
        str | None,
        typer.Option(
            "--restorer",
            metavar="WEIGHTS",
            help="Start from the restorer of this family or file.",
            rich_help_panel=FILES,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in RUN_DIR.", rich_help_panel=FILES)
    ] = False,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="NAME",
            envvar="MANET_DEVICE",
            help="auto, cpu, cuda, cuda:N or mps.",
            rich_help_panel=SPEED,
        ),
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="NAME",
            envvar="MANET_PRECISION",
            help="auto, fp32, bf16 or fp16.",
            rich_help_panel=SPEED,
        ),
    ] = "auto",
    compile_step: Annotated[
        bool | None,
        typer.Option(
            "--compile",
            help="Compile the step; on CUDA as a graph.",
            show_default=False,
            rich_help_panel=SPEED,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", min=0, help="Random seed.", rich_help_panel=TRAINING),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            metavar="DIR",
            help="Folder of the decoded photos. (default: RUN_DIR/cache)",
            rich_help_panel=FILES,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the outcome of the run as JSON.", rich_help_panel=SCRIPTS)
    ] = False,
    quiet: shared.Quiet = False,
) -> None:
    """Train the networks on a folder of photos.

    Writes RUN_DIR/weights.safetensors (for --model), checkpoints/,
    metrics.jsonl and config.toml. Ctrl-C saves; --resume continues. On
    several GPUs: torchrun --nproc-per-node N -m manet_cli train ...
    """
    from manet_cli.console import Reporter
    from manet_cli.inference.torchrun import this_process
    from manet_cli.jobs.train import TrainRequest, plan_training
    from manet_cli.training import Start

    first = this_process().rank == 0
    reporter = Reporter(as_json=as_json, quiet=quiet or not first)
    job = plan_training(
        TrainRequest(
            stage,
            data,
            output,
            scale,
            recipe=recipe,
            config=config,
            options={
                "iterations": iterations,
                "max_minutes": max_minutes,
                "batch_size": batch_size,
                "patch_size": patch_size,
                "precision": precision,
                "compile": compile_step,
                "seed": seed,
            },
            start=Start(estimator, restorer, resume),
            validation=val,
            cache=cache,
            device=device,
        )
    )
    with reporter.training(job.recipe.iterations) as (decoding, report):
        result = job.run(decoding=decoding, report=report)
    if first:
        reporter.message(result.message())
        reporter.result(result.fields(), [str(result.weights)])
    if result.outcome.signal:
        reporter.message(
            f"interrupted at step {result.outcome.step}; the run is saved: add --resume to continue it"
        )
        raise typer.Exit(128 + result.outcome.signal)
