"""What a command line asks for, planned and carried out file by file."""
