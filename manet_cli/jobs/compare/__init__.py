"""Compare enlargements of one photo side by side."""
