"""A toy format: PPM. A new output format needs only this file: an encoder and its row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from manet_cli.images.formats import ImageFormat

if TYPE_CHECKING:
    import numpy.typing as npt

    from manet_cli.images.encoding import OutputSpec


class PpmEncoder:
    def __init__(self, file: BinaryIO, spec: OutputSpec) -> None:
        self._file = file
        file.write(f"P6 {spec.header.width} {spec.header.height} 255\n".encode("ascii"))

    def write(self, pixels: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> None:
        self._file.write(pixels.repeat(3 // pixels.shape[2], axis=2).tobytes())

    def finish(self) -> None:
        """A PPM file has no trailer."""


PPM = ImageFormat(
    name="ppm",
    title="PPM",
    suffixes=(".toy",),
    pillow_name="PPM",
    encoder="tests.toys.ppm:PpmEncoder",
    streamed=True,
    encoder_memory=0.0,
    least_share=1.0,
    largest_side=600,
    bits16=False,
    grey=False,
    grey_with_alpha=False,
    alpha=False,
    metadata=frozenset(),
    record=None,
    default_quality=None,
)
