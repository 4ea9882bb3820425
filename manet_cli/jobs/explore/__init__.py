"""The page of `manet explore`."""
