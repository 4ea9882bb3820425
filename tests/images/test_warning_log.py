from __future__ import annotations

import logging
import threading
import warnings

import pytest

from manet_cli.images.warning_log import logged_warnings


def test_threads_that_interleave_keep_their_warnings_apart(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    before, filters = warnings.showwarning, list(warnings.filters)
    meet = threading.Barrier(2, timeout=30)

    def read(name: str, *, first: bool) -> None:
        if not first:
            meet.wait()
        with logged_warnings(name):
            if first:
                meet.wait()
            meet.wait()  # both are inside
            for _ in range(2):
                warnings.warn(f"of {name}", stacklevel=1)
            if not first:
                meet.wait()
        if first:
            meet.wait()

    threads = [
        threading.Thread(target=read, args=(name,), kwargs={"first": name == "a"}) for name in ("a", "b")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(caplog.messages) == ["a: of a"] * 2 + ["b: of b"] * 2
    assert warnings.showwarning is before
    assert list(warnings.filters) == filters


def test_other_threads_warnings_go_where_they_went(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    shown: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *rest: shown.append(str(message))
        with logged_warnings("a"):
            thread = threading.Thread(target=warnings.warn, args=("elsewhere",))
            thread.start()
            thread.join()
    assert shown == ["elsewhere"]
    assert not caplog.messages
