"""Make test sets: LR images and their kernels from sharp pictures, by the published protocol."""

from __future__ import annotations

import io
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from manet_cli.atomic import atomic_path, check_folder, prepare_folder, remove_leftovers
from manet_cli.degradations.protocol import Degradation, DegradedImage
from manet_cli.degradations.registry import DEGRADATIONS
from manet_cli.degradations.spatially_variant import BlockKernels
from manet_cli.degradations.step import DegradationStep
from manet_cli.errors import InputError, ManetError, OutputError, Parameter, UsageError
from manet_cli.evaluation.pictures import hr_tensor
from manet_cli.evaluation.protocols import GRID, Protocol, parse_kernel, parse_protocol
from manet_cli.file_identity import FileLedger, existing_folder, is_folder, ledger_of
from manet_cli.images import (
    Metadata,
    Photo,
    format_by_name,
    read_content,
    read_photo,
    to_integer,
    write_photo,
)
from manet_cli.inference import memory_reported
from manet_cli.jobs.outputs import check_no_original, collision, say_if_named_like_file
from manet_cli.jobs.sources import Source
from manet_cli.regular_file import read_regular
from manet_cli.stopping import end_if_stopped

__all__ = ["DegradedFiles", "Degrader", "choose_protocol"]

_OUTPUT = Parameter("output")


def choose_protocol(
    variances: str | None,
    mode: int | None,
    grid: bool,
    protocol: str | None = None,
    *,
    scale: int,
    steps: Sequence[DegradationStep] = (),
    seed: int,
) -> Protocol:
    """Return the test chosen by one of four parameters.

    Args:
        variances: ``SIG1,SIG2,THETA``, variances in HR pixels squared and degrees.
        mode: spatially variant type, 1 to 6.
        grid: the published kernels.
        protocol: as in `parse_protocol`.
        scale: HR pixels per LR pixel along a side.
        steps: steps after the blur.
        seed: random seed.

    Raises:
        UsageError: none or several of the four are given, or the variances are invalid.
    """
    given = [variances is not None, mode is not None, grid, protocol is not None]
    if sum(given) != 1:
        what = "several blurs are given" if any(given) else "no blur is given"
        raise UsageError(
            f"{what}: give one of ",
            *(Parameter("variances"), " SIG1,SIG2,THETA, ", Parameter("mode"), " 1 to 6, "),
            *(Parameter("grid"), " and ", Parameter("protocol")),
        )
    text = protocol or (GRID if grid else f"mode{mode}")
    if variances is not None:
        parse_kernel(variances)  # raises for names of protocols
        text = variances
    return parse_protocol(text, scale, steps=steps, seed=seed)


@dataclass(frozen=True)
class DegradedFiles:
    """Result for one LR image.

    Attributes:
        source: the HR picture.
        kernel: ``SIG1,SIG2,THETA`` or ``modeN``, with the steps after it in the protocol ``camera``.
        scale: HR pixels per LR pixel along a side.
        status: done, skipped (all files existed, byte for byte) or failed.
        paths: the files: LR image, HR image, kernels; keys as in `fields`.
        width: of the LR image, pixels; None if unknown.
        height: likewise.
        seconds: time for degrading and writing.
        error: the error, if it failed.
    """

    source: Source
    kernel: str
    scale: int
    status: str
    paths: dict[str, Path] = field(default_factory=dict)
    width: int | None = None
    height: int | None = None
    seconds: float = 0.0
    error: ManetError | None = None

    def fields(self) -> dict[str, object]:
        """Return the result for a script."""
        paths = {} if self.error else {name: str(path) for name, path in self.paths.items()}
        return {
            "input": self.source.name,
            "kernel": self.kernel,
            "output": paths.get("output"),
            "hr": paths.get("hr"),
            "kernels": paths.get("kernels"),
            "kernel_file": paths.get("kernel_file"),
            "status": self.status,
            "scale": self.scale,
            "width": self.width,
            "height": self.height,
            "seconds": round(self.seconds, 3),
            "error": self.error,
        }

    def lines(self) -> list[str]:
        """Return the lines for stdout without ``--json``: the paths."""
        return [] if self.error else [str(path) for path in self.paths.values()]


