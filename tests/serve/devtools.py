"""A headless Chromium under remote control: the few commands of its DevTools protocol that a test needs."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect


class Page:
    """One browser with one page; it ends with the `with` block."""

    def __init__(self, browser: str, options: Sequence[str], folder: Path) -> None:
        log, profile = folder / "browser.log", folder / "profile"
        own = ["--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [browser, *options, *own], stdout=subprocess.DEVNULL, stderr=file
            )
        self._log, self._next, self._stack = log, 0, ExitStack()
        self._socket: ClientConnection

    def __enter__(self) -> Page:
        end = time.monotonic() + 60
        while not (found := re.search(r"ws://127\.0\.0\.1:(\d+)/", self._told())):
            assert time.monotonic() < end and self._process.poll() is None, self._told()
            time.sleep(0.1)
        port = int(found.group(1))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=20) as answer:
            pages = [target for target in json.load(answer) if target["type"] == "page"]
        self._socket = self._stack.enter_context(connect(pages[0]["webSocketDebuggerUrl"], max_size=None))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._process.kill()
        self._process.wait()

    def _told(self) -> str:
        return self._log.read_text(errors="replace")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its answer; events in between are passed over."""
        self._next += 1
        self._socket.send(json.dumps({"id": self._next, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._socket.recv(60))
            if told.get("id") == self._next:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result

    def open(self, address: str) -> None:
        """Load a page and wait until it stands."""
        self.call("Page.navigate", url=address)
        end = time.monotonic() + 60
        while self.value("document.readyState") != "complete" or self.value("location.href") != address:
            assert time.monotonic() < end
            time.sleep(0.05)

    def value(self, expression: str) -> Any:
        """A JavaScript value, by value."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def run(self, script: str) -> None:
        """Start a script; it need not end."""
        self.call("Runtime.evaluate", expression=script)

    def title_when_json(self) -> str:
        """The title, once a script has written an object into it."""
        end = time.monotonic() + 60
        while not str(title := self.value("document.title")).startswith("{"):
            assert time.monotonic() < end, title
            time.sleep(0.05)
        return str(title)

    def screenshot(self, path: Path) -> None:
        """The visible part as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
