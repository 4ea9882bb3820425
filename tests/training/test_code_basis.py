"""The basis of kernel codes."""

from __future__ import annotations

import pytest
import torch

from manet_cli.degradations.gaussian import sample_kernels
from manet_cli.training.code_basis import compute_code_basis


@pytest.mark.parametrize(("scale", "explained"), [(2, 0.9993), (3, 0.9990), (4, 0.9991)])
def test_the_explained_variance_is_that_of_kernels_never_seen(scale: int, explained: float) -> None:
    kernels = 150_000 if scale == 4 else 20_000
    code = compute_code_basis(scale, kernels=kernels)
    assert code.basis.shape == (441, 15)
    assert code.explained == pytest.approx(explained, abs=1e-4)
    fresh, _ = sample_kernels(4000, scale, torch.Generator().manual_seed(99))
    centred = fresh.flatten(1) - fresh.flatten(1).mean(dim=0)
    residual = centred - centred @ code.basis @ code.basis.T
    assert float(1 - residual.square().sum() / centred.square().sum()) == pytest.approx(explained, abs=4e-4)


def test_the_basis_is_the_first_left_singular_vectors() -> None:
    code = compute_code_basis(4, kernels=500, seed=3, length=6)
    kernels, _ = sample_kernels(500, 4, torch.Generator().manual_seed(3), dtype=torch.float64)
    matrix = kernels.flatten(1).T
    vectors = torch.linalg.svd(matrix - matrix.mean(dim=1, keepdim=True), full_matrices=False).U[:, :6]
    agreement = (code.basis.double().T @ vectors).abs()
    torch.testing.assert_close(agreement, torch.eye(6, dtype=torch.float64), atol=1e-6, rtol=0)
    assert torch.equal(compute_code_basis(4, kernels=500, seed=3, length=6).basis, code.basis)
    largest = code.basis.gather(0, code.basis.abs().argmax(dim=0, keepdim=True))
    assert (largest > 0).all()
