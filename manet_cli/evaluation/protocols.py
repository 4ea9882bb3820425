"""Test protocols: the LR images to make from every HR image, and their names on the command line.

`grid`: the published spatially invariant test, 9 kernels. `SIG1,SIG2,THETA`: one Gaussian kernel, variances
in HR pixels squared and an angle in degrees. `mode1` .. `mode6`: the published spatially variant types.
`camera`: 16 cases from the mixture that the recipe `camera` trains on.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from manet_cli.degradations.gaussian import GaussianParameters, KernelRange
from manet_cli.degradations.protocol import Degradation, published_grid
from manet_cli.degradations.registry import camera_steps
from manet_cli.degradations.spatially_variant import MODES
from manet_cli.degradations.step import DegradationStep
from manet_cli.errors import UsageError

__all__ = ["CAMERA", "GRID", "Protocol", "parse_kernel", "parse_protocol"]

GRID = "grid"
CAMERA = "camera"
CAMERA_CASES = 16
_MODE_PREFIX = "mode"
_KERNEL = "SIG1,SIG2,THETA (two variances in HR pixels squared and degrees, such as 9,1,45)"


@dataclass(frozen=True)
class Protocol:
    """A test.

    Attributes:
        name: ``grid``, ``camera``, ``SIG1,SIG2,THETA`` or ``modeN``, normalised.
        degradations: each makes one LR image of every HR image.
    """

    name: str
    degradations: tuple[Degradation, ...]

    def case(self, degradation: Degradation) -> str:
        """Return the name of a degradation: its kernels, and its steps if they differ in this protocol."""
        steps_differ = len({one.steps for one in self.degradations}) > 1
        return degradation.label if steps_differ else degradation.kernel_label


def parse_protocol(
    text: str, scale: int, *, steps: Sequence[DegradationStep] = (), seed: int = 0
) -> Protocol:
    """Parse the name of a test.

    Args:
        text: ``grid``, ``camera``, ``SIG1,SIG2,THETA`` or ``mode1`` .. ``mode6``.
        scale: HR pixels per LR pixel along a side.
        steps: steps after the blur; not for ``camera``, which draws them.
        seed: seed of the noise, the kernels of type 5 and the mixture. All pictures have the same seed, so
            an LR image does not depend on the other pictures in the set.

    Raises:
        UsageError: the text is not a protocol, or ``steps`` are given for ``camera``.
    """
    kernels: tuple[GaussianParameters | None, ...] = (None,)
    mode = None
    if text == CAMERA:
        if steps:
            raise UsageError(
                f"the protocol {CAMERA} draws all steps after the blur: leave out {steps[0].name}"
            )
        return Protocol(CAMERA, _camera_cases(scale, seed))
    if text == GRID:
        name, kernels = GRID, published_grid(scale)
    elif text.startswith(_MODE_PREFIX):
        number = text.removeprefix(_MODE_PREFIX)
        if number not in {str(known) for known in MODES}:
            raise _unknown(text)
        name, mode = text, int(number)
    else:
        if "," not in text:
            raise _unknown(text)
        kernels = (parse_kernel(text),)
        name = kernels[0].label if kernels[0] else text
    return Protocol(name, tuple(Degradation(scale, kernel, mode, tuple(steps), seed) for kernel in kernels))


def parse_kernel(text: str) -> GaussianParameters:
    """Parse ``SIG1,SIG2,THETA`` (variances in HR pixels squared, degrees).

    Raises:
        UsageError: the text is not three numbers, or a variance is not above 0.
    """
    try:
        sig1, sig2, degrees = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"{text!r} is not a blur: expected {_KERNEL}") from error
    return GaussianParameters.from_degrees(sig1, sig2, degrees)


def _camera_cases(scale: int, seed: int) -> tuple[Degradation, ...]:
    """Draw kernels of the published range and steps of the camera mixture."""
    source = random.Random(seed)
    limits = KernelRange.for_scale(scale)
    cases = []
    for _ in range(CAMERA_CASES):
        sig1, sig2 = (round(source.uniform(limits.low, limits.high), 2) for _ in range(2))
        kernel = GaussianParameters.from_degrees(sig1, sig2, source.randrange(180))
        cases.append(Degradation(scale, kernel, steps=camera_steps(source), seed=seed))
    return tuple(cases)


def _unknown(text: str) -> UsageError:
    return UsageError(
        f"{text!r} is not a blur: expected {_KERNEL}, {GRID}, {CAMERA}, or mode1 to mode{max(MODES)}."
    )
