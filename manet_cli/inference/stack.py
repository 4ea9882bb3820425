"""Small images through the networks together.

A device that is given one small image after another is idle most of the time. How many images run together,
and the place of each among them, changes the last bits of its result: convolutions add up in an order that
depends on the shape of what they are given. So whoever wants the same bytes again must make the same stacks.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from manet_cli.inference.engine import Engine
from manet_cli.inference.streams import KernelTile, RestoredTile

__all__ = ["restore_stack", "stack_size"]

# Pixels of a stack, of which as many images as fit run together, if they are enough to be worth it. On a CPU
# larger images gain nothing; CUDA's and Metal's numbers are those of a tile there, and not measured.
_PIXELS = {"cpu": 8 * 64 * 64, "mps": 256 * 256, "cuda": 512 * 512}
_FEWEST, _MOST = 8, 16


def stack_size(engine: Engine, height: int, width: int) -> int:
    """Return how many images of a size run together, 1 for none.

    It depends on the kind of device and on ``--tile``, but not on what memory is free, so that a run repeated
    has the same stacks.
    """
    number = _PIXELS[engine.device.type] // (height * width)
    tile = engine.given_tile
    whole = not tile or max(height, width) <= tile
    return min(number, _MOST) if number >= _FEWEST and whole else 1


def restore_stack(
    engine: Engine, images: Tensor, *, registered: bool = True
) -> list[tuple[KernelTile, RestoredTile]] | None:
    """Super-resolve images of one size with their own kernels, as `Engine.restore` does, in one go.

    Args:
        engine: with both networks.
        images: (B, N, 3, h, w), float32 in [0, 1]; of the N layers of each the first is the picture, on which
            its kernels are estimated.
        registered: as for `Engine.restore`.

    Returns:
        Each one's kernels and result, whole; None if there is not enough memory for all of them at once.

    Raises:
        ManetError: the networks' result is not a number somewhere, in any of them.
        WeightsError: the weights lack a network.
    """
    estimator, restorer, kernel_code = engine.estimator, engine.restorer, engine.kernel_code
    layers, height, width = images.shape[1], *images.shape[-2:]
    extra = 1 if registered else 0

    def padded(part: Tensor) -> Tensor:
        return engine.send(F.pad(part, (extra, 0, extra, 0), mode="replicate"))

    def compute() -> tuple[Tensor, Tensor, Tensor]:
        kernels = estimator.kernels_of_padded(engine.send(estimator.pad(images[:, 0])))[..., :height, :width]
        codes = kernel_code(kernels)
        inputs = padded(images.flatten(0, 1)), padded(codes.repeat_interleave(layers, dim=0))
        output: Tensor = restorer(*inputs)
        return kernels, codes.cpu(), output[..., extra:, extra:].cpu()

    pixels = images.shape[0] * layers * height * width
    results = engine.attempt_together(compute, pixels) if engine.fits_together(pixels) else None
    if results is None:
        return None
    scale = restorer.config.scale
    kernels, codes, output = results
    output = output[..., : scale * height, : scale * width]
    parts = zip(kernels, codes, output.reshape(*images.shape[:2], *output.shape[1:]), strict=True)
    return [(KernelTile(0, 0, kernel, code), RestoredTile(0, 0, pixels)) for kernel, code, pixels in parts]
