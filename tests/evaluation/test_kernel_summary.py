"""The summary of a picture's blur, from known kernels."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor

from manet_cli.degradations.kernel_shape import KernelShapes
from manet_cli.evaluation.kernel_summary import KernelSummary, size_range


def shapes_of(*rows: tuple[float, float, float]) -> KernelShapes:
    return KernelShapes(*torch.tensor(rows).T)


def summary_of(shapes: KernelShapes, trusted: Tensor | None = None, scale: int = 4) -> KernelSummary:
    summary = KernelSummary(scale)
    summary.add(shapes, torch.ones_like(shapes.theta, dtype=torch.bool) if trusted is None else trusted)
    return summary


def random_shapes(count: int) -> KernelShapes:
    generator = torch.Generator().manual_seed(0)
    short, ratio = torch.rand(2, count, generator=generator)
    return KernelShapes((1 + short) * (1 + ratio), 1 + short, torch.rand(count, generator=generator) * 180)


def test_medians_and_spreads() -> None:
    shapes = random_shapes(4001)
    summary = summary_of(shapes)
    assert summary.size is not None
    assert summary.anisotropy is not None
    for spread, values in ((summary.size, shapes.size), (summary.anisotropy, shapes.anisotropy)):
        expected = torch.quantile(values, torch.tensor([0.1, 0.5, 0.9])).tolist()
        assert [spread.p10, spread.median, spread.p90] == pytest.approx(expected, rel=0.006)


def test_pieces_and_their_order_do_not_matter() -> None:
    shapes, trusted = random_shapes(1000), torch.arange(1000) % 3 > 0
    pieces = KernelSummary(4)
    for start in (600, 0, 300, 900):
        stop = {600: 900, 0: 300, 300: 600, 900: 1000}[start]
        pieces.add(KernelShapes(*(values[start:stop] for values in shapes)), trusted[start:stop])
    assert pieces.fields() == summary_of(shapes, trusted).fields()
    assert pieces.pixels == 1000


def test_axes_have_no_front() -> None:
    summary = summary_of(shapes_of((3, 1, 178), (3, 1, 4)))
    assert summary.angle == pytest.approx(1)
    assert summary.agreement == pytest.approx(math.cos(math.radians(6)))
    crossed = summary_of(shapes_of((3, 1, 20), (3, 1, 110)))
    assert crossed.agreement == pytest.approx(0, abs=1e-6)
    assert crossed.direction() == "in no main direction"


def test_round_kernels_do_not_vote() -> None:
    summary = summary_of(shapes_of((3, 1, 40), *[(2, 2, 130)] * 50))
    assert summary.angle == pytest.approx(40)
    assert float(summary.directions[8]) == pytest.approx(0.8)
    assert float(summary.directions.sum()) == pytest.approx(0.8)


def test_flat_pixels_count_as_flat_alone() -> None:
    shapes = shapes_of((2, 2, 0), (3.1, 0.85, 90), (3.1, 0.85, 90), (3.1, 0.85, 90))
    summary = summary_of(shapes, torch.tensor([True, False, False, False]))
    assert summary.fields() | {"angle": None} == {
        "pixels": 4,
        "blur_size": {"median": 2.0, "p10": 2.0, "p90": 2.0} | summary.size.fields()
        if summary.size
        else None,
        "anisotropy": summary.anisotropy.fields() if summary.anisotropy else None,
        "angle": None,
        "angle_agreement": 0.0,
        "flat_share": 0.75,
        "narrow_edge_share": 0.0,
        "wide_edge_share": 0.0,
        "trained_range": [0.837, 3.162],
    }
    assert summary.size is not None
    assert summary.size.median == pytest.approx(2, rel=0.006)
    assert "75.0 %" in " ".join(summary.words())


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_edges_of_the_trained_range(scale: int) -> None:
    low, high = size_range(scale)
    assert (low**2, high**2) == pytest.approx((0.175 * scale, 2.5 * scale))
    rows = [(1.2 * low, low, 0.0), (high, 1.2 * low, 0.0), (1.5 * high, 0.5 * low, 0.0), (1.5, 1.2, 0.0)]
    summary = summary_of(shapes_of(*rows), scale=scale)
    assert (summary.narrow, summary.wide) == (0.5, 0.5)
    words = " ".join(summary.words())
    assert f"({low:.2f}) or sharper: 50.0 %" in words
    assert f"({high:.2f}) or more: 50.0 %" in words


def test_a_picture_that_shows_nothing() -> None:
    summary = summary_of(shapes_of((2, 2, 0)), torch.tensor([False]))
    fields = summary.fields()
    assert (fields["blur_size"], fields["anisotropy"], fields["angle"]) == (None, None, None)
    assert fields["flat_share"] == 1
    json.dumps(fields, allow_nan=False)
    assert len(summary.words()) == 1
    assert "flat everywhere" in summary.words()[0]


def test_counts_between_sizes() -> None:
    summary = summary_of(shapes_of((1, 1, 0), (2, 2, 0), (2, 2, 0), (15, 15, 0)))
    assert summary.sizes(torch.tensor([0.5, 1.5, 2.5, math.inf])).tolist() == [1, 2, 1]


def test_nearly_round_kernels_have_no_direction() -> None:
    assert summary_of(shapes_of(*[(2.0, 1.9, 93)] * 9)).direction() == "in no main direction"
    assert summary_of(shapes_of(*[(2.0, 1.7, 93)] * 9)).direction() == "nearly all along 93 degrees"
