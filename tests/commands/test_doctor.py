"""`manet doctor`: its findings are true, and problems are reported."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from manet_cli.errors import DeviceError
from manet_cli.inference import Engine, all_devices, choose_precision
from manet_cli.inference.networks import Networks
from manet_cli.jobs import speed
from manet_cli.jobs.doctor import installation, job
from manet_cli.jobs.doctor import probes as tests_of_devices
from manet_cli.jobs.doctor.findings import Device, Examination, Probe
from manet_cli.models import BlindModel
from manet_cli.weights import find_entry, load_weights
from manet_cli.weights.manifest import Entry
from tests.commands.conftest import Manet, Outcome
from tests.toys.shadow import SHADOW, Shadow

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Believe the speed of the smallest picture, and try PyTorch's devices alone."""
    monkeypatch.setattr(speed, "_SECONDS", 0.0)
    monkeypatch.setattr("manet_cli.inference.device.RUNTIMES", [])


def probes(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {probe["precision"]: probe for probe in found["devices"][0]["probes"]}


def object_of(outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


def test_what_works(manet: Manet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy")
    monkeypatch.setenv("MANET_TILE", "64")
    monkeypatch.setattr("manet_cli.inference.device.RUNTIMES", [SHADOW])
    outcome = manet("doctor", "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert "secret" not in outcome.stdout
    found = object_of(outcome)
    assert found["versions"]["torch"] == torch.__version__
    cpu = found["devices"][0]
    assert (cpu["device"], cpu["threads"]) == ("cpu", torch.get_num_threads())
    assert 0 < cpu["memory_free"] <= cpu["memory_total"]
    tried = probes(found)
    assert tried["fp32"]["error"] is None
    assert tried["bf16"]["error"] is None
    assert 0 < tried["bf16"]["difference"] < 12, "another number format is another result"
    assert "GPUs" in tried["fp16"]["error"]
    toy = found["devices"][1]
    assert (toy["device"], toy["name"], toy["threads"]) == ("shadow", "Toy", torch.get_num_threads())
    assert [probe["error"] for probe in toy["probes"][:3]] == [None, *["a shadow computes in fp32"] * 2]
    assert "int8" not in tried
    assert toy["probes"][0]["difference"] == 0
    chosen = torch.device(found["auto"]["device"])
    assert str(choose_precision(chosen)).removeprefix("torch.") in ("float32", "bfloat16", "float16")
    assert found["estimates"][0]["model"] == "default"
    low, high = found["estimates"][0]["seconds_range"]
    assert 0 < low <= found["estimates"][0]["seconds"] <= high
    assert tried[found["auto"]["precision"]]["photo_seconds"] == [low, high], "the figures agree"
    assert found["weights"]["clean_x4"] == "shipped"
    assert found["cache"]["folder"] == str(tmp_path / "manet" / "weights")
    assert found["cache"]["writable"] is True
    assert found["settings"]["MANET_TILE"] == "64"
    assert found["settings"]["HF_TOKEN"] == "(set)"
    assert not list(tmp_path.iterdir()), "it changes nothing"
    lines = manet("doctor").lines
    assert any(line.split()[:3] == ["cpu", "fp32", "works"] for line in lines)
    assert any("GPUs" in line and "precision=" not in line for line in lines)
    assert any(line.startswith("a photo of 4000x3000 takes about ") for line in lines)


def test_the_chosen_device_is_compared_with_the_others() -> None:
    times = {"cpu": (2.0, 4.0), "slow": (3.0, 3.5), "fast": (1.0, 2.0)}
    found = Examination(
        devices=[
            Device(name, name, 1, 1, None, 1, (Probe("bf16", difference=2.25, photo_seconds=seconds),))
            for name, seconds in times.items()
        ]
    )
    assert job._comparisons(found, "cpu", "bf16") == ["--device fast was faster: 0.50 of the time of cpu"]
    assert job._comparisons(found, "fast", "bf16") == [
        "fast took 0.50 of the time of --device cpu",
        "largest pixel error, of 255: fast 2.2, cpu 2.2",
    ]


def test_an_optional_device_that_fails_is_left_out(manet: Manet, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Shadow):
        optional = True

        def networks(self, model: BlindModel, precision: torch.dtype) -> Networks:
            raise DeviceError("it is broken")

    runtime = dataclasses.replace(SHADOW, devices=lambda: [Broken()], auto=Broken)
    monkeypatch.setattr("manet_cli.inference.device.RUNTIMES", [runtime])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    outcome = manet("doctor", "--json")
    found = object_of(outcome)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert (found["auto"]["device"], found["auto"]["precision"]) == ("cpu", "fp32")
    assert found["auto"]["reason"].startswith("shadow does not work, so PyTorch goes on")


def test_an_input_of_the_size_told_fits(manet: Manet) -> None:
    """The largest input without tiles takes half of the free memory, by the engine's estimate."""
    cpu = object_of(manet("doctor", "--json"))["devices"][0]
    weights, _ = load_weights()
    engine = Engine(weights.build(), torch.device("cpu"), tile=0)
    side = cpu["largest_untiled"]
    assert engine.working_memory(side, side, 1) <= cpu["memory_free"] / 2
    assert engine.working_memory(side + 1, side + 1, 1) > cpu["memory_free"] / 2


def test_nothing_works(manet: Manet, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> object:
        raise RuntimeError("CUDA error: no kernel image is available\nmore")

    monkeypatch.setattr(Engine, "restore", broken)
    outcome = manet("doctor", "--json")
    assert outcome.code == 4
    found = object_of(outcome)
    assert probes(found)["fp32"]["error"] == "CUDA error: no kernel image is available"
    assert (found["auto"], found["estimates"], found["exit_code"]) == ({}, [], 4)
    assert outcome.stderr.startswith("manet: the networks work on no device")
    assert manet("doctor").code == 4


def test_a_format_that_computes_nonsense(manet: Manet, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tests_of_devices._run

    def wrong(engine: Engine, side: int) -> torch.Tensor:
        half = engine.restorer.get_parameter("trunk.weight").dtype == torch.bfloat16
        return real(engine, side) + (0.5 if half else 0.0)

    monkeypatch.setattr(tests_of_devices, "_run", wrong)
    monkeypatch.setattr(
        job,
        "choose_precision",
        lambda device, name="auto": torch.bfloat16 if name == "auto" else choose_precision(device, name),
    )
    outcome = manet("doctor", "--json")
    found = object_of(outcome)
    assert probes(found)["bf16"]["error"].startswith("its result is wrong: off by 12")
    assert probes(found)["fp32"]["error"] is None
    assert (outcome.code, found["estimates"]) == (0, [])
    assert "auto would choose bf16 on cpu, which does not work: give --precision fp32" in outcome.stderr


def test_damaged_weights(manet: Manet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    path = find_entry("default").path
    assert path is not None
    damaged.write_bytes(path.read_bytes()[:-1])
    monkeypatch.setattr(Entry, "path", damaged)
    monkeypatch.setattr(tests_of_devices, "_FULL_SIZE", load_weights(str(path))[0].config)
    outcome = manet("doctor", "--json")
    assert outcome.code == 3
    assert "install manet-cli again" in outcome.stderr
    found = object_of(outcome)
    assert probes(found)["fp32"]["error"] is None, "the device is tried all the same"
    assert found["estimates"] == []


def test_a_driver_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> bool:
        warnings.warn("The NVIDIA driver on your system is too old\nUpdate it", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", unavailable)
    devices, problems = all_devices()
    assert devices[0] == torch.device("cpu")
    assert problems == ["PyTorch about CUDA: The NVIDIA driver on your system is too old"]


def test_a_broken_gpu(manet: Manet, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch reports the device, but every operation on it fails."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.version, "cuda", "13.0")

    def broken(*_: object, **__: object) -> object:
        raise RuntimeError("CUDA driver error: unknown error")

    monkeypatch.setattr(torch.cuda, "mem_get_info", broken)
    outcome = manet("doctor", "--json")
    found = object_of(outcome)
    cpu, gpu = found["devices"]
    assert (cpu["device"], gpu["device"], gpu["memory_free"]) == ("cpu", "cuda:0", 0)
    assert all(tried["error"] for tried in gpu["probes"])
    assert probes(found)["fp32"]["error"] is None
    assert (found["auto"]["device"], found["auto"]["precision"]) == ("cuda:0", "bf16")
    assert "compute capability 9.0, multiplies bfloat16" in found["auto"]["reason"]
    assert (outcome.code, found["estimates"]) == (0, [])
    assert "auto would choose bf16 on cuda:0, which does not work: give --device cpu" in outcome.stderr
    assert any(line.startswith("cuda:0: unknown") for line in manet("doctor").lines)


def test_extras_are_those_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    requirements = ["torch>=2"] + [
        f"{text}; extra == '{name}'" for name, texts in extras.items() for text in texts
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: requirements)
    found = Examination()
    installation.look_at_software(found)
    assert set(found.extras) == set(extras) - {"dev"}
    assert set(found.extras["study"]) == {"matplotlib", "scikit-learn"}
    assert found.extras["study"]["matplotlib"] == importlib.metadata.version("matplotlib")
