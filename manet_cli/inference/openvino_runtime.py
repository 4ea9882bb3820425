"""OpenVINO, which runs the networks on processors and on Intel's GPUs and NPUs: a runtime.

The modules of PyTorch are traced and compiled when they are first needed, with sizes left open. In half
precision on a CPU the restorer is traced in the formats that it has in PyTorch, so that its stream and result
stay in float32; the estimator is rounded by OpenVINO, since its own formats cost 0.1 dB there (Set5, grid).
In int8 OpenVINO finds the rounding in the traced graphs (see `Int8Block`), and does the rest as for ``auto``.
"""

from __future__ import annotations

import importlib.util
import platform
import re
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from manet_cli.errors import DeviceError, Parameter, UsageError
from manet_cli.inference.networks import Networks
from manet_cli.inference.openvino_graphs import Compiled, openvino_itself, reason_of
from manet_cli.inference.runtime import RuntimeDevice
from manet_cli.inference.torch_device import PRECISIONS, choose_torch_precision
from manet_cli.models import (
    BlendedRestorer,
    BlindModel,
    Footprint,
    KernelCode,
    MANet,
    Restorer,
    interpolated_codes,
)

__all__ = ["OpenVinoDevice", "auto_device", "devices", "find_device"]

_CPU = torch.device("cpu")
_NAME = re.compile(r"(CPU|GPU|NPU)(\.\d+)?", re.ASCII)
_PRECISIONS = {"CPU": ("fp32", "bf16"), "GPU": ("fp16", "fp32"), "NPU": ("fp16",)}


@dataclass(frozen=True)
class OpenVinoDevice(RuntimeDevice):
    """A device of OpenVINO.

    Attributes:
        name: as OpenVINO calls it: ``CPU``, ``GPU``, ``GPU.1``, ``NPU``.
    """

    name: str
    optional: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return "openvino" if self.is_cpu else f"openvino:{self.name}"

    @property
    def type(self) -> str:  # type: ignore[override]
        """``openvino`` for the CPU, ``openvino:GPU`` or ``openvino:NPU``."""
        return "openvino" if self.is_cpu else f"openvino:{self._kind}"

    @property
    def product(self) -> str:
        """Name of the product."""
        return str(openvino_itself().core.get_property(self.name, "FULL_DEVICE_NAME"))

    @property
    def is_cpu(self) -> bool:
        """Whether it is the processor."""
        return self._kind == "CPU"

    @property
    def takes_open_sizes(self) -> bool:
        """Whether a graph can be compiled once for pictures of any size."""
        return self._kind != "NPU"

    @property
    def _kind(self) -> str:
        return self.name.partition(".")[0]

    @property
    def takes_int8(self) -> bool:  # type: ignore[override]
        """Whether it computes an `Int8Block` in int8: only the processor was tried."""
        return self.is_cpu

    def choose_precision(self, name: str) -> torch.dtype:
        """Return the number format that ``name`` stands for: on a CPU as in PyTorch.

        Elsewhere ``auto`` is float16.

        Raises:
            UsageError: the device does not compute in it.
        """
        if self.is_cpu:
            return choose_torch_precision(_CPU, name)
        known = _PRECISIONS[self._kind]
        if name not in ("auto", *known):
            raise UsageError(Parameter("precision", name), f": on {self} give {' or '.join(known)}")
        return PRECISIONS[known[0] if name == "auto" else name]

    def networks(self, model: BlindModel, precision: torch.dtype) -> Networks:
        """Put a model's networks there."""
        if precision == torch.int8:
            precision = choose_torch_precision(_CPU)
        return _CompiledNetworks(model, self, precision)


def find_device(name: str | None) -> OpenVinoDevice:
    """Return the device that is named; None for the CPU. Errors as in `Runtime`."""
    device = OpenVinoDevice("CPU" if name is None else name)
    if not _NAME.fullmatch(device.name):
        raise UsageError(
            Parameter("device", f"openvino:{name}"), ": expected openvino, openvino:GPU or openvino:NPU"
        )
    if importlib.util.find_spec("openvino") is None:
        raise DeviceError(
            Parameter("device", str(device)), " needs an extra: pip install 'manet-cli[openvino]'"
        )
    found = devices()
    if device not in found and OpenVinoDevice(f"{device.name}.0") not in found:
        names = ", ".join(other.name for other in found) or "no device"
        raise DeviceError(
            Parameter("device", str(device)),
            f": OpenVINO finds {names} on this machine; give ",
            *(Parameter("device", str(found[0]) if found else "cpu"), " or leave it out"),
        )
    return device


