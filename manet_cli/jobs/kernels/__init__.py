"""Kernels of every pixel: written, surveyed and drawn."""
