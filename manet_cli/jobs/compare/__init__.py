"""Putting ways to enlarge one photo side by side."""
