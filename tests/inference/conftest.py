"""Images, small models and whole runs."""

import functools
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from manet_cli.inference import Engine, KernelTile
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.inference.streams import Codes
from manet_cli.models import BlindConfig, BlindModel, MANetConfig, RRDBSFTConfig
from manet_cli.weights import load_weights

CPU = torch.device("cpu")
GOLDEN = Path(__file__).parents[1] / "golden"


class Picture:
    """A tensor (N, 3, H, W) as an engine's input; counts the rows read."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels
        self.layers, _, self.height, self.width = pixels.shape
        self.most_rows = 0

    def rows(self, start: int, stop: int) -> Tensor:
        assert 0 <= start < stop <= self.height
        self.most_rows = max(self.most_rows, stop - start)
        return self.pixels[:, :, start:stop]


def noise(height: int, width: int, layers: int = 1) -> Picture:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return Picture(torch.rand(layers, 3, height, width, generator=generator))


@functools.cache
def scene() -> Tensor:
    """A sharp procedural picture (1, 3, H, W)."""
    pixels = load_file(GOLDEN / "degradation.safetensors")["scene.hr"]
    image = pixels.permute(2, 0, 1)[None] if pixels.shape[-1] == 3 else pixels.reshape(1, *pixels.shape[-3:])
    return image.float() / 255 if pixels.dtype == torch.uint8 else image.float()


def small_model(scale: int = 2, *, blocks: int = 1, seed: int = 0) -> BlindModel:
    """A small model with random weights, large enough that every pixel in its radius has an effect."""
    torch.manual_seed(seed)
    model = BlindModel(
        BlindConfig(
            MANetConfig(kernel_size=5, channels=(8, 12)),
            RRDBSFTConfig(scale=scale, features=8, blocks=blocks, growth=4, transform_width=4, code_length=3),
        )
    )
    assert model.kernel_code is not None
    model.kernel_code.basis = torch.randn(25, 3)
    for parameter in model.parameters():
        parameter.data *= 1.5
    return model.eval().requires_grad_(False)


def shipped_model() -> BlindModel:
    weights, _ = load_weights()
    return weights.build()


class KernelMap:
    """Collects kernel tiles and checks that each pixel comes exactly once."""

    def __init__(self, picture: Picture, kernel_size: int) -> None:
        self.kernels = torch.full((kernel_size**2, picture.height, picture.width), float("nan"))

    def __call__(self, tile: KernelTile) -> None:
        _, height, width = tile.kernels.shape
        part = self.kernels[:, tile.row : tile.row + height, tile.column : tile.column + width]
        assert part.shape == tile.kernels.shape
        assert bool(part.isnan().all())
        part.copy_(tile.kernels)


def estimate(engine: Engine, picture: Picture) -> Tensor:
    """The whole kernel map (k*k, H, W)."""
    kernel_map = KernelMap(picture, engine.kernel_size)
    for tile in engine.kernels(picture):
        kernel_map(tile)
    assert not bool(kernel_map.kernels.isnan().any())
    return kernel_map.kernels


def restore(
    engine: Engine,
    picture: Picture,
    codes: Codes | None = None,
    *,
    registered: bool = True,
    on_kernels: Callable[[KernelTile], None] | None = None,
) -> Tensor:
    """The whole result (N, 3, s*H, s*W); each pixel must come exactly once."""
    scale = engine.restorer.footprint.scale
    canvas = torch.full((picture.layers, 3, picture.height * scale, picture.width * scale), float("nan"))
    codes = codes or EstimatedCodes(engine, picture, on_kernels)
    for tile in engine.restore(picture, codes, registered=registered):
        *_, height, width = tile.pixels.shape
        part = canvas[..., tile.row : tile.row + height, tile.column : tile.column + width]
        assert part.shape == tile.pixels.shape
        assert bool(part.isnan().all())
        part.copy_(tile.pixels)
    assert not bool(canvas.isnan().any())
    return canvas


def registered_by_recipe(model: BlindModel, picture: Picture) -> Tensor:
    """The registered result of the whole image at once: kernels of the unpadded image, then all padded."""
    assert model.estimator is not None
    assert model.kernel_code is not None
    assert model.restorer is not None
    code = model.kernel_code(model.estimator(picture.pixels[:1])).expand(picture.layers, -1, -1, -1)
    image, code = (F.pad(part, (1, 0, 1, 0), mode="replicate") for part in (picture.pixels, code))
    scale = model.restorer.config.scale
    output: Tensor = model.restorer(image, code)
    return output[..., 1 : scale * picture.height + 1, 1 : scale * picture.width + 1]
