"""The number format of a network's computation."""

from __future__ import annotations

import torch

__all__ = ["autocast_dtype"]


def autocast_dtype(device: torch.device, otherwise: torch.dtype) -> torch.dtype:
    """Return the number format of autocast on ``device``; ``otherwise`` if autocast is off."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else otherwise
