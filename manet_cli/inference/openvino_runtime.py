"""OpenVINO, which runs the networks on processors and on Intel's GPUs and NPUs: a runtime.

The modules of PyTorch are traced and compiled when they are first needed, with sizes left open. In half
precision on a CPU the restorer is traced in the formats that it has in PyTorch, so that its stream and result
stay in float32; the estimator is rounded by OpenVINO, since its own formats cost 0.1 dB there (Set5, grid).
In int8 OpenVINO finds the rounding in the traced graphs (see `Int8Block`), and does the rest as for ``auto``.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from manet_cli.errors import DeviceError, OutOfMemoryError, Parameter, UsageError
from manet_cli.inference.compiled_cache import cache_key, keep, kept
from manet_cli.inference.networks import Networks
from manet_cli.inference.runtime import RuntimeDevice
from manet_cli.inference.torch_device import PRECISIONS, choose_torch_precision
from manet_cli.models import (
    BlendedRestorer,
    BlindModel,
    Footprint,
    KernelCode,
    MANet,
    Restorer,
    int8_blocks,
    interpolated_codes,
)

__all__ = ["OpenVinoDevice", "devices", "find_device"]

_CPU = torch.device("cpu")
_NAME = re.compile(r"(CPU|GPU|NPU)(\.\d+)?", re.ASCII)
_PRECISIONS = {"CPU": ("fp32", "bf16"), "GPU": ("fp16", "fp32"), "NPU": ("fp16",)}
_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}
_TRACED = (16, 24)  # sides of the picture that is traced; multiples of 8
_UNWRITTEN = torch.finfo(torch.float32).min  # stands in a result until it is written


@dataclass(frozen=True)
class OpenVinoDevice(RuntimeDevice):
    """A device of OpenVINO.

    Attributes:
        name: as OpenVINO calls it: ``CPU``, ``GPU``, ``GPU.1``, ``NPU``.
    """

    name: str

    def __str__(self) -> str:
        return "openvino" if self.is_cpu else f"openvino:{self.name}"

    @property
    def type(self) -> str:  # type: ignore[override]
        """``openvino`` for the CPU, ``openvino:GPU`` or ``openvino:NPU``."""
        return "openvino" if self.is_cpu else f"openvino:{self._kind}"

    @property
    def product(self) -> str:
        """Name of the product."""
        return str(_runtime().core.get_property(self.name, "FULL_DEVICE_NAME"))

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


def devices() -> list[OpenVinoDevice]:
    """Return all devices that are here. Errors as in `Runtime`."""
    if importlib.util.find_spec("openvino") is None:
        return []
    try:
        names: list[str] = _runtime().core.available_devices
    except (ImportError, OSError, RuntimeError) as error:
        raise DeviceError(f"OpenVINO is installed but does not start ({_reason(error)})") from error
    return [OpenVinoDevice(name) for name in names if _NAME.fullmatch(name)]


def _reason(error: BaseException) -> str:
    """Return the lines of an error that OpenVINO puts first: places in its code, and the reason."""
    return " ".join((str(error).strip() or type(error).__name__).splitlines()[:3]).rstrip(".")


class _Runtime:
    """OpenVINO itself, one for the process.

    Attributes:
        api: the package.
        core: compiles graphs.
        broken: the run that ran out of memory. OpenVINO leaves such a run early, says nothing, and crashes if
            it is used or taken down afterwards. So neither is done.
    """

    def __init__(self) -> None:
        # Without the package that reports its use over the network.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        self.api = importlib.import_module("openvino")
        self.core = self.api.Core()
        self.broken: Any = None


@functools.cache
def _runtime() -> _Runtime:
    return _Runtime()


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


class _Compiled:
    """A module that is compiled for a device when it is first run, or read from the cache.

    Args:
        module: takes tensors and returns one or a tuple of them.
        takes: channels of each tensor that goes in.
        gives: channels of each tensor that comes out.
        scale: how much larger that is along a side.
        device: where it is run.
        precision: that OpenVINO may round to where the module is in float32.
    """

    def __init__(
        self,
        module: nn.Module,
        takes: tuple[int, ...],
        gives: tuple[int, ...],
        scale: int,
        device: OpenVinoDevice,
        precision: torch.dtype,
    ) -> None:
        self._module = module.eval()
        self._takes = takes
        self._gives = gives
        self._scale = scale
        self._device = device
        self._precision = precision
        self._graph: Any = None
        self._rounds = False
        self._cached = device.is_cpu
        self._requests: dict[tuple[torch.Size, ...], Any] = {}

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run it on tensors (B, C, H, W) in float32.

        Raises:
            OutOfMemoryError: memory ran out, now or before.
            DeviceError: it cannot be compiled for the device.
        """
        if _runtime().broken is not None:
            raise self._shortage(*tensors[0].shape[2:])
        request = self._request(tuple(tensor.shape for tensor in tensors))
        batch, _, height, width = tensors[0].shape
        sides = height * self._scale, width * self._scale
        results = tuple(torch.full((batch, channels, *sides), _UNWRITTEN) for channels in self._gives)
        for index, result in enumerate(results):
            request.set_output_tensor(index, _runtime().api.Tensor(result.numpy(), shared_memory=True))
        request.infer(
            [tensor.contiguous().numpy() for tensor in tensors], share_inputs=True, share_outputs=True
        )
        if any(float(result.min()) == _UNWRITTEN for result in results):
            _runtime().broken = request
            raise self._shortage(height, width)
        return results

    def turned(self, *, cached: bool) -> None:
        """Use the module's new weights from the next run on.

        Args:
            cached: keep the result of compiling in the cache, because these weights will come again.
        """
        self._requests.clear()
        self._cached = cached and self._device.is_cpu
        if self._rounds or _rounds(self._module):  # ranges and rounded weights are constants of the graph
            self._graph = None

    def _shortage(self, height: int, width: int) -> OutOfMemoryError:
        return OutOfMemoryError(
            f"OpenVINO ran out of memory on {self._device} in a tile of {width}x{height} pixels, and cannot "
            "go on after that: start again with a smaller ",
            *(Parameter("tile"), ", or with ", Parameter("device", "cpu")),
        )

    def _request(self, shapes: tuple[torch.Size, ...]) -> Any:  # noqa: ANN401
        # An NPU runs graphs of known sizes only.
        key = () if self._device.takes_open_sizes else shapes
        if key not in self._requests:
            try:
                self._requests[key] = self._compiled(key).create_infer_request()
            except RuntimeError as error:
                raise DeviceError(
                    f"OpenVINO cannot run the networks on {self._device} ({_reason(error)}): choose another ",
                    Parameter("device"),
                ) from error
        return self._requests[key]

    def _compiled(self, shapes: tuple[torch.Size, ...]) -> Any:  # noqa: ANN401
        """Return the graph compiled for these shapes of its inputs; () leaves their sizes open."""
        core, name, settings = _runtime().core, self._device.name, self._settings()
        key = ""
        if self._cached:
            facts = core.get_property(name, "OPTIMIZATION_CAPABILITIES")
            key = cache_key(
                self._module, _runtime().api.get_version(), self._device.product, facts, settings, shapes
            )
            content = kept(key)
            if content is not None:
                with suppress(RuntimeError):  # what cannot be read is compiled again
                    return core.import_model(content, name, settings)
        if self._graph is None:
            self._graph = self._traced()
        graph = self._graph
        if shapes:
            graph = graph.clone()
            graph.reshape(dict(enumerate(map(list, shapes))))
        compiled = core.compile_model(graph, name, settings)
        if key:
            keep(key, compiled.export_model().getvalue())
        return compiled

    def _traced(self) -> Any:  # noqa: ANN401
        self._rounds = _rounds(self._module)
        example = tuple(torch.zeros(1, channels, *_TRACED) for channels in self._takes)
        with torch.inference_mode(), warnings.catch_warnings():
            # PyTorch's tracer is deprecated, but its successor needs more help to leave sizes open.
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(self._module, example, check_trace=False)  # type: ignore[no-untyped-call]
            # Shared with the module, so that `turned` needs no new trace.
            return _runtime().api.convert_model(traced, example_input=example, share_weights=True)

    def _settings(self) -> dict[str, object]:
        settings: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY"}
        settings["INFERENCE_PRECISION_HINT"] = _HINTS[self._precision]
        if self._device.is_cpu:
            settings["INFERENCE_NUM_THREADS"] = torch.get_num_threads()  # from OMP_NUM_THREADS
        return settings


def _rounds(module: nn.Module) -> bool:
    """Whether a block of the module computes in int8."""
    return any(block.input_range is not None for block in int8_blocks(module).values())


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
        self.run = _Compiled(restorer, (3, config.code_length), (3,), config.scale, device, precision)

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
        self._estimators: dict[tuple[int, bool], _Compiled] = {}
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

    def _estimator(self, stride: int, *, kernels: bool) -> _Compiled:
        """Return what estimates codes at a stride (0: none), and perhaps kernels."""
        key = stride, kernels
        if key not in self._estimators:
            code = self.kernel_code if stride else self._model.kernel_code
            length = (code.basis.shape[1],) if code else ()
            gives = (length if stride else ()) + ((self.kernel_size**2, *length) if kernels else ())
            module = _Estimates(self.estimator, code, stride, kernels=kernels)
            self._estimators[key] = _Compiled(module, (3,), gives, 1, *self._on)
            self._estimators[key].turned(cached=self._amount in (0, 1))
        return self._estimators[key]
