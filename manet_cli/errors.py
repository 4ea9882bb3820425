"""Every error that a user can cause, with its exit code.

    ManetError                1
    ├── InputError            1   an input cannot be used: missing, unreadable, unsupported, too large
    ├── OutputError           1   an output cannot be written: exists, collides, no room, format limit
    ├── OutOfMemoryError      1   even the smallest tile does not fit
    ├── NotStartedError       1   an input skipped because another one failed (--fail-fast)
    ├── TrainingError         1   a training run cannot continue
    ├── UsageError            2   options that conflict or are invalid
    ├── WeightsError          3   weights missing, damaged, of another shape or scale
    └── DeviceError           4   the device does not exist or cannot run the model

A message is one or two sentences: what was given, what was expected, what to do. Its parts are text and
`Parameter` objects. A Python user reads ``precision='fp32'``; the command line shows the option instead:

    raise UsageError(Parameter("precision", name), ": expected auto, fp32, bf16, fp16, int8")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "DeviceError",
    "InputError",
    "ManetError",
    "Message",
    "NotStartedError",
    "OutOfMemoryError",
    "OutputError",
    "Parameter",
    "TrainingError",
    "UsageError",
    "WeightsError",
]


@dataclass(frozen=True)
class Parameter:
    """A parameter that a message names.

    Attributes:
        name: as in Python.
        value: the value given, or to give; None to name only the parameter.
    """

    name: str
    value: object = None

    def __str__(self) -> str:
        """Return the parameter as a Python user writes it."""
        value = str(self.value) if isinstance(self.value, Path) else self.value
        return self.name if value is None else f"{self.name}={value!r}"


Spelling = Callable[[Parameter], str]
"""Spells a parameter, for Python or for the command line."""


class Message:
    """Text that may name parameters.

    Args:
        parts: text and `Parameter` objects, in order.
    """

    def __init__(self, *parts: object) -> None:
        self.parts = parts

    def __str__(self) -> str:
        """Return the text for a Python user."""
        return self.spelled(str)

    def spelled(self, spelling: Spelling) -> str:
        """Return the text, each parameter spelled by ``spelling``."""
        return "".join(spelling(part) if isinstance(part, Parameter) else str(part) for part in self.parts)

    @staticmethod
    def listed(parameters: Iterable[Parameter], between: str) -> tuple[object, ...]:
        """Return the parts for several parameters, with the text ``between`` them."""
        parts: list[object] = []
        for parameter in parameters:
            parts += [between, parameter] if parts else [parameter]
        return tuple(parts)


class ManetError(Exception):
    """Base of all errors that are reported as a sentence instead of a traceback.

    Args:
        parts: the message, as in `Message`.
    """

    exit_code = 1

    def __init__(self, *parts: object) -> None:
        super().__init__(*parts)

    def __str__(self) -> str:
        """Return the message for a Python user, with a full stop."""
        return self.spelled(str)

    def spelled(self, spelling: Spelling) -> str:
        """Return the message with a full stop, each parameter spelled by ``spelling``."""
        return Message(*self.args).spelled(spelling).rstrip(".") + "."


class InputError(ManetError):
    """An input cannot be used."""


class OutputError(ManetError):
    """An output cannot be written."""


class OutOfMemoryError(ManetError):
    """The device lacks memory for the smallest tile."""


class NotStartedError(ManetError):
    """An input was skipped because another one failed."""


class TrainingError(ManetError):
    """A training run cannot continue."""


class UsageError(ManetError):
    """Options conflict or are invalid."""

    exit_code = 2


class WeightsError(ManetError):
    """Weights are missing, damaged or unusable."""

    exit_code = 3


class DeviceError(ManetError):
    """A device is missing or unusable."""

    exit_code = 4
