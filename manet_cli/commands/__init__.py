"""One file per command: parse, call, report."""
