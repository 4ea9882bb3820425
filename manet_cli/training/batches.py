"""Batches: crops of photos, blurred with random kernels.

A batch is a pure function of the photos, the recipe and the step number. The recipe's seed and the step
number seed one generator for the whole batch; each process takes its part of the batch. So an interrupted
run, or a run on another number of processes or kind of device, gets the same batches.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

from manet_cli.degradations.blur import apply_blur_and_subsample
from manet_cli.degradations.gaussian import KERNEL_SIZE, anisotropic_kernels, sample_parameters
from manet_cli.degradations.quantization import apply_quantization
from manet_cli.degradations.step import DegradationStep, apply_steps
from manet_cli.training.photos import CELL, PhotoCache
from manet_cli.training.recipe import Recipe

__all__ = ["Batch", "BatchMaker", "Draws", "Shard"]

_MARGIN = KERNEL_SIZE // 2


@dataclass(frozen=True)
class Shard:
    """One process's part of every batch: patches rank, rank + size, ... ."""

    rank: int = 0
    size: int = 1


@dataclass(frozen=True)
class Draws:
    """All random values of B patches, on the CPU; int64 or float64.

    Attributes:
        photo, top, left: (B,), the crop.
        orientation: (B,), 0 to 7: bit 0 transposes, bit 1 flips vertically, bit 2 flips horizontally.
        shapes: (B, 2, 3), two kernels each: sig1, sig2 (variances in HR pixels squared), theta.
        line: (B, 2), the line between the areas of the two kernels: its angle, and its distance from the
            middle in half patches. The distance is infinite if the first kernel blurs the whole patch.
        steps: B tuples of the degradation steps after the blur.
        seeds: (B,), seeds of these steps.
        true_kernel: (B,), 1 if the restorer gets the true kernel.
    """

    photo: Tensor
    top: Tensor
    left: Tensor
    orientation: Tensor
    shapes: Tensor
    line: Tensor
    steps: tuple[tuple[DegradationStep, ...], ...]
    seeds: Tensor
    true_kernel: Tensor

    def part(self, shard: Shard) -> Draws:
        """Return the draws of one process's patches."""
        return Draws(*(getattr(self, name)[shard.rank :: shard.size] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Batch:
    """The training data of one step, on the training device.

    Attributes:
        lr: (B, 3, h, w) in [0, 1], on multiples of 1/255.
        hr: (B, 3, s h, s w) in [0, 1].
        kernels: (B, 2, k * k), each summing to 1.
        second: (B, h, w) bool, the LR pixels that the second kernel blurred; None if there are none.
        true_kernel: (B,) bool, whether the restorer gets the true kernel.
        phase: (B,), 0 to 63, drawn evenly.
    """

    lr: Tensor
    hr: Tensor
    kernels: Tensor
    second: Tensor | None
    true_kernel: Tensor
    phase: Tensor


class BatchMaker:
    """Makes the batches of a run.

    Args:
        cache: the photos; crops are made on the device of their pixels.
        recipe: the run's recipe.
        device: device of the batches.
        shard: the part of each batch to make.
    """

    def __init__(self, cache: PhotoCache, recipe: Recipe, device: torch.device, shard: Shard) -> None:
        self.cache = cache
        self.recipe = recipe
        self.device = device
        self.shard = shard
        choices = (cache.heights - recipe.crop_size + 1) * (cache.widths - recipe.crop_size + 1)
        # The chance of a photo is proportional to its number of crop positions.
        self._bounds = choices.double().cumsum(0) / choices.sum()

    def draw(self, step: int, progress: float) -> Draws:
        """Draw a step's whole batch; `progress` is the share of the run done, in [0, 1]."""
        recipe, count = self.recipe, self.recipe.batch_size
        generator = torch.Generator().manual_seed(_seed(recipe.seed, step))
        photo, top, left = self._draw_crops(generator)
        orientation = torch.randint(8, (count,), generator=generator)
        shapes = self._draw_shapes(generator, progress).reshape(count, 2, 3)
        numbers = torch.rand(4, count, generator=generator, dtype=torch.float64)
        variant = numbers[0] < recipe.blur.variant_share
        distance = torch.where(variant, numbers[1] - 0.5, torch.inf)
        seeds = torch.randint(2**63 - 1, (count,), generator=generator)
        return Draws(
            photo,
            top,
            left,
            orientation,
            shapes,
            torch.stack((numbers[2] * 2 * math.pi, distance), dim=1),
            tuple(self._draw_steps(random.Random(seed)) for seed in seeds.tolist()),
            seeds,
            (numbers[3] < recipe.loss.true_kernel_share).long(),
        )

    def crops(self, draws: Draws) -> Tensor:
        """Cut and orient the patches with their margin: (B, crop, crop, 3) uint8, on the photos' device."""
        cache, size = self.cache, self.recipe.crop_size
        device = cache.pixels.device
        steps = torch.arange(size, device=device)
        width = cache.widths[draws.photo]
        start = _sent(cache.starts[draws.photo] + draws.top * width + draws.left, device)
        width = _sent(width, device)
        bits = _sent(draws.orientation, device)[:, None]
        transpose, flip, mirror = bits & 1, (bits >> 1) & 1, (bits >> 2) & 1
        # Row i of the patch is row i of the crop (column i if transposed), counted from either end.
        rows = torch.where(flip == 1, size - 1 - steps, steps)
        columns = torch.where(mirror == 1, size - 1 - steps, steps)
        row_stride = torch.where(transpose == 1, 1, width[:, None])
        column_stride = torch.where(transpose == 1, width[:, None], 1)
        places = (start[:, None] + rows * row_stride)[:, :, None] + (columns * column_stride)[:, None, :]
        return cache.pixels[places.flatten()].reshape(*places.shape, 3)

    def degrade(self, crops: Tensor, draws: Draws) -> Batch:
        """Blur, subsample and degrade the crops of this process, on the device."""
        recipe, device = self.recipe, self.device
        image = _sent(crops, device).permute(0, 3, 1, 2).float() / 255
        shapes = draws.shapes.reshape(-1, 3)
        shapes = _sent(shapes.float() if device.type == "mps" else shapes, device)
        kernels = anisotropic_kernels(*shapes.unbind(dim=1), scale=recipe.scale)
        kernels = kernels.reshape(-1, 2, KERNEL_SIZE, KERNEL_SIZE)
        lr = apply_blur_and_subsample(image, kernels[:, 0], recipe.scale, border="valid")
        second = None
        if recipe.blur.variant_share:
            second = _sent(_beyond_line(draws.line, recipe.lr_patch), device)
            other = apply_blur_and_subsample(image, kernels[:, 1], recipe.scale, border="valid")
            lr = torch.where(second[:, None], other, lr)
        if recipe.degradation:
            lr = _with_steps(lr, draws)
        hr = image[:, :, _MARGIN : _MARGIN + recipe.patch_size, _MARGIN : _MARGIN + recipe.patch_size]
        true_kernel = _sent(draws.true_kernel, device) == 1
        phase = _sent(draws.seeds & 63, device)
        return Batch(apply_quantization(lr), hr.contiguous(), kernels.flatten(2), second, true_kernel, phase)

    def _draw_steps(self, source: random.Random) -> tuple[DegradationStep, ...]:
        """Draw the degradation steps after the blur of one patch."""
        drawn = [step.sample(source) for step in self.recipe.degradation.values()]
        return tuple(step for step in drawn if step is not None)

    def _draw_crops(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a photo and a position for each patch: of several choices, the one with most texture."""
        recipe, cache, size = self.recipe, self.cache, self.recipe.crop_size
        count, choices = recipe.batch_size, recipe.blur.texture_choices
        numbers = torch.rand(3, count * choices, generator=generator, dtype=torch.float64)
        photo = torch.searchsorted(self._bounds, numbers[0], right=True).clamp_max(len(cache) - 1)
        top = (numbers[1] * (cache.heights[photo] - size + 1)).long()
        left = (numbers[2] * (cache.widths[photo] - size + 1)).long()
        if choices == 1:
            return photo, top, left
        texture = self._texture(photo, top, left).reshape(count, choices)
        best = texture.argmax(dim=1) + torch.arange(count) * choices
        return photo[best], top[best], left[best]

    def _texture(self, photo: Tensor, top: Tensor, left: Tensor) -> Tensor:
        """Return the mean texture of the whole cells in each crop."""
        cache, size = self.cache, self.recipe.crop_size
        columns = cache.widths[photo] // CELL + 1
        start = cache.texture_starts[photo]
        ends = ((top + size) // CELL, (left + size) // CELL)
        begins = (-(-top // CELL), -(-left // CELL))
        corner = {}
        for y, row in enumerate((begins[0], ends[0])):
            for x, column in enumerate((begins[1], ends[1])):
                corner[y, x] = cache.texture[start + row * columns + column]
        total = corner[1, 1] - corner[0, 1] - corner[1, 0] + corner[0, 0]
        area = (ends[0] - begins[0]) * (ends[1] - begins[1])
        return torch.where(area > 0, total / area.clamp_min(1), 0)

    def _draw_shapes(self, generator: torch.Generator, progress: float) -> Tensor:
        """Draw 2 B kernels, (2 B, 3)."""
        recipe, count = self.recipe, 2 * self.recipe.batch_size
        shapes = sample_parameters(count, recipe.kernel_range, generator)
        if recipe.blur.variance_exponent != 1:
            low, width = recipe.kernel_range.low, recipe.kernel_range.high - recipe.kernel_range.low
            shapes[:, :2] = low + width * ((shapes[:, :2] - low) / width) ** recipe.blur.variance_exponent
        numbers = torch.rand(3, count, generator=generator, dtype=torch.float64)
        along, across = recipe.elongated_ranges
        shares = (numbers[0] < recipe.blur.elongated_share) & (progress < recipe.blur.elongated_until)
        shapes[:, 0] = torch.where(shares, along.low + (along.high - along.low) * numbers[1], shapes[:, 0])
        shapes[:, 1] = torch.where(shares, across.low + (across.high - across.low) * numbers[2], shapes[:, 1])
        return shapes


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to the device, on CUDA without waiting; on Metal that is not safe."""
    return tensor.to(device, non_blocking=device.type == "cuda")


def _seed(seed: int, step: int) -> int:
    """Mix a run's seed and a step number, so that neighbouring steps get unrelated seeds (SplitMix64)."""
    mask = 2**64 - 1
    value = (seed * 0x9E3779B97F4A7C15 + step + 1) * 0xBF58476D1CE4E5B9 & mask
    value = (value ^ value >> 27) * 0x94D049BB133111EB & mask
    return (value ^ value >> 31) >> 1


def _beyond_line(line: Tensor, size: int) -> Tensor:
    """Return which pixels of (B, size, size) are beyond each patch's line."""
    place = (torch.arange(size, dtype=torch.float64) + 0.5) / size * 2 - 1
    angle = line[:, 0, None, None]
    across = place[None, None, :] * torch.cos(angle) + place[None, :, None] * torch.sin(angle)
    return across > line[:, 1, None, None]


def _with_steps(lr: Tensor, draws: Draws) -> Tensor:
    """Apply each patch's steps to it."""
    spoiled = lr.clone()
    for number, (steps, seed) in enumerate(zip(draws.steps, draws.seeds.tolist(), strict=True)):
        if steps:
            # On the CPU, so that a step draws the same on every device.
            generator = torch.Generator().manual_seed(seed)
            spoiled[number] = apply_steps(lr[number : number + 1], steps, generator)[0]
    return spoiled
