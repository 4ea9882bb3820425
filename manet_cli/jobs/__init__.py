"""The work of the commands, planned and run file by file."""
