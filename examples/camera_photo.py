"""Draw the first picture of README.md: ``python examples/camera_photo.py docs/images``.

The photo is china.jpg of the Python package scikit-learn (danielbuechele, CC BY 2.0), a camera's JPEG.
"""

from __future__ import annotations

import sys
from pathlib import Path

import sklearn.datasets  # type: ignore[import-untyped,unused-ignore]
from PIL import Image
from sheets import labelled

from manet_cli import open_model
from manet_cli.images import read_photo
from manet_cli.inference.dial import AUTO, position

SCALE = 4
BOX = (250, 130, 375, 225)
"""Box of the detail in the photo: left, top, right, bottom."""


def main(folder: Path) -> None:
    """Enlarge the detail in two ways; the amount of denoising is measured on the whole photo."""
    path = Path(sklearn.datasets.__file__).parent / "images" / "china.jpg"
    photo = read_photo(path, path.name)
    left, top, right, bottom = BOX
    detail = Image.fromarray(photo.pixels[top:bottom, left:right])
    size = (SCALE * detail.width, SCALE * detail.height)
    ways = [
        ("bicubic", detail.resize(size, Image.Resampling.BICUBIC)),
        ("manet", open_model(scale=SCALE).upscale(detail, denoise=position(AUTO, photo))),
    ]
    labelled(ways).save(folder / "camera.jpg", quality=92)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
