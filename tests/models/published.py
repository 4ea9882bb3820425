"""Weights and names of the published layout, as used for the reference outputs."""

import functools
import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"


@functools.cache
def golden() -> dict[str, Tensor]:
    """Reference outputs: every 5th row and column of kernels, every 2nd of the non-blind image."""
    return load_file(GOLDEN / "forward.safetensors")


def published_shapes(scale: int) -> dict[str, list[int]]:
    """Name -> shape of the published stage-3 state dict."""
    groups = json.loads((GOLDEN / "state_dict_keys.json").read_text(encoding="utf-8"))
    return {**groups["estimator"], **groups["restorer"], **groups["upsampler"][str(scale)]}


def published_weights(scale: int) -> dict[str, Tensor]:
    """A stage-3 state dict with numbers derived from its names, and the basis of the reference outputs."""
    weights = {}
    for name, shape in published_shapes(scale).items():
        if name == "pca_matrix":
            weights[name] = golden()[f"x{scale}.pca_matrix"][None, :, :, None, None]
            continue
        values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
        factor = 1 / math.sqrt(math.prod(shape[1:])) if name.endswith("weight") else 0.05
        weights[name] = torch.from_numpy(values * np.float32(factor))
    return weights
