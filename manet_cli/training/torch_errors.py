"""Sentences for PyTorch's errors while training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from manet_cli.errors import OutOfMemoryError, Parameter, TrainingError

__all__ = ["explained"]

_SIZES = (Parameter("batch_size"), " or ", Parameter("patch_size"))


@contextmanager
def explained() -> Iterator[None]:
    """Replace PyTorch's errors by sentences that say what to do.

    Raises:
        OutOfMemoryError: a batch or a network does not fit.
        TrainingError: the step cannot be compiled.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemoryError(
            "a training step does not fit in the device's memory: give a smaller ", *_SIZES
        ) from error
    except RuntimeError as error:
        if type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
            raise TrainingError(
                f"PyTorch cannot compile the step on this machine ({str(error).splitlines()[0]}): leave ",
                *(Parameter("compile"), " out"),
            ) from error
        if "not enough memory" in str(error) or "can't allocate memory" in str(error):
            raise OutOfMemoryError(
                "a training step does not fit in memory: give a smaller ", *_SIZES
            ) from error
        raise
