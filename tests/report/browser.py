"""A page in a real browser without a window: what it becomes, and what the browser complains of."""

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--hide-scrollbars", "--disable-background-networking", "--disable-extensions",
    "--enable-logging=stderr", "--virtual-time-budget=4000",
)  # fmt: skip
_PROBE = """<script>
addEventListener("load", () => setTimeout(async () => {
  const wide = [...document.querySelectorAll("body *")].filter((one) =>
    one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".wide, nav, pre, svg"));
  parent.postMessage(JSON.stringify({
    width: innerWidth,
    needed: document.documentElement.scrollWidth,
    wide: wide.map((one) => one.outerHTML.slice(0, 120)),
    fetched: performance.getEntriesByType("resource").map((one) => one.name)
      .filter((name) => !/^(data|about|blob):/.test(name)),
    broken: [...document.images].filter((one) => one.loading !== "lazy" && !one.naturalWidth)
      .length,
    answer: await (SCRIPT)(),
  }), "*");
}, 500));
</script>"""
_FRAME = """<!doctype html><body style="margin:0">
<script>addEventListener("message", (event) => {
  const found = document.createElement("pre");
  found.id = "found"; found.textContent = event.data; document.body.append(found); });</script>
<iframe style="border:0;width:WIDTHpx;height:900px" srcdoc="PAGE"></iframe></body>"""


@dataclass(frozen=True)
class Shown:
    """A page in a frame of some width."""

    found: dict[str, Any]
    """`width`, `needed`, what is `wide`, `fetched` or `broken`, and the script's `answer`."""
    complaints: list[str]
    """What the browser wrote on its console: errors of scripts, refused loads."""


def find_browser() -> str:
    """Return the browser; skip without one, fail without one in CI."""
    for name in _NAMES:
        if path := shutil.which(name):
            return path
    missing = pytest.fail if os.environ.get("CI") else pytest.skip
    missing("no browser: install chromium (Debian: apt-get install chromium)")
    raise AssertionError


def show(page: str, width: int, folder: Path, script: str = "() => null") -> Shown:
    """Open a page in a frame, for no window is narrower than 500 pixels.

    Args:
        page: HTML.
        width: of the frame, pixels.
        folder: for the browser's files.
        script: a function whose answer is wanted.
    """
    probed = page.replace("</body>", _PROBE.replace("SCRIPT", script) + "</body>")
    assert probed != page
    frame = _FRAME.replace("WIDTH", str(width)).replace("PAGE", html.escape(probed))
    file = folder / f"frame-{width}.html"
    file.write_text(frame, encoding="utf-8")
    command = [
        find_browser(), *_FLAGS, f"--user-data-dir={folder / 'profile'}",
        f"--window-size={max(500, width)},900", "--dump-dom", file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    complaints = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return Shown(json.loads(html.unescape(found[1])), complaints)
