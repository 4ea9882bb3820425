"""OpenVINO itself, and modules of PyTorch that it compiles and runs."""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from contextlib import suppress
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from manet_cli.errors import DeviceError, OutOfMemoryError, Parameter
from manet_cli.inference.compiled_cache import cache_key, keep, kept
from manet_cli.models import int8_blocks

__all__ = ["Compiled", "Target", "openvino_itself", "reason_of"]

_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}
_TRACED = (16, 24)  # sides of the picture that is traced; multiples of 8
_UNWRITTEN = torch.finfo(torch.float32).min  # stands in a result until it is written


class Target(Protocol):
    """A device of OpenVINO; see `OpenVinoDevice`."""

    @property
    def name(self) -> str:
        """As OpenVINO calls it."""
        ...

    @property
    def product(self) -> str:
        """Name of the product."""
        ...

    @property
    def is_cpu(self) -> bool:
        """Whether it is the processor."""
        ...

    @property
    def takes_open_sizes(self) -> bool:
        """Whether a graph can be compiled once for pictures of any size."""
        ...


def reason_of(error: BaseException) -> str:
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
def openvino_itself() -> _Runtime:
    """Start OpenVINO; ImportError, OSError or RuntimeError if that fails."""
    return _Runtime()


class Compiled:
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
        device: Target,
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
        if openvino_itself().broken is not None:
            raise self._shortage(*tensors[0].shape[2:])
        request = self._request(tuple(tensor.shape for tensor in tensors))
        batch, _, height, width = tensors[0].shape
        sides = height * self._scale, width * self._scale
        results = tuple(torch.full((batch, channels, *sides), _UNWRITTEN) for channels in self._gives)
        for index, result in enumerate(results):
            request.set_output_tensor(index, openvino_itself().api.Tensor(result.numpy(), shared_memory=True))
        request.infer(
            [tensor.contiguous().numpy() for tensor in tensors], share_inputs=True, share_outputs=True
        )
        if any(float(result.min()) == _UNWRITTEN for result in results):
            openvino_itself().broken = request
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
                    f"OpenVINO cannot run the networks on {self._device} ({reason_of(error)}): "
                    "choose another ",
                    Parameter("device"),
                ) from error
        return self._requests[key]

    def _compiled(self, shapes: tuple[torch.Size, ...]) -> Any:  # noqa: ANN401
        """Return the graph compiled for these shapes of its inputs; () leaves their sizes open."""
        core, name, settings = openvino_itself().core, self._device.name, self._settings()
        key = ""
        if self._cached:
            facts = core.get_property(name, "OPTIMIZATION_CAPABILITIES")
            key = cache_key(
                self._module,
                openvino_itself().api.get_version(),
                self._device.product,
                facts,
                settings,
                shapes,
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
            return openvino_itself().api.convert_model(traced, example_input=example, share_weights=True)

    def _settings(self) -> dict[str, object]:
        settings: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY"}
        settings["INFERENCE_PRECISION_HINT"] = _HINTS[self._precision]
        if self._device.is_cpu:
            settings["INFERENCE_NUM_THREADS"] = torch.get_num_threads()  # from OMP_NUM_THREADS
        return settings


def _rounds(module: nn.Module) -> bool:
    """Whether a block of the module computes in int8."""
    return any(block.input_range is not None for block in int8_blocks(module).values())
