"""Sizes, receptive fields and number formats of the networks."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from manet_cli.models import (
    RRDBSFT,
    BlindConfig,
    BlindModel,
    KernelCode,
    KernelDecoder,
    MANet,
    MANetConfig,
    RRDBSFTConfig,
)

SMALL_ESTIMATOR = MANetConfig(kernel_size=5, channels=(8, 12))
SMALL_RESTORER = RRDBSFTConfig(scale=2, features=8, blocks=1, growth=4, transform_width=4, code_length=3)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def frozen(module: nn.Module) -> None:
    module.eval().requires_grad_(False)


def reach(
    side: int, pixel: tuple[int, int], probe: Callable[[Tensor], Tensor]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last row and column of a (1, 3, side, side) image that an output pixel depends on."""
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    image.requires_grad_()
    row, column = pixel
    output = probe(image)[..., row, column]
    # Random signs: neither a softmax nor opposite paths cancel the sum.
    signs = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((output * signs).sum(), image)
    touched = gradient[0].abs().sum(0) > 0
    rows, columns = touched.any(1).nonzero()[:, 0], touched.any(0).nonzero()[:, 0]
    return (int(rows[0]), int(rows[-1])), (int(columns[0]), int(columns[-1]))


def test_published_sizes() -> None:
    assert parameters(MANet()) == 1_810_361
    assert parameters(RRDBSFT()) == 8_086_256


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_only_the_last_convolution_depends_on_the_scale(scale: int) -> None:
    assert parameters(RRDBSFT(RRDBSFTConfig(scale=scale))) == 8_086_256 - 577 * 3 * (16 - scale**2)


@pytest.mark.parametrize("split", [2, 3, 4])
def test_estimator_with_any_number_of_groups(split: int) -> None:
    torch.manual_seed(0)
    estimator = MANet(MANetConfig(kernel_size=5, channels=(12, 24), split=split))
    frozen(estimator)
    kernels = estimator(torch.rand(2, 3, 9, 15))
    assert kernels.shape == (2, 25, 9, 15)
    torch.testing.assert_close(kernels.sum(1), torch.ones(2, 9, 15))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 17), (8, 8), (9, 7), (16, 23)])
def test_kernels_sum_to_one_at_any_size(height: int, width: int) -> None:
    torch.manual_seed(0)
    estimator = MANet(SMALL_ESTIMATOR)
    frozen(estimator)
    kernels = estimator(torch.rand(1, 3, height, width))
    assert kernels.shape == (1, 25, height, width)
    assert kernels.min() > 0
    torch.testing.assert_close(kernels.sum(1), torch.ones(1, height, width))


def test_padding_repeats_the_bottom_and_the_right_edge() -> None:
    image = torch.arange(9 * 10.0).view(1, 1, 9, 10).expand(-1, 3, -1, -1)
    padded = MANet(SMALL_ESTIMATOR).pad(image)
    assert padded.shape == (1, 3, 16, 16)
    assert torch.equal(padded[..., :9, :10], image)
    assert torch.equal(padded[..., 9:, :10], image[..., 8:, :].expand(-1, -1, 7, -1))
    assert torch.equal(padded[..., 10:], padded[..., 9:10].expand(-1, -1, -1, 6))


@pytest.mark.parametrize("parity", list(itertools.product([0, 1], repeat=2)))
def test_estimator_window_is_22_pixels_and_swaps_with_the_phase(parity: tuple[int, int]) -> None:
    torch.manual_seed(0)
    estimator = MANet(SMALL_ESTIMATOR).double()
    pixel = (24 + parity[0], 24 + parity[1])
    # The softmax is in float32: probe its input.
    logits: list[Tensor] = []
    estimator.tail.register_forward_hook(lambda *hooked: logits.append(hooked[2]))

    def probe(image: Tensor) -> Tensor:
        estimator.kernels_of_padded(image)
        return logits[-1]

    for position, (first, last) in zip(pixel, reach(48, pixel, probe), strict=True):
        before, after = position - first, last - position
        assert before + after + 1 == 22
        assert max(before, after) == estimator.footprint.radius
        assert before == (11 if position % 2 == 0 else 10)


@pytest.mark.parametrize("blocks", [1, 2])
def test_restorer_radius(blocks: int) -> None:
    torch.manual_seed(0)
    restorer = RRDBSFT(
        RRDBSFTConfig(scale=1, features=4, blocks=blocks, growth=2, transform_width=2, code_length=2)
    ).double()
    radius = restorer.footprint.radius
    assert radius == 17 * blocks + 3
    for parameter in restorer.parameters():
        # Positive weights and a bias that keeps every unit active: no path is cut or cancels another.
        parameter.data = parameter.data.abs() + 0.01
    side = 2 * radius + 7
    middle = side // 2
    code = torch.rand(1, 2, side, side, dtype=torch.float64)
    window = reach(side, (middle, middle), lambda image: restorer(image, code))
    assert window == ((middle - radius, middle + radius),) * 2


