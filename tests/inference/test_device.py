"""Device and number format."""

import pytest
import torch

from manet_cli.errors import DeviceError, UsageError
from manet_cli.inference import choose_device, choose_devices, choose_precision
from manet_cli.inference.torch_device import exact_convolutions

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def with_cuda(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_auto_takes_the_best_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    without_gpus(monkeypatch)
    monkeypatch.setattr("manet_cli.inference.device.RUNTIMES", [])
    assert choose_device() == choose_device("cpu") == CPU
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device() == choose_device("mps") == torch.device("mps")
    with_cuda(monkeypatch, 2)
    assert choose_device() == choose_device("cuda") == CUDA
    assert choose_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize(
    "name", ["gpu", "", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "mps:0", "cuda:0:1", "CPU"]
)
def test_what_is_no_device(name: str) -> None:
    with pytest.raises(UsageError, match="expected auto, cpu, cuda, cuda:N or mps"):
        choose_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7", "mps"])
def test_a_device_that_is_not_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_gpus(monkeypatch)
    with pytest.raises(DeviceError, match=f"device={name!r}") as caught:
        choose_device(name)
    assert caught.value.exit_code == 4


def test_one_cuda_device_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    with_cuda(monkeypatch, 1)
    with pytest.raises(DeviceError, match="1 CUDA device"):
        choose_device("cuda:1")


@pytest.mark.parametrize(
    ("name", "expected"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_precision_by_name(name: str, expected: torch.dtype) -> None:
    assert choose_precision(CUDA, name) == expected


def test_float16_is_not_for_cpus() -> None:
    with pytest.raises(UsageError, match="on a CPU use bf16 or fp32"):
        choose_precision(CPU, "fp16")


@pytest.mark.parametrize("name", ["fp64", "float32", "", "BF16"])
def test_what_is_no_precision(name: str) -> None:
    with pytest.raises(UsageError, match="expected auto, fp32, bf16, fp16"):
        choose_precision(CPU, name)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({}, torch.float32),
        ({"avx512": True, "avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
    ],
)
def test_auto_precision_on_cpus(
    capabilities: dict[str, bool], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert choose_precision(CPU) == expected


def test_auto_precision_on_cpus_that_do_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose_precision(CPU) == torch.float32


@pytest.mark.parametrize(
    ("major", "expected"),
    [(6, torch.float32), (7, torch.float16), (8, torch.bfloat16), (9, torch.bfloat16), (12, torch.bfloat16)],
)
def test_auto_precision_on_gpus(major: int, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (major, 0))
    assert choose_precision(CUDA) == expected


def test_auto_precision_on_metal() -> None:
    assert choose_precision(torch.device("mps")) == torch.float32


def test_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    with_cuda(monkeypatch, 3)
    cuda = [torch.device("cuda", index) for index in range(3)]
    assert choose_devices("cuda") == cuda
    assert choose_devices("cuda:2,0") == [cuda[2], cuda[0]]
    assert choose_devices("cuda:1") == [cuda[1]]
    assert choose_devices("auto") == [cuda[0]]
    with pytest.raises(DeviceError, match="3 CUDA devices"):
        choose_devices("cuda:0,3")
    for name in ("cuda:0,0", "cuda:0,", "cuda:,1", "cuda:0,x", "cpu:0,1"):
        with pytest.raises(UsageError, match="device="):
            choose_devices(name)
    with_cuda(monkeypatch, 0)
    with pytest.raises(DeviceError, match="0 CUDA devices"):
        choose_devices("cuda")


def test_convolutions_stay_exact_until_the_last_thread_is_out() -> None:
    flags = torch.backends.cudnn
    before = flags.deterministic, flags.allow_tf32
    with exact_convolutions:
        with exact_convolutions:
            assert (flags.deterministic, flags.allow_tf32) == (True, False)
        assert (flags.deterministic, flags.allow_tf32) == (True, False)
    assert (flags.deterministic, flags.allow_tf32) == before
