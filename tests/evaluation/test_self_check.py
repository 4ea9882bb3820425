"""A result against its input: exact if possible, for any pieces, and sensitive to errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from manet_cli.degradations.blur import apply_kernel_map
from manet_cli.degradations.gaussian import sample_kernels
from manet_cli.degradations.quantization import apply_quantization
from manet_cli.evaluation.metrics import lr_psnr
from manet_cli.evaluation.self_check import Agreement, SelfCheck
from manet_cli.inference import KernelTile
from tests.inference.conftest import Picture

HEIGHT, WIDTH = 70, 41  # of the LR image: more rows than are compared together


def kernel_map(scale: int) -> Tensor:
    """A different kernel for every LR pixel, (H, W, 21, 21)."""
    generator = torch.Generator().manual_seed(scale)
    kernels, _ = sample_kernels(HEIGHT * WIDTH, scale, generator)
    return kernels.reshape(HEIGHT, WIDTH, 21, 21)


def hr_image(scale: int) -> Tensor:
    return torch.rand(1, 3, scale * HEIGHT, scale * WIDTH, generator=torch.Generator().manual_seed(7))


def check(
    result: Tensor, lr: Tensor, kernels: Tensor, scale: int, *, registered: bool = False, rows: int = 1000
) -> Agreement:
    def tiles(start: int, stop: int) -> Iterator[KernelTile]:
        for column in range(0, WIDTH, 17):
            part = kernels[start:stop, column : column + 17].flatten(2).permute(2, 0, 1)
            yield KernelTile(start, column, part, part[:0])

    found = SelfCheck(Picture(lr), tiles, scale=scale, kernel_size=21, registered=registered)
    for start in range(0, result.shape[2], rows):
        found.add(result[0, :, start : start + rows])
    return found.agreement()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_what_explains_the_input_agrees(scale: int) -> None:
    hr, kernels = hr_image(scale), kernel_map(scale)
    lr = apply_quantization(apply_kernel_map(hr, kernels, scale))
    assert check(hr, lr, kernels, scale) == Agreement(100.0, 100.0, (0, 0, WIDTH, 35))


def test_the_offset_of_a_registered_result_is_known() -> None:
    hr, kernels = hr_image(4), kernel_map(4)
    lr = apply_quantization(apply_kernel_map(hr, kernels, 4))
    moved = F.pad(hr, (3, 0, 3, 0), mode="replicate")[..., : hr.shape[2], : hr.shape[3]]
    assert check(moved, lr, kernels, 4, registered=True).lr_psnr == 100
    assert check(moved, lr, kernels, 4, registered=False).lr_psnr < 40


@pytest.mark.parametrize("rows", [1, 7, 256])
def test_the_figure_is_the_published_one_however_rows_come(rows: int) -> None:
    hr, kernels = hr_image(2), kernel_map(2)
    lr = apply_quantization(apply_kernel_map(hr, kernels, 2) + 0.02 * torch.randn(1, 3, HEIGHT, WIDTH))
    found = check(hr, lr, kernels, 2, rows=rows)
    assert found.lr_psnr == pytest.approx(lr_psnr(hr, lr, kernels, 2), abs=1e-3)
    assert found == pytest.approx(check(hr, lr, kernels, 2)) if rows == 256 else True


def test_the_worst_region_is_found() -> None:
    hr, kernels = hr_image(4), kernel_map(4)
    lr = apply_quantization(apply_kernel_map(hr, kernels, 4))
    hr[..., 4 * 45 : 4 * 60, 4 * 5 : 4 * 35] = 0
    found = check(hr, lr, kernels, 4)
    assert found.worst_box == (0, 35, WIDTH, 35)
    assert found.worst_psnr < found.lr_psnr < 30


def test_small_pictures_have_a_figure_too() -> None:
    kernel = torch.zeros(21, 21)
    kernel[8, 8] = 1

    def tiles(start: int, stop: int) -> Iterator[KernelTile]:
        yield KernelTile(start, 0, kernel.reshape(-1, 1, 1).expand(-1, stop - start, 1), kernel[:0])

    found = SelfCheck(Picture(torch.zeros(1, 3, 2, 1)), tiles, scale=4, kernel_size=21, registered=True)
    found.add(torch.full((3, 8, 4), 1.0))
    assert found.agreement().lr_psnr == pytest.approx(10 * torch.log10(torch.tensor((255 / 219) ** 2)).item())
