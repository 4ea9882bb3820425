"""Agreement with outputs of the published networks in float32, with weights derived from names."""

import functools

import pytest
from torch import Tensor

from manet_cli.models import BlindModel, RRDBSFTConfig
from manet_cli.weights.layout import check_layout, from_published, infer_config

from .published import golden, published_weights

SCALES = (2, 3, 4)


@functools.cache
def model(scale: int) -> BlindModel:
    tensors = from_published(published_weights(scale))
    config = infer_config(tensors)
    check_layout(tensors, config)
    built = BlindModel(config)
    built.load_state_dict(tensors)
    return built.eval().requires_grad_(False)


@functools.cache
def blind_outputs(scale: int) -> tuple[Tensor, Tensor]:
    kernels, sr = model(scale)(golden()[f"x{scale}.lr"])
    return kernels, sr


def assert_within(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= tolerance


@pytest.mark.parametrize("scale", SCALES)
def test_kernels(scale: int) -> None:
    kernels, _ = blind_outputs(scale)
    assert_within(kernels[..., ::5, ::5], golden()[f"x{scale}.kernels"], 1e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_codes(scale: int) -> None:
    kernel_code = model(scale).kernel_code
    assert kernel_code is not None
    kernels, _ = blind_outputs(scale)
    assert_within(kernel_code(kernels), golden()[f"x{scale}.pca_code"], 1e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_blind_image(scale: int) -> None:
    expected = golden()[f"x{scale}.sr_blind"]
    _, sr = blind_outputs(scale)
    assert_within(sr, expected, 1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("scale", SCALES)
def test_non_blind_image(scale: int) -> None:
    built, lr = model(scale), golden()[f"x{scale}.lr"]
    assert built.kernel_code is not None
    assert built.restorer is not None
    code = built.kernel_code.of_kernel(golden()[f"x{scale}.gt_kernel"])
    sr = built.restorer(lr, code.expand(-1, -1, *lr.shape[-2:]))
    expected = golden()[f"x{scale}.sr_nonblind"]
    assert_within(sr[..., ::2, ::2], expected, 1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("scale", SCALES)
def test_configuration_is_the_published_one(scale: int) -> None:
    config = model(scale).config
    assert config.estimator is not None
    assert isinstance(config.restorer, RRDBSFTConfig)
    assert (config.estimator.kernel_size, config.estimator.channels) == (21, (128, 256))
    assert (config.estimator.split, config.estimator.reduction) == (2, 2)
    assert (config.restorer.scale, config.restorer.features, config.restorer.blocks) == (scale, 64, 10)
    assert (config.restorer.growth, config.restorer.transform_width, config.restorer.code_length) == (
        32,
        32,
        15,
    )
