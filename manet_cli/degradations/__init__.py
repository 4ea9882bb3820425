"""From a sharp HR image to the LR image a camera might have given: blur, subsample, noise, JPEG, 8 bits.

Everything is a pure function of its arguments; what draws takes an explicit `torch.Generator`. Images are RGB
float tensors (B, C, H, W) in [0, 1]; results live on the device of the inputs. Kernels are (..., k, k) arrays
whose values sum to 1, in the published placement (see `gaussian`). The shape parameters sig1 and sig2 of a
kernel are variances in HR pixels squared; a parameter named sigma is a standard deviation in HR pixels.
"""

from manet_cli.degradations.blur import (
    apply_block_blur,
    apply_blur,
    apply_blur_and_subsample,
    apply_kernel_map,
    apply_kernels,
)
from manet_cli.degradations.gaussian import (
    KERNEL_SIZE,
    GaussianParameters,
    KernelRange,
    anisotropic_kernels,
    isotropic_kernels,
    sample_kernels,
    sample_parameters,
)
from manet_cli.degradations.jpeg import apply_jpeg
from manet_cli.degradations.kernel_bands import KernelMap, KernelRows, iterate_kernel_bands
from manet_cli.degradations.kernel_shape import (
    KernelShapes,
    covariances,
    kernel_centre,
    kernel_shapes,
    moment_weights,
    shapes_from_covariances,
    shapes_from_moments,
)
from manet_cli.degradations.noise import apply_noise, sample_noise
from manet_cli.degradations.protocol import Degradation, DegradedImage, crop_to_multiple, published_grid
from manet_cli.degradations.quantization import apply_quantization
from manet_cli.degradations.spatially_variant import (
    BLOCK_SIZE,
    MODES,
    BlockKernels,
    block_parameters,
    spatially_variant_kernels,
    uniform_kernels,
)
from manet_cli.degradations.texture import FLAT_BELOW, TEXTURE_MARGIN, texture

__all__ = [
    "BLOCK_SIZE",
    "FLAT_BELOW",
    "KERNEL_SIZE",
    "MODES",
    "TEXTURE_MARGIN",
    "BlockKernels",
    "Degradation",
    "DegradedImage",
    "GaussianParameters",
    "KernelMap",
    "KernelRange",
    "KernelRows",
    "KernelShapes",
    "anisotropic_kernels",
    "apply_block_blur",
    "apply_blur",
    "apply_blur_and_subsample",
    "apply_jpeg",
    "apply_kernel_map",
    "apply_kernels",
    "apply_noise",
    "apply_quantization",
    "block_parameters",
    "covariances",
    "crop_to_multiple",
    "isotropic_kernels",
    "iterate_kernel_bands",
    "kernel_centre",
    "kernel_shapes",
    "moment_weights",
    "published_grid",
    "sample_kernels",
    "sample_noise",
    "sample_parameters",
    "shapes_from_covariances",
    "shapes_from_moments",
    "spatially_variant_kernels",
    "texture",
    "uniform_kernels",
]
