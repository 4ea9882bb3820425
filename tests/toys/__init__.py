"""Toys: one file each, to show what a new part of the product takes."""
