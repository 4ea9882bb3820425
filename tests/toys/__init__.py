"""Toys: new parts of the product in one file each."""
