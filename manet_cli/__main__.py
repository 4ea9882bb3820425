"""``python -m manet_cli``."""

from manet_cli.cli import run

if __name__ == "__main__":
    run()
