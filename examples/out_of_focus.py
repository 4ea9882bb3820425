"""Draw the effect of ``manet deblur``: ``python examples/out_of_focus.py PHOTOS docs/images/deblur.jpg``.

PHOTOS is the folder ``data`` of the Python package scikit-image. The photo is blurred by a Gaussian of two
pixels, like a lens out of focus, so the sharp photo is known and shown.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageFilter
from sheets import labelled

PHOTO, SIGMA = "astronaut.png", 2.0
BOX, ZOOM = (150, 20, 310, 140), 2  # the detail, in pixels of the photo
EXCERPT = (60, 0, 400, 256)


def main(photos: Path, target: Path) -> None:
    """Blur a photo, deblur it with the command, and draw a detail of both beside the sharp photo."""
    with Image.open(photos / PHOTO) as image:
        sharp = image.convert("RGB").crop(EXCERPT)
    with tempfile.TemporaryDirectory() as folder:
        path, result = Path(folder, "photo.png"), Path(folder, "result.png")
        sharp.filter(ImageFilter.GaussianBlur(SIGMA)).save(path)
        command = [sys.executable, "-m", "manet_cli", "deblur", str(path), "-o", str(result)]
        subprocess.run(command, check=True)
        pictures = []
        for label, file in (("out of focus", path), ("manet deblur", result)):
            with Image.open(file) as image:
                pictures.append((label, image.convert("RGB")))
    pictures.append(("the sharp photo", sharp))
    left, top, right, bottom = (side - EXCERPT[place % 2] for place, side in enumerate(BOX))
    size = ((right - left) * ZOOM, (bottom - top) * ZOOM)
    details = [
        (label, picture.crop((left, top, right, bottom)).resize(size, Image.Resampling.NEAREST))
        for label, picture in pictures
    ]
    labelled(details).save(target, quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