class Degrader:
    """Makes the LR images of pictures, one picture at a time.

    Args:
        protocol: the kernels and the steps after the blur.
        folder: output folder, with subfolders `LR`, `HR` and `kernels`; for several kernels, one folder per
            kernel with these subfolders.
        sources: all inputs, which are never overwritten.
        overwrite: replace existing files that differ.
    """

    def __init__(
        self, protocol: Protocol, folder: Path, sources: Sequence[Source], *, overwrite: bool
    ) -> None:
        self._protocol = protocol
        say_if_named_like_file(folder)
        self._folder = folder
        self._overwrite = overwrite
        self._sources = sources
        self._inputs = ledger_of(source.path for source in sources if source.path is not None)
        self._claimed = FileLedger[Source](links=False)

    def remove_leftovers(self) -> None:
        """Remove temporary files of dead processes from the output folders."""
        for folder in {
            path.parent
            for source in self._sources
            for one in self._protocol.degradations
            for path in self._paths(source, one).values()
        }:
            remove_leftovers(folder)

    def run(
        self, source: Source, progress: Callable[[float], None] = lambda share: None
    ) -> Iterator[DegradedFiles]:
        """Degrade one picture by every kernel; errors are in the results, never raised.

        An unreadable picture gives one result.

        Args:
            source: the picture.
            progress: callback for the share done, in [0, 1].
        """
        first = self._protocol.degradations[0]
        try:
            if source.error:
                raise source.error
            photo, hr = self._read(source)
        except ManetError as error:
            end_if_stopped()
            yield DegradedFiles(source, self._protocol.name, first.scale, "failed", error=error)
            return
        for number, degradation in enumerate(self._protocol.degradations, 1):
            kernel = self._protocol.case(degradation)
            try:
                yield self._degraded(source, photo.metadata, hr, degradation)
            except ManetError as error:
                end_if_stopped()
                yield DegradedFiles(source, kernel, degradation.scale, "failed", error=error)
            progress(number / len(self._protocol.degradations))

    def _read(self, source: Source) -> tuple[Photo, Tensor]:
        with memory_reported(source.name):
            photo = read_photo(read_content(source.path, source.name), source.name)
            return photo, hr_tensor(photo, source.name)

    def _degraded(
        self, source: Source, metadata: Metadata, hr: Tensor, degradation: Degradation
    ) -> DegradedFiles:
        started = time.perf_counter()
        scale, kernel = degradation.scale, self._protocol.case(degradation)
        if min(hr.shape[-2:]) < scale:
            raise InputError(
                f"{source.name} has {hr.shape[-1]}x{hr.shape[-2]} pixels; at least {scale} a side are needed"
            )
        paths = self._paths(source, degradation)
        check_folder(existing_folder(paths["output"].parent))
        for path in paths.values():
            self._claim(path, source)
        with memory_reported(source.name):
            degraded = degradation.apply(hr)
            profile = metadata.icc_profile if metadata.icc_profile and not _is_grey(metadata) else None
            contents = {
                "output": _encoded(degraded.lr, profile),
                "hr": _encoded(degraded.hr, profile),
                **_kernel_files(degraded, degradation),
            }
        status = self._write({paths[name]: content for name, content in contents.items()})
        height, width = degraded.lr.shape[-2:]
        return DegradedFiles(
            source, kernel, scale, status, paths, width, height, time.perf_counter() - started
        )

    def _paths(self, source: Source, degradation: Degradation) -> dict[str, Path]:
        case = self._protocol.case(degradation)
        folder = self._folder
        if len(self._protocol.degradations) > 1:
            folder = folder / re.sub(r"[^A-Za-z0-9.-]", "_", case)
        stem = source.path.stem if source.path else "stdin"
        paths = {
            "output": folder / "LR" / source.below / f"{stem}.png",
            "hr": folder / "HR" / source.below / f"{stem}.png",
            "kernels": folder / "kernels" / source.below / f"{stem}.npz",
        }
        if degradation.kernel is not None:
            paths["kernel_file"] = folder / "kernels" / source.below / f"{stem}.npy"
        return paths

    def _claim(self, path: Path, source: Source) -> None:
        """Claim a path; OutputError if it is already an output of another input."""
        self._claimed.add(path, source)
        other = self._claimed.find(path)
        if other is not None and other != source:
            raise collision(str(path), source, other)

    def _write(self, contents: dict[Path, bytes]) -> str:
        """Write missing and replaceable files, the LR image last; return the status."""
        missing = [path for path, content in contents.items() if not self._is_there(path, content)]
        # So an interrupted run leaves no LR image without its HR image and kernels.
        for path in reversed(missing):
            prepare_folder(path.parent)
            with atomic_path(path) as temporary:
                temporary.write_bytes(contents[path])
        return "done" if missing else "skipped"

    def _is_there(self, path: Path, content: bytes) -> bool:
        """Whether a file already has this content; OutputError if it may not be written."""
        if is_folder(path):
            raise OutputError(f"{path} is a folder: choose another ", _OUTPUT)
        if not os.path.lexists(path):
            return False
        try:
            if read_regular(path, len(content)) == content:
                return True
        except OSError:
            pass
        if self._inputs.find(path) is not None:
            raise OutputError(
                f"{path} is an input, and inputs are never overwritten: choose another ", _OUTPUT
            )
        check_no_original(path, _OUTPUT)
        if not self._overwrite:
            raise OutputError(
                f"{path} exists with other content: give ",
                *(Parameter("overwrite", True), " or choose another ", _OUTPUT),
            )
        return False


