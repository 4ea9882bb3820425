"""The picture of the blur, from known kernels."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from manet_cli.degradations.gaussian import anisotropic_kernels
from manet_cli.degradations.kernel_shape import kernel_shapes
from manet_cli.degradations.texture import FLAT_BELOW
from manet_cli.images import Metadata, Photo
from manet_cli.images.colour_map import colour_map, srgb_to_oklab
from manet_cli.inference import KernelTile
from manet_cli.jobs.kernels.picture import draw_kernel_picture, survey_for_picture
from manet_cli.jobs.kernels.shaped_tiles import ShapedTile
from manet_cli.jobs.kernels.survey import KernelSurvey
from tests.commands.conftest import texture


def survey_of(height: int, width: int, *, flat: bool = False) -> KernelSurvey:
    """Sharp in the left third, flat in the middle, blurred in the right third."""
    survey = survey_for_picture(height, width, 4, 21)
    x = torch.arange(width).expand(height, width)
    variance = torch.where(x < width / 2, 1.0, 9.0)
    kernels = anisotropic_kernels(variance, 0.8 * variance, 0.5, scale=4)
    flattened = kernels.flatten(2).permute(2, 0, 1)
    textures = torch.where((x >= width / 3) & (x < 2 * width / 3), 0.0, 2 * FLAT_BELOW) * (not flat)
    tile = KernelTile(0, 0, flattened, flattened[:0])
    survey.add(ShapedTile(tile, kernels, kernel_shapes(kernels, 4), textures))
    return survey


def photo_of(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], alpha: bool = False) -> Photo:
    shape = pixels.shape[:2]
    return Photo(pixels, np.full(shape, 128, np.uint8) if alpha else None, Metadata())


def page_of(data: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as page:
        return np.asarray(page)


def test_colours_say_how_blurred_it_is() -> None:
    survey = survey_of(60, 90)
    photo = photo_of(np.full((60, 90, 3), 90, np.uint8))
    data = draw_kernel_picture(survey, photo, "photo.png")
    assert data == draw_kernel_picture(survey_of(60, 90), photo, "photo.png")
    page = page_of(data)
    assert page.shape[1] == 1200
    panel = page[151 : 151 + 549, 28 : 28 + 824]
    # The median of a third is a colour of the map: ellipses cover less than half.
    colours = [np.median(third.reshape(-1, 3), axis=0) for third in np.array_split(panel, 3, axis=1)]
    lab = srgb_to_oklab(np.array(colours, np.uint8))
    low, high = np.sqrt(0.7), np.sqrt(10)
    for third, variance in ((0, 1.0), (2, 9.0)):
        size = variance**0.5 * 0.8**0.25
        expected = colour_map(1001)[round(1000 * (size - low) / (high - low))]
        assert lab[third] == pytest.approx(expected, abs=0.03)
    assert np.abs(lab[1, 1:]).max() < 0.01  # flat is grey
    assert 0.78 < lab[1, 0] < 0.9


@pytest.mark.parametrize(
    ("height", "width", "flat"),
    [(1, 1, False), (2, 300, False), (400, 3, False), (900, 40, False), (1, 1, True), (16, 16, True)],
)
def test_photos_of_any_shape(height: int, width: int, flat: bool) -> None:
    survey = survey_of(height, width, flat=flat)
    data = draw_kernel_picture(survey, photo_of(texture(height, width)), "x" * 300)
    page = page_of(data)
    assert page.shape[1] == 1200
    assert 600 < page.shape[0] < 1500
    assert len(data) < 2_000_000
    assert (page[:, :10] == 255).all()
    assert (page[:, -10:] == 255).all()


@pytest.mark.parametrize(
    "photo",
    [
        photo_of(texture(20, 30)[..., :1]),
        photo_of(texture(20, 30)[..., :1].astype(np.uint16) * 257),
        photo_of(texture(20, 30), alpha=True),
    ],
    ids=["grey", "16-bit", "alpha"],
)
def test_photos_of_any_kind(photo: Photo) -> None:
    page = page_of(draw_kernel_picture(survey_of(20, 30), photo, "写真.png"))
    plain = page_of(draw_kernel_picture(survey_of(20, 30), photo_of(texture(20, 30)), "写真.png"))
    assert page.shape == plain.shape
    assert page[28 : 28 + 60, 884 : 884 + 80].std() > 10  # the photo in small
