"""Published names and shapes, both ways, for all nine published files."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from manet_cli.errors import WeightsError
from manet_cli.models import BlindConfig, BlindModel, MANetConfig, RRDBSFTConfig
from manet_cli.weights.layout import check_layout, from_published, infer_config, is_published, to_published

GROUPS = json.loads(
    (Path(__file__).parents[1] / "golden" / "state_dict_keys.json").read_text(encoding="utf-8")
)
FILES = [(stage, scale) for stage in (1, 2, 3) for scale in (2, 3, 4)]


def published_file(stage: int, scale: int) -> dict[str, Tensor]:
    """The published file's names and shapes, with tensors that take no memory."""
    shapes: dict[str, list[int]] = {}
    if stage != 2:
        shapes |= GROUPS["estimator"]
    if stage != 1:
        shapes |= GROUPS["restorer"] | GROUPS["upsampler"][str(scale)]
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def shapes_of(tensors: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@pytest.mark.parametrize(("stage", "scale"), FILES)
def test_every_published_file_has_a_model(stage: int, scale: int) -> None:
    tensors = published_file(stage, scale)
    assert len(tensors) == {1: 80, 2: 387, 3: 467}[stage]
    assert is_published(tensors)
    ours = from_published(tensors)
    config = infer_config(ours)
    assert config == BlindConfig(
        MANetConfig() if stage != 2 else None, RRDBSFTConfig(scale=scale) if stage != 1 else None
    )
    check_layout(ours, config)
    with torch.device("meta"):
        expected = BlindModel(config).state_dict()
    assert shapes_of(ours) == shapes_of(expected)
    assert not is_published(ours)


@pytest.mark.parametrize(("stage", "scale"), FILES)
def test_and_the_way_back_gives_its_names_and_shapes(stage: int, scale: int) -> None:
    tensors = published_file(stage, scale)
    assert shapes_of(to_published(from_published(tensors))) == shapes_of(tensors)


def test_names_map_to_the_same_tensors_both_ways(published_tensors: dict[str, Tensor]) -> None:
    back = to_published(from_published(published_tensors))
    assert back.keys() == published_tensors.keys()
    for name, tensor in published_tensors.items():
        assert torch.equal(back[name], tensor)


def test_prefix_of_parallel_training_is_dropped(published_tensors: dict[str, Tensor]) -> None:
    prefixed = {f"module.{name}": tensor for name, tensor in published_tensors.items()}
    assert is_published(prefixed)
    assert shapes_of(from_published(prefixed)) == shapes_of(from_published(published_tensors))


def test_a_tensor_given_twice_is_refused(published_tensors: dict[str, Tensor]) -> None:
    twice = published_tensors | {"module.conv_first.weight": published_tensors["conv_first.weight"]}
    with pytest.raises(WeightsError, match=r"conv_first\.weight"):
        from_published(twice)


@pytest.mark.parametrize("split", [2, 3, 4])
def test_configurations_other_than_the_published_are_inferred(split: int) -> None:
    config = BlindConfig(
        MANetConfig(kernel_size=21, channels=(24, 36), split=split, reduction=3),
        RRDBSFTConfig(scale=2, features=10, blocks=3, growth=7, transform_width=4, code_length=9),
    )
    ours = BlindModel(config).state_dict()
    inferred = infer_config(ours)
    check_layout(ours, inferred)
    assert inferred == config
    assert shapes_of(from_published(to_published(ours))) == shapes_of(ours)
