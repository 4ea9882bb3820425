"""The source of the blur: estimated, given by the user, or adjusted by the user."""

from __future__ import annotations

import functools
import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from manet_cli.degradations.gaussian import GaussianParameters
from manet_cli.degradations.kernel_placement import is_centred, moved_to_placement
from manet_cli.errors import Message, Parameter, UsageError
from manet_cli.evaluation.kernel_summary import EDGE, size_range
from manet_cli.evaluation.self_check import Kernels
from manet_cli.inference import Engine, KernelTile, LowResolution
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.inference.streams import Codes
from manet_cli.jobs.blur.adjustment import AdjustedKernels, Adjustment, strengthened_kernel
from manet_cli.jobs.blur.array_file import UnreadableArrayError, open_array
from manet_cli.jobs.blur.map_file import (
    LARGEST_SHARE,
    KernelField,
    interpolated_kernels,
    kernel_field,
    read_kernel_map,
)

__all__ = [
    "Blur",
    "BlurOptions",
    "GivenBlur",
    "given_kernel",
    "open_blur",
    "parse_sigma",
    "read_kernel",
    "sigma_kernel",
]

logger = logging.getLogger(__name__)

_KERNEL = Parameter("kernel")
_SUM_TOLERANCE = 0.01
_STRONGEST = 10.0
_LARGEST_RADIUS = 64


@dataclass(frozen=True, eq=False)
class GivenBlur:
    """A kernel (k, k) in float32 that sums to 1, in the published placement, and its text in the record."""

    kernel: Tensor
    description: str


def read_kernel(path: Path, kernel_size: int) -> GivenBlur:
    """Read a kernel from a ``.npy`` file without unpickling anything.

    Args:
        path: the file, holding (k, k) finite numbers that sum to 1 within 0.01.
        kernel_size: the k of the weights.

    Raises:
        UsageError: the file is missing or holds other content.
    """
    name = Parameter("kernel", path)
    try:
        array = open_array(path)
    except FileNotFoundError as error:
        raise UsageError(name, *_no_such_file(str(path))) from error
    except UnreadableArrayError as error:
        raise UsageError(name, f": this is not a .npy file of plain numbers{error.advice}") from error
    except OSError as error:
        raise UsageError(name, f": the file cannot be read as plain numbers ({error.strerror})") from error
    return given_kernel(array, kernel_size, name)


def _no_such_file(given: str) -> tuple[object, ...]:
    """Return the message parts for a missing kernel file; for numbers, name the right parameter."""
    try:
        sig1, *more = numbers = parse_sigma(given)
    except UsageError:
        return (": there is no such file",)
    widths = [math.sqrt(sig1), *map(math.sqrt, more[:1]), *more[1:]]
    roots = ",".join(f"{width:.4g}" for width in widths)
    return (
        ": these are numbers, not a file; type ",
        Parameter("sigma", roots),
        " if they are variances, as published, or ",
        Parameter("sigma", ",".join(f"{number:g}" for number in numbers)),
        " if they are standard deviations",
    )


def given_kernel(array: npt.NDArray[Any], kernel_size: int, name: Parameter = _KERNEL) -> GivenBlur:
    """Make a kernel from an array, see `read_kernel`; ``name`` is the parameter in messages."""
    expected = (kernel_size, kernel_size)
    if array.shape != expected or array.dtype.kind not in "fiu":
        found = f"{array.dtype} of shape {array.shape}"
        raise UsageError(name, f": expected real numbers of shape {expected}, it holds {found}")
    values = array.astype(np.float64)
    total = float(values.sum())
    if not np.isfinite(values).all() or abs(total - 1) > _SUM_TOLERANCE:
        raise UsageError(name, f": a blur kernel's values sum to 1, these sum to {total:.4g}")
    if (largest := float(np.abs(values).max())) > LARGEST_SHARE:
        raise UsageError(
            name,
            f": expected kernel values from {-LARGEST_SHARE:g} to {LARGEST_SHARE:g}, "
            f"these reach {largest:.4g}",
        )
    kernel = torch.from_numpy((values / total).astype(np.float32))
    return GivenBlur(kernel, f"kernel {hashlib.sha256(kernel.numpy().tobytes()).hexdigest()}")


def _placed(given: GivenBlur, scale: int) -> GivenBlur:
    """Move a kernel that is centred in its array, as other tools write it, to the published placement."""
    if not is_centred(given.kernel, scale):
        return given
    logger.warning(
        "%s is centred in its array, as other tools write kernels; its centre is moved by %g pixels",
        *(Message(_KERNEL), (scale - 1) / 2),
    )
    return replace(given, kernel=moved_to_placement(given.kernel, scale))


