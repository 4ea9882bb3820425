"""Names and shapes of tensors in weight files: our layout, the published layout, and the conversion.

Our layout is the state dict of `BlindModel`. The published layout is a flat state dict: the estimator's keys
begin with ``kernel_estimation.``, the restorer's keys have no prefix, and the kernel code basis is
``pca_matrix`` of shape (1, k*k, L, 1, 1). The names of a restorer's layers are in its module.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from manet_cli.errors import WeightsError
from manet_cli.models import RESTORERS, BlindConfig, BlindModel, MANetConfig, RestorerConfig, kind_of_names

__all__ = ["check_layout", "from_published", "infer_config", "is_published", "to_published"]

_SCALES = (2, 3, 4)
_FORMATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_MOST_SPLITS = 8
_BASIS = ("kernel_code.basis", "pca_matrix")


def _estimator_layers() -> Iterator[tuple[str, str]]:
    for ours, published in (
        ("head", "m_head"),
        ("down_conv", "m_down1.1"),
        ("up_conv", "m_up1.0"),
        ("tail", "m_tail"),
    ):
        yield ours, published
    for block, published_block in (("down_block", "m_down1.0"), ("body", "m_body"), ("up_block", "m_up1.1")):
        for conv, published_conv in (("first", "res.0"), ("second", "res.2")):
            ours, published = f"{block}.{conv}", f"{published_block}.{published_conv}"
            for i in range(_MOST_SPLITS):
                yield f"{ours}.affine.{i}.0", f"{published}.fc{i}.0"
                yield f"{ours}.affine.{i}.2", f"{published}.fc{i}.2"
                yield f"{ours}.convs.{i}", f"{published}.conv{i}"


@functools.cache
def _published_names() -> dict[str, str]:
    """Our name -> published name, for every tensor of the largest supported networks."""
    names = dict([_BASIS])
    restorer_layers = [layer for kind in RESTORERS for layer in kind.published()]
    for kind in ("weight", "bias"):
        for ours, published in _estimator_layers():
            names[f"estimator.{ours}.{kind}"] = f"kernel_estimation.{published}.{kind}"
        for ours, published in restorer_layers:
            names[f"restorer.{ours}.{kind}"] = f"{published}.{kind}"
    return names


@functools.cache
def _our_names() -> dict[str, str]:
    return {published: ours for ours, published in _published_names().items()}


def is_published(names: Mapping[str, object]) -> bool:
    """Whether a state dict's names are the published ones (with or without a leading ``module.``)."""
    return any(name.removeprefix("module.") in _our_names() for name in names)


def from_published(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a published state dict to our layout.

    Raises:
        WeightsError: a name belongs to no network, or the shape of the basis is not (1, n, L, 1, 1).
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        ours = _our_names().get(name.removeprefix("module."))
        if ours is None:
            raise WeightsError(f"it holds a tensor {name!r}, which no supported network has.")
        if ours == _BASIS[0]:
            if tensor.ndim != 5 or tensor.shape[0] != 1 or tensor.shape[3:] != (1, 1):
                raise WeightsError(f"its pca_matrix has shape {tuple(tensor.shape)}, not (1, 441, 15, 1, 1).")
            tensor = tensor[0, :, :, 0, 0]
        if ours in renamed:
            raise WeightsError(f"it holds the tensor {name!r} twice, with and without the prefix 'module.'.")
        renamed[ours] = tensor
    return renamed


def to_published(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict in our layout to the published one."""
    return {
        _published_names()[name]: tensor[None, :, :, None, None] if name == _BASIS[0] else tensor
        for name, tensor in tensors.items()
    }


def infer_config(tensors: Mapping[str, Tensor]) -> BlindConfig:
    """Find the configuration of a state dict in our layout from its tensors' shapes.

    Raises:
        WeightsError: a tensor that decides the configuration is missing or has an impossible shape.
    """
    try:
        has_estimator = any(name.startswith("estimator.") for name in tensors)
        has_restorer = any(name.startswith("restorer.") for name in tensors)
        config = BlindConfig(
            estimator=_estimator_config(tensors) if has_estimator else None,
            restorer=_restorer_config(tensors) if has_restorer else None,
        )
    except KeyError as error:
        raise WeightsError(f"it lacks the tensor {error.args[0]!r}.") from error
    except (IndexError, ZeroDivisionError) as error:
        raise WeightsError("a tensor that decides the network's size has an impossible shape.") from error
    if config.estimator is None and config.restorer is None:
        raise WeightsError("it holds neither an estimator nor a restorer.")
    if config.restorer and config.restorer.scale not in _SCALES:
        raise WeightsError(f"its restorer is for x{config.restorer.scale}; x2, x3 and x4 are supported.")
    return config


def _estimator_config(tensors: Mapping[str, Tensor]) -> MANetConfig:
    low = tensors["estimator.head.weight"].shape[0]
    high = tensors["estimator.down_conv.weight"].shape[0]
    split = _count(tensors, "estimator.down_block.first.convs.{}.weight")
    if split < 2:
        raise KeyError("estimator.down_block.first.convs.1.weight")
    if split > _MOST_SPLITS:
        raise WeightsError(f"its estimator has {split} splits; at most {_MOST_SPLITS} are supported.")
    others, bottleneck = low - low // split, tensors["estimator.down_block.first.affine.0.0.weight"].shape[0]
    return MANetConfig(
        kernel_size=math.isqrt(tensors["estimator.tail.weight"].shape[0]),
        channels=(low, high),
        split=split,
        reduction=others // bottleneck,
    )


def _restorer_config(tensors: Mapping[str, Tensor]) -> RestorerConfig:
    prefix = "restorer."
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    code_length = tensors["kernel_code.basis"].shape[1]
    try:
        return kind_of_names(own).config_of(own, code_length)
    except KeyError as error:
        raise KeyError(prefix + error.args[0]) from error


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    count = 0
    while pattern.format(count) in tensors:
        count += 1
    return count


def check_layout(tensors: Mapping[str, Tensor], config: BlindConfig) -> None:
    """Check that a state dict matches ``config``: names, shapes, number formats, finite numbers.

    Raises:
        WeightsError: the first error.
    """
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.dtype not in _FORMATS:
            raise WeightsError(
                f"its tensor {name!r} holds {tensor.dtype} ({tensor.layout}, {tensor.device.type}), "
                "expected plain floating-point numbers of 16, 32 or 64 bits."
            )
        if tensor.numel() == 0:
            raise WeightsError(f"its tensor {name!r} is empty: shape {tuple(tensor.shape)}.")
        if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
            # Views that repeat a few numbers could make a huge network from a tiny file.
            raise WeightsError(f"its tensor {name!r} holds fewer numbers than its shape says.")
    try:
        with torch.device("meta"):
            expected = BlindModel(config).state_dict()
    except (RuntimeError, ValueError, ZeroDivisionError) as error:
        raise WeightsError("its tensors' shapes do not fit any network.") from error
    for name in (name for name in expected if name not in tensors):
        raise WeightsError(f"it lacks the tensor {name!r}.")
    for name in (name for name in tensors if name not in expected):
        raise WeightsError(f"it holds a tensor {name!r}, which a network of this size does not have.")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise WeightsError(
                f"its tensor {name!r} has shape {tuple(tensor.shape)}, "
                f"expected {tuple(expected[name].shape)}."
            )
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"its tensor {name!r} holds infinities or not-a-number.")
