"""`manet train` on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from manet_cli.models import BlindConfig, BlindModel, MANetConfig
from manet_cli.training.checkpoints import RunFolder
from manet_cli.training.photos import PhotoCache, open_cache
from manet_cli.training.validation import Validation
from manet_cli.weights import Weights, read_weights, write_weights
from tests.commands.conftest import Manet
from tests.training.conftest import TINY_NETWORK, draw_photo

SMALL = ("--batch-size", "2", "--patch-size", "64", "--iterations", "3", "--precision", "fp32")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos" / "below").mkdir(parents=True)
    draw_photo(0).save(tmp_path / "photos" / "a.png")
    draw_photo(1).save(tmp_path / "photos" / "below" / "b.jpg")
    return tmp_path / "photos"


@pytest.fixture
def estimator(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = BlindModel(BlindConfig(MANetConfig(channels=(16, 32)), None))
    write_weights(Weights(model.state_dict(), model.config, False, ""), tmp_path / "small.safetensors")
    return tmp_path / "small.safetensors"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(TINY_NETWORK, encoding="utf-8")
    return tmp_path / "tiny.toml"


def test_the_stages_one_after_another_make_weights_that_upscale(
    manet: Manet, photos: Path, estimator: Path, tiny: Path, tmp_path: Path
) -> None:
    common = ("--data", photos, *SMALL)
    first = manet("train", "--stage", "manet", *common, "-o", tmp_path / "1", "--estimator", estimator)
    assert (first.code, first.lines) == (0, [str(tmp_path / "1" / "weights.safetensors")])
    kept = ("--estimator", first.lines[0])
    second = manet("train", "--stage", "sr", *common, "-o", tmp_path / "2", "--config", tiny, *kept)
    assert second.code == 0, second.stderr
    more = (*kept, "--restorer", second.lines[0])
    third = manet("train", "--stage", "finetune", *common, "-o", tmp_path / "3", *more)
    assert third.code == 0, third.stderr
    measured = ("--restorer", third.lines[0], "--val", photos / "below")
    fourth = manet("train", "--stage", "crisp", *common, "-o", tmp_path / "4", *kept, *measured)
    assert fourth.code == 0, fourth.stderr
    assert "PSNR-Y" in fourth.stderr
    assert "WORSE" not in fourth.stderr
    assert not (tmp_path / "4" / "best.safetensors").exists()
    parts = [read_weights(Path(outcome.lines[0])) for outcome in (first, second, third, fourth)]
    assert [part.config.restorer is None for part in parts] == [True, False, False, False]
    assert parts[3].tensors.keys() == parts[2].tensors.keys()  # nothing of the discriminator
    for part in parts[1:]:  # the estimator travels with what is trained on its kernels
        same = [
            torch.equal(part.tensors[n], t) for n, t in parts[0].tensors.items() if n.startswith("estimator.")
        ]
        assert same
        assert all(same)
    assert torch.equal(parts[1].tensors["kernel_code.basis"], parts[2].tensors["kernel_code.basis"])
    draw_photo(5, (40, 32)).save(tmp_path / "small.png")
    outcome = manet("upscale", tmp_path / "small.png", "--model", third.lines[0])
    assert outcome.code == 0, outcome.stderr
    with Image.open(outcome.lines[0]) as image:
        assert image.size == (160, 128)


def test_a_restorer_of_another_scale_gives_all_but_its_end(
    manet: Manet, photos: Path, tiny: Path, tmp_path: Path
) -> None:
    common = ("--data", photos, *SMALL, "--iterations", "1")
    assert manet("train", "--stage", "sr", *common, "-o", tmp_path / "4", "--config", tiny).code == 0
    given = tmp_path / "4" / "weights.safetensors"
    outcome = manet("train", "--stage", "sr", "-s", "2", *common, "-o", tmp_path / "2", "--restorer", given)
    assert outcome.code == 0
    assert "restorer.tail.weight is newly initialised" in outcome.stderr
    four, two = (read_weights(tmp_path / name / "weights.safetensors") for name in ("4", "2"))
    assert (two.scale, two.tensors["restorer.tail.weight"].shape[0]) == (2, 12)
    assert not torch.equal(two.tensors["kernel_code.basis"], four.tensors["kernel_code.basis"])
    # After one step at a small learning rate, the blocks are still the given ones.
    name = "restorer.blocks.0.dense.0.convs.0.weight"
    torch.testing.assert_close(two.tensors[name], four.tensors[name], atol=2e-3, rtol=0.05)
    refused = manet(
        "train", "--stage", "manet", "-s", "3", *common, "-o", tmp_path / "3", "--restorer", given
    )
    assert refused.code == 2


def test_a_run_is_resumed_with_the_command_that_began_it(
    manet: Manet, photos: Path, tiny: Path, tmp_path: Path
) -> None:
    command = ("train", "--stage", "sr", "--data", photos, "-o", tmp_path / "run", "--config", tiny, *SMALL)
    assert manet(*command).code == 0
    again = manet(*command)
    assert again.code == 2
    assert "already contains a run: continue it with --resume" in again.stderr
    longer = manet(*command, "--iterations", "5", "--resume", "--json")
    assert longer.code == 0, longer.stderr
    assert longer.json[0]["step"] == 5
    other = manet(*command, "--resume", "--seed", "3")
    assert other.code == 2
    assert "started with seed = 0, but now it is 3" in other.stderr
    draw_photo(9).save(photos / "new.png")
    more = manet(*command, "--resume", "--iterations", "6")
    assert more.code == 2
    assert "the run was started with other photos" in more.stderr
    nothing = manet(*command, "--resume", "-o", tmp_path / "none")
    assert nothing.code == 1
    assert "holds no run to resume" in nothing.stderr


@pytest.mark.parametrize(
    ("stage", "options", "code", "message"),
    [
        ("sr", ["--data", "{missing}"], 1, "is not a folder"),
        ("sr", ["--data", "{empty}"], 1, "holds no pictures"),
        ("sr", ["--data", "{thumbnails}"], 1, "none of the 1 pictures"),
        ("sr", ["--val", "{empty}"], 1, "holds no pictures"),
        ("sr", ["--val", "{broken}"], 1, "no validation photo can be used"),
        ("sr", ["--val", "{photos}"], 1, "holds no pictures except those of --val"),
        ("manet", ["--batch-size", "100000000000"], 1, "does not fit in memory: give a smaller --batch-size"),
        ("stage9", [], 2, "--stage stage9: expected manet, sr, finetune, crisp"),
        ("sr", ["--recipe", "mine"], 2, "--recipe mine: expected robust, paper"),
        ("sr", ["--config", "{missing}"], 1, "cannot be read"),
        ("sr", ["--patch-size", "65"], 2, "multiple of the scale"),
        ("sr", ["--precision", "fp16", "--device", "cpu"], 2, "is for GPUs"),
        ("sr", ["--device", "cuda:7"], 4, "CUDA devices"),
        ("sr", ["--estimator", "{missing}/a.safetensors"], 3, "no such weight file"),
        ("sr", ["--restorer", "{estimator}"], 3, "holds no restorer"),
        ("finetune", [], 2, "give --estimator"),
        ("finetune", ["--estimator", "{estimator}"], 2, "give --restorer"),
        ("crisp", ["--estimator", "{estimator}"], 2, "stage crisp needs a trained restorer"),
        ("crisp", ["--recipe", "paper"], 2, "--recipe paper has no stage crisp"),
        ("sr", ["-o", "{broken}/a.png"], 1, "a file is in the way"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    manet: Manet,
    photos: Path,
    estimator: Path,
    tiny: Path,
    tmp_path: Path,
    stage: str,
    options: list[str],
    code: int,
    message: str,
) -> None:
    folders = {name: tmp_path / name for name in ("missing", "empty", "thumbnails", "broken")}
    for name in ("empty", "thumbnails", "broken"):
        folders[name].mkdir()
    draw_photo(3, (30, 30)).save(folders["thumbnails"] / "a.png")
    (folders["broken"] / "a.png").write_bytes(b"no picture")
    given = [option.format(**folders, photos=photos, estimator=estimator) for option in options]
    base = ["--data", photos, "-o", tmp_path / "run", "--config", tiny, *SMALL]
    outcome = manet("train", "--stage", stage, *base, *given)
    assert outcome.code == code, outcome.stderr
    last = outcome.stderr.strip().splitlines()[-1]
    assert last.startswith("manet: ")
    assert message in last
    assert not (tmp_path / "run" / "config.toml").exists()


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        ("finetune", []),
        ("finetune", ["--estimator", "{estimator}"]),
        ("finetune", ["--estimator", "{estimator}", "--restorer", "{estimator}"]),
        ("crisp", ["--estimator", "{estimator}"]),
        ("manet", ["--restorer", "{missing}.pth"]),
        ("sr", ["--restorer", "{estimator}"]),
        ("sr", ["--precision", "fp16", "--device", "cpu"]),
        ("sr", ["--device", "cuda:99"]),
        ("sr", ["--val", "{broken}"]),
    ],
)
def test_wrong_combinations_are_said_before_photos_are_decoded(
    manet: Manet,
    photos: Path,
    estimator: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    options: list[str],
) -> None:
    decoded: list[object] = []
    monkeypatch.setattr("manet_cli.training.run.open_cache", lambda *given, **more: decoded.append(given))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no picture")
    places = {name: tmp_path / name for name in ("missing", "broken")}
    given = [option.format(**places, estimator=estimator) for option in options]
    outcome = manet("train", "--stage", stage, "--data", photos, "-o", tmp_path / "run", *SMALL, *given)
    assert outcome.code in (1, 2, 3, 4)
    assert outcome.stderr.splitlines()[-1].startswith("manet: ")
    assert not decoded
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("figures", "said"), [((40.0, 39.0), True), ((39.0, 40.0), False)])
def test_weights_that_became_worse_are_said_to(
    manet: Manet,
    photos: Path,
    estimator: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    figures: tuple[float, float],
    said: bool,
) -> None:
    measured = iter(figures)
    monkeypatch.setattr(Validation, "measure", lambda *given: {"kernel_psnr": next(measured)})
    run = tmp_path / "run"
    options = ("--data", photos, "--val", photos / "below", "-o", run, *SMALL, "--estimator", estimator)
    outcome = manet("train", "--stage", "manet", *options)
    assert (outcome.code, outcome.lines) == (0, [str(run / "weights.safetensors")])
    last = outcome.stderr.splitlines()[-1]
    assert last.startswith(f"{run / 'weights.safetensors'}: 3 steps in ")
    assert f"kernel PSNR {figures[1]:.2f} dB in validation" in last
    assert f"{figures[0]:.2f} dB" in last
    assert ("WORSE than" in last) is said
    logged = [line["validation"] for line in RunFolder(run).read_log() if "validation" in line]
    assert logged == [{"kernel_psnr": figure} for figure in figures]


def test_the_last_line_without_validation(manet: Manet, photos: Path, tiny: Path, tmp_path: Path) -> None:
    command = ("train", "--stage", "sr", "--data", photos, "--config", tiny, *SMALL)
    last = manet(*command, "-o", tmp_path / "run").stderr.splitlines()[-1]
    assert "weights.safetensors: 3 steps in " in last
    assert "measure on photos with --val" in last
    assert manet(*command, "-o", tmp_path / "quiet", "-q").stderr == ""


def test_the_time_that_a_user_waits_counts(
    manet: Manet, photos: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*given: Any, **more: Any) -> PhotoCache:  # noqa: ANN401 - handed on
        time.sleep(3.1)
        return open_cache(*given, **more)

    monkeypatch.setattr("manet_cli.training.run.open_cache", slow)
    command = ("train", "--stage", "sr", "--data", photos, "-o", tmp_path / "run", "--config", tiny, *SMALL)
    outcome = manet(*command, "--iterations", "1000000", "--max-minutes", "0.05", "--json")
    assert outcome.code == 0
    assert outcome.json[0]["step"] == 0
    assert outcome.json[0]["seconds"] >= 3
    assert "all time was spent on preparing" in outcome.stderr
    assert (tmp_path / "run" / "weights.safetensors").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_ends_the_process(photos: Path, tiny: Path, tmp_path: Path, number: int) -> None:
    folder = tmp_path / "run"
    toml = tiny.read_text(encoding="utf-8") + "[report]\nlog_every = 1\n"
    tiny.write_text(toml, encoding="utf-8")
    command = [sys.executable, "-m", "manet_cli", "train", "--stage", "sr", "--data", photos, "-o", folder]
    shape = ["--config", tiny, *SMALL[:-4], "--precision", "fp32", "--iterations", "1000000"]
    with subprocess.Popen(
        [*map(str, command), *map(str, shape)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        deadline = time.monotonic() + 60
        while not RunFolder(folder).read_log() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(run.pid, number)
        _, err = run.communicate(timeout=60)
    assert run.returncode == 128 + number
    assert "interrupted at step" in err
    assert "Traceback" not in err
    checkpoint = RunFolder(folder).newest_checkpoint()
    assert checkpoint is not None
    assert checkpoint.step == RunFolder(folder).read_log()[-1]["step"]
    assert read_weights(folder / "weights.safetensors").scale == 4


def test_a_full_disk_is_one_sentence(photos: Path, tiny: Path, tmp_path: Path) -> None:
    """A limit on file sizes simulates the disk: the decoded photos fit, the checkpoint does not."""
    folder = tmp_path / "run"
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, 250_000))\n"
        "from manet_cli.cli import main\n"
        "sys.argv[0] = 'manet'\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, "train", "--stage", "sr", "--data", photos, "-o", folder]
    shape = ["--config", tiny, *SMALL]
    done = subprocess.run(
        [*map(str, command), *map(str, shape)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "free some space" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in folder.rglob("*") if path.name.endswith(".manet-tmp")]


def test_json_tells_how_the_run_ended(manet: Manet, photos: Path, tiny: Path, tmp_path: Path) -> None:
    toml = tiny.read_text(encoding="utf-8") + "[validation]\nprotocol = '5,1,0'\ncrop = 64\nlimit = 1\n"
    tiny.write_text(toml, encoding="utf-8")
    options = (
        "--stage",
        "sr",
        "--data",
        photos,
        "--val",
        photos / "below",
        "-o",
        tmp_path / "run",
        "--config",
        tiny,
    )
    (line,) = manet("train", *options, *SMALL, "--json", "-q").json
    assert line["status"] == "done"
    assert line["step"] == 3
    assert set(line["validation"]) == {"nonblind_psnr_y"}
    assert json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])["validation"]
    # Validation photos are not trained on, although they are below the training folder.
    index = json.loads((tmp_path / "run" / "cache" / "photos.json").read_text())
    assert [photo[0] for photo in index["photos"]] == ["a.png"]


def test_a_second_signal_leaves_the_last_checkpoint(photos: Path, tiny: Path, tmp_path: Path) -> None:
    """The second signal comes while the first one's checkpoint is written, which hangs here."""
    folder = tmp_path / "run"
    toml = tiny.read_text(encoding="utf-8") + "[report]\nlog_every = 1\ncheckpoint_seconds = 0.0\n"
    tiny.write_text(toml, encoding="utf-8")
    script = (
        "import sys, time\n"
        "from manet_cli import cli\n"
        "from manet_cli.atomic import atomic_path\n"
        "from manet_cli.training import checkpoints\n"
        "from manet_cli.training.loop import Trainer\n"
        "write = checkpoints.RunFolder.write_checkpoint\n"
        "signalled = Trainer._on_signal\n"
        "def hang(self, checkpoint, keep):\n"
        "    path = self.checkpoints / f'step_{checkpoint.step + 1:08d}.safetensors'\n"
        "    with atomic_path(path) as temporary:\n"
        "        temporary.write_bytes(b'half')\n"
        "        print('hangs', flush=True)\n"
        "        while True:\n"
        "            time.sleep(1)\n"
        "def first(self, *a):\n"
        "    checkpoints.RunFolder.write_checkpoint = hang\n"
        "    signalled(self, *a)\n"
        "Trainer._on_signal = first\n"
        "sys.argv[0] = 'manet'\n"
        "cli.run()\n"
    )
    command = [sys.executable, "-c", script, "train", "--stage", "sr", "--data", photos, "-o", folder]
    shape = ["--config", tiny, *SMALL[:-4], "--precision", "fp32", "--iterations", "1000000", "-q"]
    with subprocess.Popen([*map(str, command), *map(str, shape)], stdout=subprocess.PIPE) as run:
        deadline = time.monotonic() + 120
        while not list(folder.glob("checkpoints/step_*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        assert run.stdout is not None
        assert run.stdout.readline() == b"hangs\n"
        time.sleep(0.5)
        run.send_signal(signal.SIGINT)
        try:
            assert run.wait(120) == 130
        finally:
            run.kill()
    assert not [path for path in folder.rglob("*") if path.name.endswith(".manet-tmp")]
    checkpoint = RunFolder(folder).newest_checkpoint()
    assert checkpoint is not None
    assert checkpoint.step >= 1
