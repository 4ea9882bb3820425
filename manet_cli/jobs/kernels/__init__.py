"""The kernel of every pixel: written to a file, summarised and drawn."""
