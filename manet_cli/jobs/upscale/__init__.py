"""Upscale pictures, from the plan to the file."""
