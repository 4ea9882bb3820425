"""Loss from a halo smaller than the full receptive field: tiled runs compared with an untiled one.

    python benchmarks/seams.py FOLDER [--model NAME|FILE] [--tile 64] [--limit 8] [--crop 240]

It also compares codes that are estimated in tiles with untiled ones. This table is the source of the default
halo, ``practical_radius`` in ``manet_cli/models/rrdb_sft.py``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest.mock import PropertyMock, patch

import torch
from harness import Picture, machine, photos, restored, to_levels
from torch import Tensor

from manet_cli.inference import Engine
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.models import RRDBSFT, Footprint
from manet_cli.weights import load_weights


class KnownCodes:
    """Kernel codes (1, L, H, W) computed before, so that only the restorer's halo is measured."""

    def __init__(self, codes: Tensor) -> None:
        self._codes = codes

    def forget(self, before: int) -> None:
        """Do nothing: all are kept."""

    def rows(self, start: int, stop: int) -> Tensor:
        """Return the codes of rows [start, stop)."""
        return self._codes[:, :, start:stop]


def estimated(engine: Engine, picture: Picture) -> KnownCodes:
    """Estimate the codes of a picture, untiled."""
    return KnownCodes(EstimatedCodes(engine, picture).rows(0, picture.height))


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="photos, used as LR images")
    parser.add_argument("--model", default="default")
    parser.add_argument("--tile", type=int, default=64)
    parser.add_argument("--limit", type=int, default=8, help="number of photos")
    parser.add_argument("--crop", type=int, default=240, help="side of the middle crop, pixels")
    parser.add_argument("--halos", type=int, nargs="*", default=[8, 12, 16, 24, 32])
    options = parser.parse_args()

    device = torch.device("cpu")
    weights, _ = load_weights(options.model)
    stride = weights.code_stride
    untiled = Engine(weights.build(), device, tile=0, code_stride=stride)
    cut = Engine(weights.build(), device, tile=options.tile, code_stride=stride)
    footprint = untiled.restorer.footprint
    cases = {str(halo): halo for halo in options.halos}
    cases[f"{footprint.practical_radius} (default)"] = footprint.practical_radius
    cases[f"{footprint.radius} (exact)"] = footprint.radius
    cases = dict(sorted(cases.items(), key=lambda case: case[1]))
    over: dict[str, list[float]] = {name: [] for name in cases}
    largest: dict[str, float] = dict.fromkeys(cases, 0.0)
    finest: dict[str, float] = dict.fromkeys(cases, 0.0)

    codes_off = 0.0
    for _, picture in photos(options.folder, options.limit, options.crop):
        codes = estimated(untiled, picture)
        expected = restored(untiled, picture, codes)
        tiled_codes = estimated(cut, picture).rows(0, picture.height)
        codes_off = max(codes_off, float((tiled_codes - codes.rows(0, picture.height)).abs().max()))
        for name, halo in cases.items():
            changed = Footprint(footprint.scale, footprint.size_multiple, footprint.radius, halo)
            with patch.object(RRDBSFT, "footprint", new_callable=PropertyMock, return_value=changed):
                found = restored(Engine(weights.build(), device, tile=options.tile), picture, codes)
            difference = (to_levels(found) - to_levels(expected)).abs()
            over[name].append(float((difference > 1).float().mean()) * 100)
            largest[name] = max(largest[name], float(difference.max()))
            finest[name] = max(finest[name], float((found - expected).abs().max()) * 255)

    count = len(over[next(iter(cases))])
    print(f"{machine()}; {options.model}, {count} photos, tiles of {options.tile} pixels\n")
    print(
        "| halo | % of values off by more than 1 of 255, mean | worst photo | largest, levels | unrounded |"
    )
    print("|---|---|---|---|---|")
    for name, shares in over.items():
        print(
            f"| {name} | {sum(shares) / len(shares):.5f} | {max(shares):.5f} "
            f"| {largest[name]:.0f} | {finest[name]:.3f} |"
        )
    print(f"\nCodes that are estimated in tiles differ from the untiled ones by {codes_off:.1e} at most.")


if __name__ == "__main__":
    main()
