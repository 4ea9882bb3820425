"""The blur that a result is made with: where it comes from, and how it is changed."""
