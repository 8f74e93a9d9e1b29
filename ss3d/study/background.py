"""A thread of the driver beside Tune's loop; the driver raises what ends it too early."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

from ss3d.study.patience import GaveUpError


class Background(ABC):
    """Works until it is closed; each kind says how it is closed.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.failure: Exception | None = None
        """Why the work ended too early, if something is wrong."""

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    @abstractmethod
    def _work(self) -> None:
        """Work until `_ended` is set."""

    def _run(self) -> None:
        try:
            self._work()
        except GaveUpError:
            return
        except Exception as error:  # noqa: BLE001 - the driver raises it: nothing is swallowed
            self.failure = error