def test_pixels_outside_the_radius_never_change_the_image() -> None:
    torch.manual_seed(0)
    restorer = RRDBSFT(SMALL_RESTORER)
    frozen(restorer)
    radius = restorer.footprint.radius
    side = 2 * radius + 3
    image, code = torch.rand(1, 3, side, side), torch.rand(1, 3, side, side)
    pixel = slice(2 * (radius + 1), 2 * (radius + 2))
    expected = restorer(image, code)[..., pixel, pixel].clone()
    for source in (image, code):
        source[..., 0, :] = source[..., -1, :] = 9.0
        source[..., :, 0] = source[..., :, -1] = 9.0
    torch.testing.assert_close(restorer(image, code)[..., pixel, pixel], expected, rtol=0, atol=1e-6)
    code[..., radius, radius] += 1
    assert not torch.allclose(restorer(image, code)[..., pixel, pixel], expected, rtol=0, atol=1e-6)


def test_practical_radius_is_never_above_the_radius() -> None:
    for blocks in range(1, 24):
        footprint = RRDBSFT(RRDBSFTConfig(features=1, blocks=blocks, growth=1, transform_width=1)).footprint
        assert 0 < footprint.practical_radius <= footprint.radius


def test_code_of_a_kernel_is_its_product_with_the_basis() -> None:
    torch.manual_seed(0)
    kernel_code = KernelCode(kernel_size=5, length=3)
    kernel_code.basis.normal_()
    kernels = torch.rand(2, 5, 5)
    codes = kernel_code.of_kernel(kernels)
    assert codes.shape == (2, 3, 1, 1)
    expected = torch.einsum("bk,kl->bl", kernels.flatten(1), kernel_code.basis)
    torch.testing.assert_close(codes[..., 0, 0], expected)
    spread = kernel_code(kernels.flatten(1)[:, :, None, None].expand(-1, -1, 4, 6))
    torch.testing.assert_close(spread, codes.expand(-1, -1, 4, 6))


def test_decoder_rebuilds_the_mean_and_what_the_basis_spans() -> None:
    torch.manual_seed(0)
    basis = torch.randn(25, 3)  # neither orthogonal nor of unit length
    mean = torch.rand(25)
    decoder = KernelDecoder.around_mean(basis, mean)
    assert (decoder.inverse.shape, decoder.offset.shape) == ((3, 25), (25,))
    kernels = mean + torch.randn(2, 4, 3) @ basis.T
    rebuilt = decoder((kernels @ basis).double())
    assert rebuilt.dtype == torch.float64
    torch.testing.assert_close(rebuilt, kernels.double(), rtol=0, atol=1e-4)
    same = KernelDecoder.with_offset(basis, decoder.offset.float())
    assert torch.equal(same.inverse, decoder.inverse)
    assert torch.equal(same.offset, decoder.offset.float().double())


def test_blind_forward_needs_all_parts() -> None:
    only_estimator = BlindModel(BlindConfig(SMALL_ESTIMATOR, None))
    with pytest.raises(TypeError, match="estimator and a restorer"):
        only_estimator(torch.rand(1, 3, 8, 8))


def test_image_is_not_clamped_and_has_no_skip_from_the_input() -> None:
    torch.manual_seed(0)
    restorer = RRDBSFT(SMALL_RESTORER)
    frozen(restorer)
    restorer.tail.weight.zero_()
    restorer.tail.bias = nn.Parameter(
        torch.full_like(restorer.tail.weight[:, 0, 0, 0], 1.5), requires_grad=False
    )
    sr = restorer(torch.rand(1, 3, 6, 5), torch.rand(1, 3, 6, 5))
    assert torch.equal(sr, torch.full((1, 3, 12, 10), 1.5))


def test_outputs_and_residual_stream_stay_in_float32_in_half_precision() -> None:
    torch.manual_seed(0)
    model = BlindModel(BlindConfig(SMALL_ESTIMATOR, SMALL_RESTORER))
    frozen(model)
    assert model.restorer is not None
    assert model.kernel_code is not None
    model.kernel_code.basis.normal_()
    model.set_precision(torch.bfloat16)
    seen: list[torch.dtype] = []
    assert isinstance(model.restorer, RRDBSFT)
    for block in model.restorer.blocks:
        block.register_forward_hook(lambda *hooked: seen.append(hooked[2].dtype))
    kernels, sr = model(torch.rand(1, 3, 11, 9))
    assert kernels.dtype == sr.dtype == torch.float32
    assert seen == [torch.float32]
    assert model.restorer.blocks[0].dense[0].convs[0].weight.dtype == torch.bfloat16  # type: ignore[union-attr,index]
    assert model.kernel_code.basis.dtype == torch.float32
    torch.testing.assert_close(kernels.sum(1), torch.ones(1, 11, 9))
    model.set_precision(torch.float32)
    assert model(torch.rand(1, 3, 8, 8))[1].dtype == torch.float32