def parse_sigma(text: str, name: str = "sigma") -> tuple[float, ...]:
    """Parse ``SX[,SY[,THETA]]``.

    Args:
        text: one to three numbers with commas between them.
        name: name of the parameter, for messages.

    Raises:
        UsageError: the text has another form.
    """
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not 1 <= len(numbers) <= 3:
        raise UsageError(Parameter(name, text), ": expected SX, SX,SY or SX,SY,THETA, such as 2.5 or 3,1,45")
    _check_sigma(numbers, Parameter(name, text))
    return numbers


def sigma_kernel(sigma: Sequence[float], scale: int, kernel_size: int, name: str = "sigma") -> GivenBlur:
    """Make a Gaussian kernel.

    Args:
        sigma: standard deviations in HR pixels along two axes (the second by default equal to the first), and
            the first axis' angle in degrees from right towards down; one to three numbers.
        scale: HR pixels per LR pixel; it sets the placement.
        kernel_size: side of the kernel.
        name: name of the parameter, for messages.

    Raises:
        UsageError: the numbers are invalid.
    """
    _check_sigma(sigma, Parameter(name, sigma[0] if len(sigma) == 1 else tuple(sigma)))
    numbers = (*sigma, sigma[0], 0.0)[:3] if len(sigma) == 1 else (*sigma, 0.0)[:3]
    sigma_x, sigma_y, theta = numbers
    parameters = GaussianParameters.from_degrees(sigma_x**2, sigma_y**2, theta)
    kernel = parameters.kernel(scale, kernel_size=kernel_size)
    exact = ",".join(f"{value:g}" if float(f"{value:g}") == value else f"{value!r}" for value in numbers)
    return GivenBlur(kernel, f"sigma {exact}")


def _warn_beyond_training(sigma: Sequence[float], scale: int, name: str) -> None:
    """Warn of standard deviations outside the trained range."""
    low, high = size_range(scale)
    widths = sigma[:2]
    if min(widths) < low * (1 - EDGE) or max(widths) > high * (1 + EDGE):
        given = Parameter(name, ",".join(f"{number:g}" for number in sigma))
        logger.warning(
            "%s: the weights were trained on standard deviations from %.2f to %.2f result pixels at x%d; "
            "outside this range the result is a guess",
            *(Message(given), low, high, scale),
        )


def _check_sigma(sigma: Sequence[float], given: Parameter) -> None:
    if not 1 <= len(sigma) <= 3:
        raise UsageError(given, ": expected one to three numbers")
    if not all(map(math.isfinite, sigma)) or min(sigma[:2]) <= 0:
        raise UsageError(given, ": expected standard deviations above 0 and finite degrees")


@dataclass(frozen=True, eq=False)
class BlurOptions:
    """The user's options for the blur; by default it is estimated.

    Attributes:
        kernel: one kernel: a ``.npy`` file, or the array.
        sigma: numbers of one Gaussian, as in `sigma_kernel`.
        kernel_map: a kernel for every pixel, or every n-th: a ``.npy`` or ``.npz`` file, or the array.
        strength: factor on the blur's covariance.
        smooth: radius of a median filter on the blur, LR pixels.
        flat_sigma: numbers of the Gaussian for flat areas, as in `sigma_kernel`.
    """

    kernel: str | npt.NDArray[Any] | None = None
    sigma: Sequence[float] | None = None
    kernel_map: str | npt.NDArray[Any] | None = None
    strength: float = 1.0
    smooth: int = 0
    flat_sigma: Sequence[float] | None = None


@dataclass(frozen=True, eq=False)
class Blur:
    """The blur of a run's pictures.

    Attributes:
        settings: entries of the record.
        kernel: one kernel (k, k) for all pixels; None if it varies from pixel to pixel.
        given: kernels from a file; None to estimate them.
        adjustment: changes of kernels that vary from pixel to pixel.
    """

    settings: Mapping[str, object]
    kernel: Tensor | None = None
    given: KernelField | None = None
    adjustment: Adjustment = field(default_factory=Adjustment)

    @property
    def estimated(self) -> bool:
        """Whether an estimator is needed."""
        return self.kernel is None and self.given is None

    @property
    def plain(self) -> bool:
        """Whether the kernels are the unchanged estimates."""
        return self.estimated and not self.adjustment.changes

    def check(self, height: int, width: int) -> None:
        """Check that the blur fits a picture of this size, and warn if the stride is ambiguous.

        Raises:
            InputError: the blur belongs to another picture.
        """
        if self.given is not None and not self.given.is_clear(height, width):
            stride = self.given.stride_for(height, width)
            logger.warning(
                "%s fits %dx%d pixels with a stride of %d or more; %d is used. A .npz file states its stride",
                *(Message(self.given.name), width, height, stride, stride),
            )

    def kernels(self, engine: Engine, lr: LowResolution) -> Kernels:
        """Return a function that yields the kernels of an image, once, from the top down."""
        if self.kernel is not None:
            return functools.partial(_constant_kernels, self.kernel, lr.width)
        source: Kernels = functools.partial(engine.kernels, lr)
        if self.given is not None:
            source = functools.partial(_field_kernels, engine, lr, self.given)
        return AdjustedKernels(engine, lr, source, self.adjustment) if self.adjustment.changes else source

    def codes(
        self, engine: Engine, lr: LowResolution, on_kernels: Callable[[KernelTile], None] | None = None
    ) -> Codes:
        """Return the codes of an image's kernels; call ``on_kernels`` with each tile of kernels."""
        if self.kernel is not None:
            return engine.constant_code(self.kernel, lr.width)
        return EstimatedCodes(engine, lr, on_kernels, None if self.plain else self.kernels(engine, lr))


