"""A process that has imported everything and forks a `manet` per request: real kills without slow starts.

Each line of standard input is a JSON object: `arguments`, the files `stdout` and `stderr`, and where wanted
`signal` and `delay` (what to send, how many seconds after the start), `file_limit` (bytes; the most that a
file may have), `memory` (bytes that the process may map beyond
what it has) and `user` (numeric). Each line of standard output is the return code, negative for a signal.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np  # noqa: F401 - imported once for all
import torch  # noqa: F401
from PIL import AvifImagePlugin, Image, WebPImagePlugin  # noqa: F401

from manet_cli import cli, console  # noqa: F401
from manet_cli.jobs import models  # noqa: F401

STOPS = (signal.SIGTERM, signal.SIGINT)


def become_manet(request: dict[str, Any]) -> None:
    """Turn this process, just forked, into the command."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), number)
    if "file_limit" in request:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_limit"], request["file_limit"]))
    if "memory" in request:
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + request["memory"],) * 2)
    if "user" in request:
        os.setgroups([])
        os.setgid(request["user"])
        os.setuid(request["user"])
    app = cli.app

    def unblocked(**options: str) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        app(**options)

    cli.app = unblocked  # type: ignore[assignment]
    sys.argv = ["manet", *request["arguments"]]
    cli.run()


def warm_up() -> None:
    """Import lazy modules."""
    Image.init()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.argv = ["manet", "weights", "path", "default"]
    with suppress(SystemExit):
        cli.main()


def serve() -> None:
    """Answer requests until standard input ends."""
    requests, answers = sys.stdin, os.fdopen(os.dup(1), "w")
    warm_up()
    # A signal before the command's start is held until it starts.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    for line in requests:
        request = json.loads(line)
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            os.close(answers.fileno())
            become_manet(request)
        status = 0
        if "signal" in request:
            ended = 0
            while not ended and time.monotonic() - started < request["delay"]:
                time.sleep(0.001)
                ended, status = os.waitpid(child, os.WNOHANG)
            if not ended:
                os.kill(child, request["signal"])
                _, status = os.waitpid(child, 0)
        else:
            _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


if __name__ == "__main__":
    serve()
