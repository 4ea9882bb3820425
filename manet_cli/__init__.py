"""Blind super-resolution of photos with a blur kernel for every pixel (MANet and RRDB-SFT)."""

__all__ = ["__version__"]

__version__ = "0.1.0"