def auto_device() -> OpenVinoDevice | None:
    """Return the device for ``auto``; see `Runtime`.

    It is the processor if that is an x86-64: on others nothing was measured.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    return next((replace(device, optional=True) for device in devices() if device.is_cpu), None)


def devices() -> list[OpenVinoDevice]:
    """Return all devices that are here. Errors as in `Runtime`."""
    if importlib.util.find_spec("openvino") is None:
        return []
    try:
        names: list[str] = openvino_itself().core.available_devices
    except (ImportError, OSError, RuntimeError) as error:
        raise DeviceError(f"OpenVINO is installed but does not start ({reason_of(error)})") from error
    return [OpenVinoDevice(name) for name in names if _NAME.fullmatch(name)]


class _Estimates(nn.Module):
    """Codes and kernels of an image that is padded.

    Args:
        estimator: estimates the kernels.
        code: gives their codes; None without a basis.
        stride: give codes of every ``stride``-th pixel, interpolated between; 0 to leave them out.
        kernels: give the kernels of every pixel, and with a basis their codes.
    """

    def __init__(self, estimator: MANet, code: KernelCode | None, stride: int, *, kernels: bool) -> None:
        super().__init__()
        self.estimator = estimator
        self.kernel_code = code
        self.stride = stride
        self.kernels = kernels

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return interpolated codes (1, L, H, W), kernels (1, k*k, H, W), and their codes."""
        features = self.estimator.features_of_padded(image)
        results = []
        if self.stride and self.kernel_code:
            some = self.kernel_code(self.estimator.kernels_of_features(features, self.stride))
            results.append(interpolated_codes(some, self.stride))
        if self.kernels:
            results.append(self.estimator.kernels_of_features(features))
            if self.kernel_code:
                results.append(self.kernel_code(results[-1]))
        return tuple(results)


class _CompiledRestorer(Restorer):
    """A restorer in float32 that OpenVINO runs."""

    def __init__(self, restorer: Restorer, device: OpenVinoDevice, precision: torch.dtype) -> None:
        super().__init__()
        if device.is_cpu:
            restorer.set_precision(precision)
            precision = torch.float32
        self.config = restorer.config
        self._footprint = restorer.footprint
        config = restorer.config
        self.run = Compiled(restorer, (3, config.code_length), (3,), config.scale, device, precision)

    @property
    def footprint(self) -> Footprint:
        """That of the restorer."""
        return self._footprint

    def set_precision(self, precision: torch.dtype) -> None:
        """Refuse: the formats were settled when it was made."""
        raise TypeError("a compiled restorer keeps its number format")

    def forward(self, lr: Tensor, code: Tensor) -> Tensor:
        """Super-resolve as `Restorer.forward`."""
        return self.run(lr, code)[0]


class _CompiledNetworks(Networks):
    """As OpenVINO runs them."""

    def __init__(self, model: BlindModel, device: OpenVinoDevice, precision: torch.dtype) -> None:
        super().__init__(model, _CPU, torch.float32)
        self._on = device, precision
        self._estimators: dict[tuple[int, bool], Compiled] = {}
        self._amount = 0.0
        restorer = model.restorer
        if isinstance(restorer, BlendedRestorer):  # averages whatever its two parts give
            restorer.first = _CompiledRestorer(restorer.first, device, precision)
            restorer.second = _CompiledRestorer(restorer.second, device, precision)
        elif restorer is not None:
            model.restorer = _CompiledRestorer(restorer, device, precision)

    def kernels(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the kernels and the codes of every pixel; see `Networks`."""
        kernels, *codes = self._estimator(0, kernels=True)(image)
        return kernels, codes[0] if codes else kernels[:, :0]

    def codes(self, image: Tensor, stride: int, *, kernels: bool) -> tuple[Tensor, ...]:
        """Return interpolated codes; see `Networks`."""
        return self._estimator(stride, kernels=kernels)(image)

    def restore(self, image: Tensor, code: Tensor) -> Tensor:
        """Super-resolve; see `Networks`."""
        result: Tensor = self.restorer(image, code)
        return result

    def turned(self, amount: float) -> None:
        """Compile the estimator again when it is next needed."""
        for estimator in self._estimators.values():
            estimator.turned(cached=amount in (0, 1))
        self._amount = amount

    def _estimator(self, stride: int, *, kernels: bool) -> Compiled:
        """Return what estimates codes at a stride (0: none), and perhaps kernels."""
        key = stride, kernels
        if key not in self._estimators:
            code = self.kernel_code if stride else self._model.kernel_code
            length = (code.basis.shape[1],) if code else ()
            gives = (length if stride else ()) + ((self.kernel_size**2, *length) if kernels else ())
            module = _Estimates(self.estimator, code, stride, kernels=kernels)
            self._estimators[key] = Compiled(module, (3,), gives, 1, *self._on)
            self._estimators[key].turned(cached=self._amount in (0, 1))
        return self._estimators[key]
