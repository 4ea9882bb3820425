"""The networks of a model on a device, for one tile at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from manet_cli.errors import Parameter, WeightsError
from manet_cli.inference.memory import release_memory
from manet_cli.models import BlindModel, KernelCode, MANet, Restorer, interpolated_codes

__all__ = ["Networks", "TorchNetworks"]

_PREFERRED_TILE = {"cpu": 256, "mps": 256, "cuda": 512}


class Networks(ABC):
    """The networks of a model on a device. Input tensors may be on any device.

    Args:
        model: in float32; converted in place.
        device: device of the networks' input.
        precision: number format of the networks' inner parts.

    Attributes:
        device: device of the networks' input.
        preferred_tile: largest useful side of a tile in LR pixels.
        instead: the device in use if the requested one failed; None if it works.
    """

    preferred_tile = 256
    instead: torch.device | None = None

    def __init__(self, model: BlindModel, device: torch.device, precision: torch.dtype) -> None:
        model.set_precision(precision)
        self._model = model.to(device)
        self.device = device

    @property
    def estimator(self) -> MANet:
        """The estimator; WeightsError if the weights hold none."""
        if self._model.estimator is None:
            raise WeightsError(
                "these weights hold no estimator: give the blur with ",
                *(
                    Parameter("kernel"),
                    " or ",
                    Parameter("sigma"),
                    ", or other weights with ",
                    Parameter("model"),
                ),
            )
        return self._model.estimator

    @property
    def restorer(self) -> Restorer:
        """The restorer; WeightsError if the weights hold none."""
        if self._model.restorer is None:
            raise WeightsError(
                "these weights hold no restorer: give weights that do with ", Parameter("model")
            )
        return self._model.restorer

    @property
    def kernel_code(self) -> KernelCode:
        """The basis that the restorer was trained with; WeightsError if the weights hold no restorer."""
        if self._model.kernel_code is None:
            raise WeightsError(
                "these weights hold no restorer: give weights that do with ", Parameter("model")
            )
        return self._model.kernel_code

    @property
    def kernel_size(self) -> int:
        """Side of the kernels in HR pixels."""
        return self._model.config.kernel_size

    @abstractmethod
    def kernels(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the kernels and the codes of every pixel.

        Args:
            image: (1, 3, H, W) in [0, 1], already padded to multiples of 8.

        Returns:
            kernels (1, k*k, H, W), float32, on the device, and codes (1, L, H, W), on the CPU; L is 0 for
            weights without a basis.
        """

    @abstractmethod
    def codes(self, image: Tensor, stride: int, *, kernels: bool) -> tuple[Tensor, ...]:
        """Return codes of all pixels, interpolated from every ``stride``-th pixel along both axes.

        Args:
            image: as in `kernels`.
            stride: a divisor of 8.
            kernels: also return the results of `kernels`; they do not change the interpolated codes.

        Returns:
            Interpolated codes (1, L, H, W), on the CPU; then the results of `kernels`, if requested.
        """

    @abstractmethod
    def restore(self, image: Tensor, code: Tensor) -> Tensor:
        """Super-resolve (N, 3, H, W) with codes (N, L, H, W): (N, 3, s*H, s*W) in float32."""

    def turned(self, amount: float) -> None:  # noqa: B027 - most have nothing to do
        """Use the estimator's new weights after the dial changed them.

        Args:
            amount: 0 for exactly the first set of weights, 1 for exactly the second.
        """

    def release(self) -> None:
        """Free memory that a failed attempt left in caches."""
        release_memory(self.device)


class TorchNetworks(Networks):
    """The networks, run by PyTorch."""

    def __init__(self, model: BlindModel, device: torch.device, precision: torch.dtype) -> None:
        super().__init__(model, device, precision)
        self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.preferred_tile = _PREFERRED_TILE[device.type]

    def kernels(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the kernels and the codes of every pixel; see `Networks`."""
        return self._with_codes(self.estimator.kernels_of_padded(self._sent(image)))

    def codes(self, image: Tensor, stride: int, *, kernels: bool) -> tuple[Tensor, ...]:
        """Return interpolated codes; see `Networks`."""
        estimator = self.estimator
        features = estimator.features_of_padded(self._sent(image))
        some = self.kernel_code(estimator.kernels_of_features(features, stride))
        codes = interpolated_codes(some, stride).cpu()
        return (codes, *self._with_codes(estimator.kernels_of_features(features))) if kernels else (codes,)

    def restore(self, image: Tensor, code: Tensor) -> Tensor:
        """Super-resolve; see `Networks`."""
        result: Tensor = self.restorer(self._sent(image), self._sent(code))
        return result

    def _with_codes(self, kernels: Tensor) -> tuple[Tensor, Tensor]:
        code = self._model.kernel_code
        return kernels, (code(kernels) if code else kernels[:, :0]).cpu()

    def _sent(self, tensor: Tensor) -> Tensor:
        """Copy a tensor (N, C, H, W) to the device, in the networks' memory format."""
        return tensor.to(self.device).contiguous(memory_format=torch.channels_last)
