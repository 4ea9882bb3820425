"""Every error that a user can cause, each with the exit code it ends in.

    ManetError                1
    ├── InputError            1   an input cannot be used: missing, unreadable, unsupported, too large
    ├── OutputError           1   an output cannot be written: exists, collides, no room, format limit
    ├── OutOfMemoryError      1   even the smallest tile does not fit
    ├── NotStartedError       1   an input left alone because another one failed (--fail-fast)
    ├── TrainingError         1   a training run cannot go on
    ├── UsageError            2   options that do not go together or have no meaning
    ├── WeightsError          3   weights missing, damaged, of another shape or scale
    └── DeviceError           4   the device asked for does not exist or cannot run the model

A message is one or two sentences: what was given, what was expected, what to do.
"""

from __future__ import annotations

__all__ = [
    "DeviceError",
    "InputError",
    "ManetError",
    "NotStartedError",
    "OutOfMemoryError",
    "OutputError",
    "TrainingError",
    "UsageError",
    "WeightsError",
]


class ManetError(Exception):
    """Base of all errors that are reported as a sentence instead of a traceback."""

    exit_code = 1

    def __str__(self) -> str:
        """Return the message with a full stop."""
        return super().__str__().rstrip(".") + "."


class InputError(ManetError):
    """An input cannot be used."""


class OutputError(ManetError):
    """An output cannot be written."""


class OutOfMemoryError(ManetError):
    """The device has not enough memory for the smallest tile."""


class NotStartedError(ManetError):
    """An input was not worked on, because another one failed."""


class TrainingError(ManetError):
    """A training run cannot go on."""


class UsageError(ManetError):
    """The command line asks for something that has no meaning."""

    exit_code = 2


class WeightsError(ManetError):
    """Weights are missing or cannot be trusted or used."""

    exit_code = 3


class DeviceError(ManetError):
    """A device is missing or unusable."""

    exit_code = 4