def open_blur(options: BlurOptions, engine: Engine, scale: int) -> Blur:
    """Read and check the user's options for the blur.

    Raises:
        UsageError: options conflict or are invalid, or a file has other content.
        WeightsError: the weights lack a network.
    """
    _check_together(options)
    size = engine.kernel_size
    flat = None
    if options.flat_sigma is not None:
        flat = sigma_kernel(options.flat_sigma, scale, size, "flat_sigma")
        _warn_beyond_training(options.flat_sigma, scale, "flat_sigma")
    adjustment = Adjustment(options.smooth, options.strength, flat.kernel if flat else None)
    settings: dict[str, object] = {"blur": "estimated"}
    if options.strength != 1:
        settings["strength"] = options.strength
    if options.smooth:
        settings["smooth"] = options.smooth
    if flat is not None:
        settings["flat-sigma"] = flat.description.removeprefix("sigma ")
    given = None
    if options.kernel is not None:
        given = _placed(
            read_kernel(Path(options.kernel), size)
            if isinstance(options.kernel, str)
            else given_kernel(options.kernel, size),
            scale,
        )
    elif options.sigma is not None:
        given = sigma_kernel(options.sigma, scale, size)
        _warn_beyond_training(options.sigma, scale, "sigma")
    if given is not None:
        kernel = strengthened_kernel(given.kernel, options.strength, scale)
        blur = Blur({**settings, "blur": given.description}, kernel=kernel)
    elif options.kernel_map is not None:
        basis = engine.kernel_code.basis.cpu()
        if isinstance(options.kernel_map, str):
            kernels = read_kernel_map(Path(options.kernel_map), scale, size, basis)
        else:
            kernels = kernel_field(
                {"kernels": options.kernel_map}, scale, size, basis, Parameter("kernel_map"), ""
            )
        described = {**settings, "blur": f"kernel-map {kernels.digest}"}
        blur = Blur(described, given=kernels, adjustment=adjustment)
    else:
        blur = Blur(settings, adjustment=adjustment)
    # Require the networks now, so that incomplete weights fail before any picture.
    engine.require(estimator=blur.estimated, restorer=True)
    return blur


def _check_together(options: BlurOptions) -> None:
    """Raise UsageError for options that conflict or are invalid."""
    values = {"kernel": options.kernel, "sigma": options.sigma, "kernel_map": options.kernel_map}
    given = [Parameter(name) for name, value in values.items() if value is not None]
    if len(given) > 1:
        raise UsageError(*Message.listed(given, " and "), " each set the blur; give one of them")
    if not 0 < options.strength <= _STRONGEST:
        raise UsageError(
            Parameter("strength", options.strength), f": expected a number above 0, up to {_STRONGEST:g}"
        )
    if not 0 <= options.smooth <= _LARGEST_RADIUS:
        raise UsageError(
            Parameter("smooth", options.smooth), f": expected 0 to {_LARGEST_RADIUS} pixels of the input"
        )
    one = next((parameter for parameter in given if parameter.name != "kernel_map"), None)
    if one and options.smooth:
        raise UsageError(
            *(Parameter("smooth"), " has no effect with ", one),
            ", which is the same for all pixels: leave one out",
        )
    if one and options.flat_sigma is not None:
        raise UsageError(
            *(Parameter("flat_sigma"), " has no effect with ", one),
            ", which also sets the blur of flat areas: leave one out",
        )


def _constant_kernels(kernel: Tensor, width: int, start: int, stop: int) -> Iterator[KernelTile]:
    """Yield one kernel (k, k) for every pixel of rows [start, stop) of an image, without copies."""
    kernels = kernel.reshape(-1, 1, 1).expand(-1, stop - start, width)
    yield KernelTile(start, 0, kernels, kernels[:0])


def _field_kernels(
    engine: Engine, lr: LowResolution, field: KernelField, start: int, stop: int
) -> Iterator[KernelTile]:
    """Yield the kernels of rows [start, stop) of an image from a file."""
    for row, kernels in interpolated_kernels(field, lr.height, lr.width, start, min(stop, lr.height)):
        values = kernels.flatten(2).permute(2, 0, 1)
        yield KernelTile(row, 0, values, engine.code_of(values))
