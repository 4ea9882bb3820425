"""A test over a set of pictures: every picture, every kernel, every model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from manet_cli.degradations.gaussian import KERNEL_SIZE
from manet_cli.degradations.protocol import DegradedImage
from manet_cli.errors import Parameter, UsageError, WeightsError
from manet_cli.evaluation.measuring import bicubic_figure, measure
from manet_cli.evaluation.pictures import hr_tensor
from manet_cli.evaluation.protocols import Protocol
from manet_cli.evaluation.results import Measurement, Results, Settings
from manet_cli.images import read_photo
from manet_cli.images.arrays import photo_of_array
from manet_cli.inference import Engine, memory_reported
from manet_cli.inference.dial import Denoise, position

__all__ = ["Evaluation", "TestedModel", "check_models"]


@dataclass(frozen=True)
class TestedModel:
    """A model under test.

    Attributes:
        name: what the user called it.
        engine: runs it.
        sha256: digest of its weights.
        denoise: where its dial stands; None for weights without one.
    """

    __test__ = False  # not a test case, whatever its name

    name: str
    engine: Engine
    sha256: str
    denoise: Denoise | None = None


def check_models(models: Sequence[TestedModel]) -> None:
    """Refuse models that cannot be told apart or measured.

    Raises:
        UsageError: two names stand for the same weights.
        WeightsError: a model's kernels have another size than the protocol's.
    """
    names: dict[str, str] = {}
    for model in models:
        if model.sha256 in names:
            raise UsageError(
                *(Parameter("model", names[model.sha256]), " and ", Parameter("model", model.name)),
                " are the same weights; give one of them",
            )
        names[model.sha256] = model.name
        size = model.engine.kernel_size
        if size != KERNEL_SIZE:
            raise WeightsError(
                f"{model.name} works with kernels of {size}x{size} pixels, but the protocol's have "
                f"{KERNEL_SIZE}x{KERNEL_SIZE}: give other weights"
            )


@dataclass(frozen=True)
class Evaluation:
    """A run.

    Attributes:
        protocol: the kernels, and what follows the blur.
        models: in the order of the table.
        settings: what every line has in common.
        results: lines that are there already, and where new ones go.
    """

    protocol: Protocol
    models: Sequence[TestedModel]
    settings: Settings
    results: Results

    def lines(self, name: str, data: bytes, progress: Callable[[float], None]) -> Iterator[Measurement]:
        """Measure one picture and yield its lines, kernel by kernel and model by model.

        A line of an earlier run is yielded as it is; a picture all of whose lines are there is not even
        decoded. Every new line is on the disk before it is yielded.

        Args:
            name: what the lines call the picture.
            data: content of its file.
            progress: is told the share done, in [0, 1].

        Raises:
            InputError: it is no picture, or not one that can be measured.
            OutOfMemoryError: it is too large.
            ManetError: whatever else is wrong.
        """
        digest = hashlib.sha256(data).hexdigest()
        degradations = self.protocol.degradations
        done, total = 0, len(degradations) * len(self.models)
        hr = None
        for degradation in degradations:
            degraded = None
            for model in self.models:
                kernel = self.protocol.case(degradation)
                line = self.results.find((name, digest, kernel, model.sha256))
                if line is None:
                    with memory_reported(name):
                        if hr is None:
                            hr = hr_tensor(read_photo(data, name), name)
                        if degraded is None:
                            degraded = degradation.apply(hr)
                            bicubic = bicubic_figure(degraded, degradation.scale)
                        line = self._measured(name, digest, kernel, model, degraded, bicubic)
                    self.results.append(line)
                done += 1
                progress(done / total)
                yield line

    def _measured(
        self,
        name: str,
        digest: str,
        kernel: str,
        model: TestedModel,
        degraded: DegradedImage,
        bicubic: float | None,
    ) -> Measurement:
        if model.denoise is not None:
            lr = (degraded.lr[0].permute(1, 2, 0) * 255).round().byte().numpy()
            model.engine.turn(position(model.denoise, photo_of_array(lr)))
        figures = measure(model.engine, degraded, self.settings.scale, bicubic=bicubic)
        height, width = degraded.hr.shape[-2:]
        return Measurement(
            name, digest, kernel, model.name, model.sha256, width, height, figures, self.settings
        )
