"""A page in a real browser that is asked and waited for: the DevTools protocol over a pipe."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from report.browser import find_browser

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--hide-scrollbars", "--disable-background-networking", "--disable-extensions",
    "--remote-debugging-pipe",
)  # fmt: skip
_PATIENCE_S = 90.0


class LivePage:
    """One tab of a browser."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._buffer = b""
        self._number = 0
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session: dict[str, str] = {"sessionId": attached["sessionId"]}

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression, or of the promise that it is."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def text(self) -> str:
        return self.evaluate("document.body ? document.body.innerText : ''")

    def wait_for(self, *words: str) -> str:
        """Return the page's text once all words are in it."""
        deadline = time.monotonic() + _PATIENCE_S
        while missing := [word for word in words if word not in self.text()]:
            assert time.monotonic() < deadline, f"{missing} not in:\n{self.text()}"
            time.sleep(0.2)
        return self.text()

    def link_of(self, word: str) -> str:
        """Return where the first link leads whose text contains a word, once it is there."""
        found = (
            "([...document.links].find((one) => one.innerText.includes("
            f"{json.dumps(word)})) ?? {{}}).href"
        )
        deadline = time.monotonic() + _PATIENCE_S
        while not (address := self.evaluate(found)):
            assert time.monotonic() < deadline, f"no link with {word!r} in:\n{self.text()}"
            time.sleep(0.2)
        return address

    def screenshot(self, path: Path) -> None:
        """Write what is shown as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def call(self, method: str, **parameters: Any) -> Any:
        return self._call(method, self._session, **parameters)

    def _call(self, method: str, session: dict[str, str] | None = None, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **(session or {})}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._from], [], [], _PATIENCE_S)[0], "the browser is silent"
            data = os.read(self._from, 1 << 20)
            assert data, "the browser ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


@contextmanager
def live_page(profile: Path, width: int = 1500, height: int = 900) -> Iterator[LivePage]:
    """Run a browser with one tab until the block ends.

    Args:
        profile: empty folder for the browser's files.
        width: of its window, pixels.
        height: of its window, pixels.
    """
    command = [
        find_browser(), *_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}",
        "about:blank",
    ]  # fmt: skip
    their_in, our_out = os.pipe()
    our_in, their_out = os.pipe()
    opened = ["bash", "-c", f'exec "$@" 3<&{their_in} 4>&{their_out}', "browser", *command]
    with subprocess.Popen(
        opened, pass_fds=(their_in, their_out), stderr=subprocess.DEVNULL
    ) as process:
        os.close(their_in)
        os.close(their_out)
        try:
            yield LivePage(our_out, our_in)
        finally:
            process.terminate()
            os.close(our_out)
            os.close(our_in)
