"""In which number format a network computes."""

from __future__ import annotations

import torch

__all__ = ["autocast_dtype"]


def autocast_dtype(device: torch.device, otherwise: torch.dtype) -> torch.dtype:
    """Return the number format that autocast computes in on ``device``; ``otherwise`` where it is off."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else otherwise
