"""Export both networks as one ONNX graph, from an image to its registered enlargement."""

from __future__ import annotations

import contextlib
import importlib
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from manet_cli import __version__
from manet_cli.atomic import atomic_path
from manet_cli.errors import Parameter, UsageError, WeightsError
from manet_cli.inference import PRECISIONS
from manet_cli.models import BlindModel, interpolated_codes
from manet_cli.weights import Weights

__all__ = ["DYNAMIC", "EXPORT_PRECISIONS", "OneGraph", "export_onnx", "parse_graph_size"]

DYNAMIC = "dynamic"
EXPORT_PRECISIONS = ("fp32", "fp16")
_OPSET = 17  # sufficient, and supported by all runtimes of recent years
_TRACED = (20, 28)  # sides of the traced picture for dynamic sizes; not multiples of 8
_LARGEST_SIDE = 4096


class OneGraph(nn.Module):
    """Both networks with padding, kernel codes and registration.

    lr (B, 3, H, W), RGB in [0, 1] -> sr (B, 3, s*H, s*W), RGB in [0, 1], float32, aligned with the input.

    Args:
        model: an estimator and a restorer.
        size: H and W; None for dynamic sizes.
        code_stride: compute the codes of every n-th pixel, and interpolate between them.
    """

    def __init__(self, model: BlindModel, size: int | None, code_stride: int) -> None:
        super().__init__()
        self.model = model
        self.size = size
        self.code_stride = code_stride

    def forward(self, lr: Tensor) -> Tensor:
        """Super-resolve the whole image at once."""
        estimator, kernel_code, restorer = self.model.estimator, self.model.kernel_code, self.model.restorer
        if estimator is None or kernel_code is None or restorer is None:
            raise TypeError("one graph needs an estimator and a restorer")
        # Fixed sizes become constants of the graph.
        height, width = (self.size, self.size) if self.size else lr.shape[-2:]
        right, below = (-side % estimator.size_multiple for side in (width, height))
        padded = F.pad(lr, (0, right, 0, below), mode="replicate")
        features = estimator.features_of_padded(padded)
        some = kernel_code(estimator.kernels_of_features(features, self.code_stride))
        code = interpolated_codes(some, self.code_stride)[..., :height, :width]
        # Registered as in the engine: pad one pixel at the top and left, then crop by the published offset.
        image, code = (F.pad(tensor, (1, 0, 1, 0), mode="replicate") for tensor in (lr, code))
        scale = restorer.config.scale
        output: Tensor = restorer(image, code)[..., 1 : height * scale + 1, 1 : width * scale + 1]
        return output.clamp(0, 1)


def parse_graph_size(text: str) -> int | None:
    """Parse the side of a graph's input in pixels; None for a dynamic size.

    Raises:
        UsageError: the text is neither a whole number from 16 to 4096 nor ``dynamic``.
    """
    if text == DYNAMIC:
        return None
    if not (text.isascii() and text.isdecimal()) or not 16 <= int(text) <= _LARGEST_SIDE:
        raise UsageError(
            Parameter("size", text),
            f": expected the side of the input in pixels, from 16 to {_LARGEST_SIDE}, or {DYNAMIC}",
        )
    return int(text)


def export_onnx(weights: Weights, path: Path, *, size: int | None = None, precision: str = "fp32") -> None:
    """Write both networks as one ONNX file, atomically.

    The graph has an input ``input`` (1, 3, H, W) and an output ``output`` (1, 3, s*H, s*W), both float32 in
    [0, 1]. Its metadata hold scale, precision and the weights' digest.

    Args:
        weights: of both networks.
        path: of the file; an existing file is replaced.
        size: H and W; None for a dynamic size and batch.
        precision: of the networks' inner parts: fp32 or fp16.

    Raises:
        UsageError: the path does not end in ``.onnx``, the precision is neither of the two, or the package
            ``onnx`` is not installed.
        WeightsError: the weights lack a network.
        OutputError: the file cannot be written.
    """
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"{path}: graphs are written as .onnx, not as {path.suffix or 'no suffix'}")
    if precision not in EXPORT_PRECISIONS:
        raise UsageError(
            Parameter("precision", precision), f": expected {' or '.join(EXPORT_PRECISIONS)} in a graph"
        )
    estimator, restorer = weights.config.estimator, weights.config.restorer
    if estimator is None or restorer is None:
        missing = "estimator" if restorer else "restorer"
        raise WeightsError(f"these weights hold no {missing}: give weights that hold both networks")
    onnx = _onnx()
    with atomic_path(path) as temporary:
        _export(weights, temporary, size, precision)
        model = onnx.load(temporary)
        if size:  # the exporter leaves fixed output sizes dynamic
            shape = model.graph.output[0].type.tensor_type.shape
            for dimension, length in zip(shape.dim, (1, 3, *[size * restorer.scale] * 2), strict=True):
                dimension.dim_value = length
        model.producer_name, model.producer_version = "manet_cli", __version__
        facts = {"scale": restorer.scale, "precision": precision, "weights_sha256": weights.sha256}
        onnx.helper.set_model_props(model, {name: str(value) for name, value in facts.items()})
        onnx.checker.check_model(model, full_check=True)
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def _onnx() -> ModuleType:
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise UsageError("writing ONNX needs an extra: pip install 'manet-cli[onnx]'") from error


def _export(weights: Weights, path: Path, size: int | None, precision: str) -> None:
    """Write the graph with PyTorch's exporter."""
    model = weights.build()
    model.set_precision(PRECISIONS[precision])
    height, width = (size, size) if size else _TRACED
    sides = {0: "batch", 2: "height", 3: "width"}
    scaled = {0: "batch", 2: "scaled_height", 3: "scaled_width"}
    with torch.inference_mode(), _exporting():
        torch.onnx.export(
            OneGraph(model, size, weights.code_stride).eval(),
            (torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)),),
            path,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes=None if size else {"input": sides, "output": scaled},
            opset_version=_OPSET,
            # PyTorch's newer exporter does not support a dynamic side padded to a multiple of 8.
            dynamo=False,
        )


@contextlib.contextmanager
def _exporting() -> Iterator[None]:
    """Set up PyTorch's exporter for the block, and hide its warnings and logs."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.setLevel(logging.ERROR)
        for name, written in _WRITTEN.items():
            torch.onnx.register_custom_op_symbolic(name, written, _OPSET)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for name in _WRITTEN:
                torch.onnx.unregister_custom_op_symbolic(name, _OPSET)  # type: ignore[attr-defined]
            log.setLevel(level)


def _scaled(graph: Any, values: Any, factor: Any) -> Any:  # noqa: ANN401 - the exporter's own classes
    node = factor.node()
    if node.kind() == "onnx::Constant" and float(node.t("value")) == 1:
        return values
    return graph.op("Mul", values, graph.op("CastLike", factor, values))


def _add(graph: Any, first: Any, second: Any, alpha: Any) -> Any:  # noqa: ANN401
    return graph.op("Add", first, _scaled(graph, second, alpha))


def _addcmul(graph: Any, base: Any, first: Any, second: Any, value: Any) -> Any:  # noqa: ANN401
    return graph.op("Add", base, _scaled(graph, graph.op("Mul", first, second), value))


_WRITTEN: dict[str, Callable[..., Any]] = {"aten::add": _add, "aten::addcmul": _addcmul}
"""Replacements: PyTorch's versions promote float16 to float32 by their factor."""
