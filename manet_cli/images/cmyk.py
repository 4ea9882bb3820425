"""Convert CMYK to sRGB by the profile in the file; the networks need RGB."""

from __future__ import annotations

import io

from PIL import Image, ImageCms

from manet_cli.errors import InputError
from manet_cli.images import profiles

__all__ = ["is_cmyk_profile", "rgb_of_cmyk"]


def is_cmyk_profile(profile: object) -> bool:
    """Whether this is an ICC profile for CMYK."""
    return isinstance(profile, bytes) and profile[16:20] == b"CMYK"


def rgb_of_cmyk(image: Image.Image, profile: bytes, name: str) -> tuple[Image.Image, bytes]:
    """Convert a CMYK picture to sRGB, relative to white and with black point compensation, as editors do.

    `profile`: the picture's profile. `name`: name of the picture in messages. Returns the picture and the
    sRGB profile, always the same bytes. Raises InputError if the profile cannot be used.
    """
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            srgb,
            "CMYK",
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        converted = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError) as error:
        raise InputError(
            f"{name} is in CMYK colours, and its profile cannot be used: convert it to RGB"
        ) from error
    if converted is None:  # only for conversion in place
        raise InputError(f"{name} is in CMYK colours that cannot be converted: convert it to RGB")
    return converted, profiles.srgb()
