"""The blur for the restorer: its source and its adjustment."""
