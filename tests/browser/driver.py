"""A headless Chromium, driven over ChromeDriver's plain HTTP interface (W3C WebDriver); urllib is enough."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

__all__ = ["DEBIAN_PACKAGE", "Browser", "missing_browser"]

DEBIAN_PACKAGE = "chromium-driver"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_START = 30  # longest wait for the driver, in seconds
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver's key of an element


def missing_browser() -> str | None:
    """Return what is missing for a browser; None if nothing is."""
    if shutil.which("chromedriver") and any(map(shutil.which, _BROWSERS)):
        return None
    return f"no chromedriver or no Chromium here: install Debian's package {DEBIAN_PACKAGE}"


class Browser:
    """One window of 1200x900 pixels. Close it when done."""

    def __init__(self, log: Path) -> None:
        command = [str(shutil.which("chromedriver")), "--port=0", f"--log-path={log}"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._address = f"http://127.0.0.1:{self._port()}"
        binary = next(filter(None, map(shutil.which, _BROWSERS)))
        # As root, in containers, Chromium has no sandbox; the pages are our own.
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        arguments += ["--window-size=1200,900", "--force-device-scale-factor=1", "--hide-scrollbars"]
        options = {"binary": binary, "args": arguments}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        try:
            answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        except BaseException:
            self._stop()
            raise
        self._session = f"/session/{answer['sessionId']}"

    def close(self) -> None:
        """End the browser and its driver."""
        try:
            self._ask("DELETE", self._session)
        finally:
            self._stop()

    def open(self, page: Path) -> None:
        """Load a file."""
        self.logs()
        self._post("/url", {"url": page.as_uri()})

    def run(self, script: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the script returns
        """Run the body of a function in the page and return its result."""
        return self._post("/execute/sync", {"script": script, "args": list(arguments)})

    def logs(self) -> list[str]:
        """Return the new entries of the console: errors and blocked requests."""
        return [entry["message"] for entry in self._post("/se/log", {"type": "browser"})]

    def command(self, name: str, **parameters: object) -> Any:  # noqa: ANN401 - as the command has it
        """Send a command of the DevTools protocol."""
        return self._post("/goog/cdp/execute", {"cmd": name, "params": parameters})

    def press(self, selector: str, *keys: str) -> None:
        """Press keys in an element, one after the other; modifiers such as Shift stay down until the end."""
        element = self._element(selector)
        self._post(f"/element/{element[_ELEMENT]}/value", {"text": "".join(keys)})

    def click(self, selector: str) -> None:
        """Click an element."""
        self._post(f"/element/{self._element(selector)[_ELEMENT]}/click", {})

    def point(self, *moves: tuple[str, float, float], kind: str = "mouse", down: int | None = None) -> None:
        """Move a pointer to places (selector, x, y from the element's upper left corner).

        `down`: the move at which it is pressed; it is released after the last move.
        """
        actions: list[dict[str, object]] = []
        for number, (selector, x, y) in enumerate(moves):
            left, top, _, _ = self.box(selector)
            where = {"x": round(left + x), "y": round(top + y)}
            actions.append({"type": "pointerMove", "duration": 0, "origin": "viewport", **where})
            if number == down:
                actions.append({"type": "pointerDown", "button": 0})
        if down is not None:
            actions.append({"type": "pointerUp", "button": 0})
        source = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": actions}
        self._post("/actions", {"actions": [source]})

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Return left, top, width and height of an element in the window."""
        script = "const {x, y, width, height} = document.querySelector(arguments[0]).getBoundingClientRect();"
        left, top, width, height = self.run(f"{script} return [x, y, width, height];", selector)
        return left, top, width, height

    def screenshot(self) -> bytes:
        """Return a screenshot as PNG."""
        return base64.b64decode(self._ask("GET", f"{self._session}/screenshot"))

    def _element(self, selector: str) -> Any:  # noqa: ANN401 - WebDriver's own
        return self._post("/element", {"using": "css selector", "value": selector})

    def _post(self, path: str, body: dict[str, object]) -> Any:  # noqa: ANN401 - as the command has it
        return self._ask("POST", self._session + path, body)

    def _ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - as the command has it
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(json.load(error)["value"]["message"]) from error

    def _port(self) -> int:
        deadline = time.monotonic() + _START
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "started successfully on port" in line:
                return int(line.rsplit("port", 1)[1].strip(" .\n"))
            if time.monotonic() > deadline:
                break
        self._stop()
        raise RuntimeError("chromedriver did not start")

    def _stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=_START)
        if self._process.stdout is not None:
            self._process.stdout.close()
