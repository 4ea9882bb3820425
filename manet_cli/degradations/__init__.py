"""From a sharp HR image to the LR image of a camera: blur, subsample, noise, sharpening, JPEG, 8 bits.

All functions are pure; those that draw take an explicit generator. Images are RGB float tensors (B, C, H, W)
in [0, 1]; results live on the device of the inputs. Kernels are (..., k, k) arrays whose values sum to 1, in
the published placement (see `gaussian`). The shape parameters sig1 and sig2 of a kernel are variances in HR
pixels squared; a parameter named sigma is a standard deviation in HR pixels.

Import from the modules: the help reads the list of steps (`registry`), which must not import torch.
"""
