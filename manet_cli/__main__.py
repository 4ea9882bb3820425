"""``python -m manet_cli``."""

from manet_cli.cli import main

if __name__ == "__main__":
    main()
