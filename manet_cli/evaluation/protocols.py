"""Which LR images a test makes of every HR image, and how the command line names that.

`grid`: the published spatially invariant test, 9 kernels. `SIG1,SIG2,THETA`: one Gaussian kernel, variances
in HR pixels squared and an angle in degrees. `mode1` .. `mode6`: the published spatially variant types.
"""

from __future__ import annotations

from dataclasses import dataclass

from manet_cli.degradations import MODES, Degradation, GaussianParameters, published_grid
from manet_cli.errors import UsageError

__all__ = ["GRID", "Protocol", "kernel_label", "parse_kernel", "parse_protocol"]

GRID = "grid"
_MODE_PREFIX = "mode"


@dataclass(frozen=True)
class Protocol:
    """A test.

    Attributes:
        name: ``grid``, ``SIG1,SIG2,THETA`` or ``modeN``, in one spelling only.
        degradations: what is done to every HR image, one LR image each.
    """

    name: str
    degradations: tuple[Degradation, ...]


def parse_protocol(
    text: str, scale: int, *, noise: float = 0.0, jpeg: int | None = None, seed: int = 0
) -> Protocol:
    """Return the test that ``text`` names.

    Args:
        text: ``grid``, ``SIG1,SIG2,THETA`` or ``mode1`` .. ``mode6``.
        scale: HR pixels per LR pixel along a side.
        noise: standard deviation of the noise in units of 1/255.
        jpeg: quality from 1 to 100; None for no JPEG.
        seed: of the noise and of the kernels of type 5. It is the same for every picture, so that a picture's
            LR image does not depend on which others are in the set.

    Raises:
        UsageError: the text is none of that, or a number is out of its range.
    """
    kernels: tuple[GaussianParameters | None, ...] = (None,)
    mode = None
    if text == GRID:
        name, kernels = GRID, published_grid(scale)
    elif text.startswith(_MODE_PREFIX):
        number = text.removeprefix(_MODE_PREFIX)
        if number not in {str(known) for known in MODES}:
            raise _unknown(text)
        name, mode = text, int(number)
    else:
        kernels = (parse_kernel(text),)
        name = kernels[0].label if kernels[0] else text
    return Protocol(name, tuple(Degradation(scale, kernel, mode, noise, jpeg, seed) for kernel in kernels))


def parse_kernel(text: str) -> GaussianParameters:
    """Return the kernel that ``SIG1,SIG2,THETA`` (variances in HR pixels squared, degrees) names.

    Raises:
        UsageError: the text is not three numbers, or a variance is not above 0.
    """
    try:
        sig1, sig2, degrees = (float(part) for part in text.split(","))
    except ValueError as error:
        raise _unknown(text) from error
    return GaussianParameters.from_degrees(sig1, sig2, degrees)


def kernel_label(degradation: Degradation) -> str:
    """Return the short name of a degradation's kernels: ``9,1,45`` or ``mode3``."""
    kernel = degradation.kernel
    return kernel.label if kernel else f"{_MODE_PREFIX}{degradation.mode}"


def _unknown(text: str) -> UsageError:
    return UsageError(
        f"{text!r} names no blur: expected SIG1,SIG2,THETA (two variances in HR pixels squared and degrees, "
        f"such as 9,1,45), {GRID}, or mode1 to mode{max(MODES)}."
    )
