"""The list of steps after the blur, and the mixture `camera` of them.

To add a step: write its module (a `DegradationStep`, a `StepRecipe` and a parser, see `sharpening`) and add
its entry here. Options, protocols, recipes and training batches follow from the list.
"""

from __future__ import annotations

import random

from manet_cli.degradations.jpeg import Jpeg, JpegRecipe, parse_jpeg
from manet_cli.degradations.noise import Noise, NoiseRecipe, parse_noise
from manet_cli.degradations.sharpening import Sharpening, SharpeningRecipe, parse_sharpening
from manet_cli.degradations.step import DegradationKind, DegradationStep

__all__ = ["DEGRADATIONS", "camera_steps", "degradation_named"]

DEGRADATIONS = [
    DegradationKind(
        step=Noise,
        metavar="LEVEL[,KIND...]",
        help="Gaussian noise: standard deviation (of 255), then any of correlation=PIXELS, colour, signal.",
        parse=parse_noise,
        recipe=NoiseRecipe,
        camera=NoiseRecipe(share=0.65),
    ),
    DegradationKind(
        step=Sharpening,
        metavar="RADIUS,AMOUNT",
        help="Unsharp mask: radius in LR pixels and amount, such as 0.8,0.5.",
        parse=parse_sharpening,
        recipe=SharpeningRecipe,
        camera=SharpeningRecipe(share=0.33),
    ),
    DegradationKind(
        step=Jpeg,
        metavar="QUALITY[,4:4:4]",
        help="JPEG: quality from 1 to 100.",
        parse=parse_jpeg,
        recipe=JpegRecipe,
        camera=JpegRecipe(share=0.55),
    ),
]
"""One entry per step after the blur."""


def degradation_named(name: str) -> DegradationKind | None:
    """Return the entry with a name; None if there is none."""
    return next((kind for kind in DEGRADATIONS if kind.name == name), None)


def camera_steps(source: random.Random) -> tuple[DegradationStep, ...]:
    """Draw the steps of one image from the mixture `camera`: mostly one or two, sometimes none."""
    drawn = [kind.camera.sample(source) for kind in DEGRADATIONS]
    return tuple(step for step in drawn if step is not None)
