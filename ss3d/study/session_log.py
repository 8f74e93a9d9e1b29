"""What a driver's session told, as a log in the store that anybody can follow."""

from __future__ import annotations

import logging
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from ss3d.errors import ServiceError
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.study.background import Background
from ss3d.study.log_lines import LogLines
from ss3d.trial.log import log_keys

_PERIOD_S = 2.0
_PAUSES = 50
"""Times that writing took until it is done again: of thousands of trials it is long."""


class SessionLog(Background):
    """Collects what ss3d logs in this process, and writes it now and then if there is more.

    Args:
        store: where the study is; its lease is held.
        study: the study's name.
    """

    def __init__(self, store: Store, study: str) -> None:
        super().__init__("session log")
        self._store = store
        number = 1 + max(log_keys(store, layout.study(study)), default=0)
        self._key = layout.session_log(study, number)
        self._lines = LogLines({"study": study}, logging.INFO)
        self._written = 0
        self._listening = ExitStack()

    def start(self) -> None:
        """Begin to listen and to write."""
        self._listening.enter_context(self._lines.listening())
        super().start()

    def close(self) -> None:
        """Write for the last time."""
        self._listening.close()
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        pause_s = _PERIOD_S
        while not self._ended.wait(pause_s):
            began = time.monotonic()
            self._write()
            pause_s = max(_PERIOD_S, _PAUSES * (time.monotonic() - began))
        self._write()

    def _write(self) -> None:
        """Replace the log by all of it; while the store is away it waits for the next time."""
        count = len(self._lines)
        if count == self._written:
            return
        with tempfile.TemporaryDirectory(prefix="ss3d-log-") as folder, suppress(ServiceError):
            path = Path(folder) / "log"
            path.write_text(self._lines.text(), encoding="utf-8")
            self._store.put_file(self._key, path)
            self._written = count
