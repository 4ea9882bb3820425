"""The command line: the commands, signals and exit codes."""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress
from typing import Annotated

import typer

from manet_cli import __version__
from manet_cli.atomic import remove_held
from manet_cli.commands import study, weights
from manet_cli.commands.compare import compare
from manet_cli.commands.deblur import deblur
from manet_cli.commands.degrade import degrade
from manet_cli.commands.doctor import doctor
from manet_cli.commands.evaluate import evaluate
from manet_cli.commands.explore import explore
from manet_cli.commands.help import ManetCommand, ManetGroup
from manet_cli.commands.kernels import kernels
from manet_cli.commands.replay import replay
from manet_cli.commands.train import train
from manet_cli.commands.upscale import upscale
from manet_cli.errors import ManetError
from manet_cli.stopping import end_at_second, end_if_stopped, listen, stopped_by

__all__ = ["app", "main", "run"]

_ENDED: dict[int, str] = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
_STDOUT_ERRORS = (errno.ENOSPC, errno.EIO, errno.EBADF)

app = typer.Typer(
    name="manet",
    cls=ManetGroup,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
for command in (upscale, deblur, compare, kernels, replay, explore, degrade, evaluate, train):
    app.command(cls=ManetCommand)(command)
app.add_typer(study.app, name="study")
app.add_typer(weights.app, name="weights")
app.command(cls=ManetCommand)(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"manet {__version__}")
        raise typer.Exit


@app.callback()
def _manet(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Make small or blurry photos large and sharp, without knowing how they were blurred."""


def _end_at_once(code: int) -> None:
    """End the process without unwinding: remove its temporary files, say so, and show the cursor again."""
    remove_held()
    with suppress(OSError):
        shown = b"\r\x1b[K\x1b[?25h" if os.isatty(2) else b""
        os.write(2, shown + f"manet: {_ENDED[code - 128]}\n".encode())
    os._exit(code)


def _say_that_it_stops() -> None:
    """Answer a signal on a terminal at once; C code may keep the main thread for seconds."""
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, b"\r\x1b[Kmanet: stopping; press Ctrl-C again to end at once\n")


def main() -> None:
    """Run the command line and exit with its code; after a signal print "interrupted" or "terminated"."""
    listen()
    try:
        _main()
    finally:
        number = stopped_by()
        if number is not None:
            _ignore_signals()  # another Ctrl-C adds nothing
            from manet_cli.console import print_error

            with suppress(OSError):  # the reader may be gone
                print_error(_ENDED[number])


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _main() -> None:
    try:
        app(prog_name="manet")  # always this name: shell completion depends on it
    except KeyboardInterrupt:  # before or after the command, outside Typer
        sys.exit(128 + signal.SIGINT)
    except SystemExit:
        end_if_stopped()
        raise
    except Exception as error:
        end_if_stopped()
        if os.environ.get("MANET_DEBUG") == "1":
            raise
        from manet_cli.console import print_error

        if isinstance(error, OSError) and error.filename is None and error.errno in _STDOUT_ERRORS:
            print_error(f"standard output cannot be written ({error.strerror})")
            sys.exit(1)
        if isinstance(error, ManetError):
            print_error(error)
            sys.exit(error.exit_code)
        print_error(
            f"unexpected {type(error).__name__}: {error}. "
            "This is a bug; run again with MANET_DEBUG=1 to see where."
        )
        sys.exit(1)


def run() -> None:
    """Run `main`, then ignore signals so that the exit code stands.

    A second signal ends the process at once, except under torchrun, which repeats the user's signals.
    After a signal, exit without shutting the interpreter down: threads that still compute would abort it.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        end_at_second(_end_at_once, _say_that_it_stops)
    try:
        main()
    finally:
        _ignore_signals()
        number = stopped_by()
        if number is not None:
            remove_held()
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    if stream is not None:  # as after `>&-`
                        stream.flush()
            os._exit(128 + number)
