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
        name: name given by the user.
        engine: runs the model.
        sha256: digest of its weights.
        denoise: amount of denoising; None for weights without this setting.
    """

    __test__ = False  # not a test case, despite its name

    name: str
    engine: Engine
    sha256: str
    denoise: Denoise | None = None


def check_models(models: Sequence[TestedModel]) -> None:
    """Check that models differ and fit the protocol.

    Raises:
        UsageError: two models have the same weights.
        WeightsError: the kernel size of a model is not the protocol's.
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
                f"{model.name} works with kernels of {size}x{size} pixels, but the protocol needs "
                f"{KERNEL_SIZE}x{KERNEL_SIZE}: give other weights"
            )


@dataclass(frozen=True)
class Evaluation:
    """A run.

    Attributes:
        protocol: the kernels and the steps after the blur.
        models: the models, in the order of the table.
        settings: settings of every line.
        results: earlier lines, and the file for new ones.
    """

    protocol: Protocol
    models: Sequence[TestedModel]
    settings: Settings
    results: Results

    def lines(self, name: str, data: bytes, progress: Callable[[float], None]) -> Iterator[Measurement]:
        """Measure one picture and yield its lines, kernel by kernel and model by model.

        Lines of an earlier run are yielded unchanged; a picture is decoded only if a line is missing. Every
        new line is flushed to the disk before it is yielded.

        Args:
            name: name of the picture in the lines.
            data: content of its file.
            progress: callback for the share done, in [0, 1].

        Raises:
            InputError: not a picture, or one that the protocol cannot measure.
            OutOfMemoryError: the picture is too large.
            ManetError: any other error.
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