def _encoded(image: Tensor, icc_profile: bytes | None) -> bytes:
    """Encode an image (1, 3, H, W) in [0, 1] as a PNG file of 8-bit RGB."""
    pixels = to_integer(image[0].permute(1, 2, 0).numpy(), np.uint8)
    file = io.BytesIO()
    write_photo(Photo(pixels, None, Metadata(icc_profile=icc_profile)), file, format_by_name("png"))
    return file.getvalue()


def _kernel_files(degraded: DegradedImage, degradation: Degradation) -> dict[str, bytes]:
    """Return the kernel files: a .npz with all kernels, and for a single kernel also a .npy."""
    blocks = degraded.kernels
    npz = io.BytesIO()
    np.savez_compressed(npz, **_kernel_arrays(blocks, degradation))  # type: ignore[arg-type, unused-ignore]
    files = {"kernels": npz.getvalue()}
    if degradation.kernel is not None:
        npy = io.BytesIO()
        np.save(npy, blocks.kernels[0, 0].numpy(), allow_pickle=False)
        files["kernel_file"] = npy.getvalue()
    return files


def _kernel_arrays(blocks: BlockKernels, degradation: Degradation) -> dict[str, npt.NDArray[np.generic]]:
    """Return the arrays of the .npz.

    kernels (nH, nW, 21, 21); parameters (nH, nW, 3): two variances in HR pixels squared and degrees. The
    kernel of LR pixel (i, j) is kernels[i * scale // block_size, j * scale // block_size]. noise,
    sharpen, jpeg: the text of each step's settings, empty without the step.
    """
    parameters = blocks.parameters.numpy() * np.array([1, 1, 180 / math.pi])
    return {
        "kernels": blocks.kernels.numpy(),
        "parameters": parameters,
        "block_size": np.array(blocks.block_size),
        "scale": np.array(blocks.scale),
        "height": np.array(blocks.height),
        "width": np.array(blocks.width),
        **{kind.name: np.array(degradation.step_texts.get(kind.name, "")) for kind in DEGRADATIONS},
        "seed": np.array(degradation.seed),
    }


def _is_grey(metadata: Metadata) -> bool:
    """Whether the colour profile is for grey, which does not fit the RGB output."""
    return (metadata.icc_profile or b"")[16:20] == b"GRAY"
