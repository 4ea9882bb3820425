"""Encoding as 8-bit JPEG and decoding, once or twice."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from manet_cli.degradations.step import DegradationStep, StepRecipe, check_range, parse_fields
from manet_cli.errors import InputError, UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Jpeg", "JpegRecipe", "apply_jpeg", "check_jpeg_quality", "parse_jpeg"]

SUBSAMPLINGS = ("4:2:0", "4:4:4")
_LARGEST_SIDE = 65500
"""Longest side of the JPEG library, in pixels."""
_BLOCK = 16
"""Side of a 4:2:0 block in pixels; the range of a grid's offsets."""


@dataclass(frozen=True)
class Jpeg(DegradationStep):
    """JPEG compression.

    Attributes:
        quality: 1 to 100 on the scale of libjpeg.
        subsampling: chroma subsampling, 4:2:0 or 4:4:4.
        grid: row and column, 0 to 15, of the first whole block: (0, 0) for a whole file, any other for a
            crop.
        first: quality of an earlier compression; None for none.
        first_grid: grid of the earlier compression.
    """

    quality: int
    subsampling: str = "4:2:0"
    grid: tuple[int, int] = (0, 0)
    first: int | None = None
    first_grid: tuple[int, int] = (0, 0)

    name = "jpeg"
    order = 3.0

    def __post_init__(self) -> None:
        check_jpeg_quality(self.quality)
        if self.first is not None:
            check_jpeg_quality(self.first)
        if self.subsampling not in SUBSAMPLINGS:
            raise UsageError(f"The chroma is {self.subsampling!r}; expected {' or '.join(SUBSAMPLINGS)}.")
        for place in (*self.grid, *self.first_grid):
            check_range("grid", place, 0, _BLOCK - 1)

    @property
    def text(self) -> str:
        """The settings in the syntax of the option, such as ``75,4:4:4,grid=3:5,first=60:2:7``."""
        parts = [f"{self.quality}"]
        parts += [self.subsampling] if self.subsampling != SUBSAMPLINGS[0] else []
        parts += [f"grid={self.grid[0]}:{self.grid[1]}"] if any(self.grid) else []
        if self.first is not None:
            parts.append(f"first={self.first}:{self.first_grid[0]}:{self.first_grid[1]}")
        return ",".join(parts)

    def apply(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Encode and decode; not random. See `DegradationStep.apply`."""
        if self.first is not None:
            image = _on_grid(image, self.first, self.subsampling, self.first_grid)
        return _on_grid(image, self.quality, self.subsampling, self.grid)


@dataclass(frozen=True)
class JpegRecipe(StepRecipe):
    """JPEG in training; qualities and grids are uniform in their ranges.

    Attributes:
        share: share of the patches, 0 to 1.
        lowest: lowest quality.
        highest: highest quality.
        low_share: share of the JPEGs whose quality is between `low_lowest` and `lowest` instead.
        low_lowest: lowest quality of these.
        full_chroma_share: share of the JPEGs with 4:4:4 chroma; the others have 4:2:0.
        twice_share: share of the JPEGs that are compressed twice, on different grids.
    """

    lowest: int = 60
    highest: int = 98
    low_share: float = 0.2
    low_lowest: int = 30
    full_chroma_share: float = 0.5
    twice_share: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("highest", self.highest, 1, 100)
        check_range("lowest", self.lowest, 1, self.highest)
        check_range("low_lowest", self.low_lowest, 1, self.lowest)
        for name in ("low_share", "full_chroma_share", "twice_share"):
            check_range(name, getattr(self, name), 0, 1)

    def _sample(self, source: random.Random) -> Jpeg:
        quality, first = self._quality(source), self._quality(source)
        subsampling = SUBSAMPLINGS[source.random() < self.full_chroma_share]
        twice = source.random() < self.twice_share
        grids = [(source.randrange(_BLOCK), source.randrange(_BLOCK)) for _ in range(2)]
        if not twice:
            return Jpeg(quality, subsampling, grids[0])
        return Jpeg(quality, subsampling, grids[0], first, grids[1])

    def _quality(self, source: random.Random) -> int:
        low = source.random() < self.low_share
        return source.randint(*((self.low_lowest, self.lowest) if low else (self.lowest, self.highest)))


def parse_jpeg(text: str) -> Jpeg:
    """Parse ``QUALITY[,4:4:4][,grid=ROW:COLUMN][,first=QUALITY:ROW:COLUMN]``.

    Raises:
        UsageError: the text has another form, or a number is out of its range.
    """
    plain, named = parse_fields(text)
    try:
        quality = int(plain[0])
        subsampling = plain[1] if len(plain) > 1 else SUBSAMPLINGS[0]
        row, column = (int(place) for place in named.pop("grid", "0:0").split(":"))
        earlier = [int(number) for number in named["first"].split(":")] if "first" in named else []
        named.pop("first", None)
        if len(plain) > 2 or named or len(earlier) not in (0, 1, 3) or subsampling not in SUBSAMPLINGS:
            raise ValueError(text)
    except (ValueError, IndexError) as error:
        raise UsageError(
            f"{text!r} is not a JPEG setting: expected a quality from 1 to 100, such as 75, and then any of "
            "4:4:4, grid=ROW:COLUMN and first=QUALITY:ROW:COLUMN"
        ) from error
    first = earlier[0] if earlier else None
    first_grid = (earlier[1], earlier[2]) if len(earlier) == 3 else (0, 0)
    return Jpeg(quality, subsampling, (row, column), first, first_grid)


def check_jpeg_quality(quality: int) -> None:
    """Raise UsageError unless the quality is a whole number from 1 to 100."""
    if not isinstance(quality, int) or isinstance(quality, bool) or not 1 <= quality <= 100:
        raise UsageError(f"The JPEG quality is {quality!r}; expected a whole number from 1 to 100.")


def apply_jpeg(image: Tensor, quality: int | Sequence[int], *, subsampling: str = SUBSAMPLINGS[0]) -> Tensor:
    """Encode each image as a JPEG and decode it again.

    image: (B, C, H, W) in [0, 1], C = 1 or 3; clamped and rounded to 8 bits first (the public release
    truncates here, which darkens by half a level).
    quality: 1 to 100 on the scale of libjpeg, one for all images or one for each.
    subsampling: chroma subsampling, 4:2:0 or 4:4:4.
    Returns the same shape, dtype and device, on multiples of 1/255. Runs on the CPU.
    """
    import torch

    from manet_cli.degradations.quantization import apply_quantization
    from manet_cli.degradations.validation import check_image

    check_image(image)
    batch, channels, height, width = image.shape
    if channels not in (1, 3):
        raise UsageError(f"The image has {channels} channels; expected 1 or 3 for JPEG.")
    if max(height, width) > _LARGEST_SIDE:
        raise InputError(
            f"The image is {width}x{height}; a JPEG can be at most {_LARGEST_SIDE} pixels a side."
        )
    qualities = [quality] * batch if isinstance(quality, int) else list(quality)
    if len(qualities) != batch:
        raise UsageError(
            f"There are {len(qualities)} JPEG qualities for {batch} image(s); expected one for each."
        )
    for value in qualities:
        check_jpeg_quality(value)
    levels = (apply_quantization(image.detach()) * 255).round().to(torch.uint8)
    decoded = [
        _round_trip(one, value, subsampling) for one, value in zip(levels.cpu(), qualities, strict=True)
    ]
    return torch.stack(decoded).to(image) / 255


def _on_grid(image: Tensor, quality: int, subsampling: str, grid: tuple[int, int]) -> Tensor:
    """Compress as a crop of a larger picture whose first whole block is at ``grid``; repeat edge values."""
    import torch.nn.functional as F

    top, left = (-place % _BLOCK for place in grid)
    padded = F.pad(image, (left, 0, top, 0), mode="replicate")
    return apply_jpeg(padded, quality, subsampling=subsampling)[..., top:, left:]


def _round_trip(levels: Tensor, quality: int, subsampling: str) -> Tensor:
    """Encode and decode one uint8 image (C, H, W)."""
    import numpy as np
    import torch
    from PIL import Image

    pixels = levels.permute(1, 2, 0).contiguous().numpy()
    with io.BytesIO() as file:
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        picture.save(file, format="JPEG", quality=quality, subsampling=subsampling)
        file.seek(0)
        with Image.open(file) as coded:
            decoded = torch.from_numpy(np.array(coded))
    return decoded.reshape(pixels.shape).permute(2, 0, 1)
