"""Word that a worker must go soon: SIGTERM, or Ray drains its node (spot notice, pod deletion).

`ray start` drains its node itself when it gets SIGTERM; autoscalers do before they end a machine.
"""

from __future__ import annotations

import logging
import signal
import time
from types import FrameType

import ray
from ray._raylet import GcsClient  # pyrefly: ignore[missing-module-attribute]
from ray.exceptions import RayError

from ss3d.errors import ServiceError

_PERIOD_S = 2.0
"""Between two questions to Ray's control plane: epochs may be shorter, and there is one for all."""
_PATIENCE_S = 1.0

log = logging.getLogger(__name__)


class LeavingError(ServiceError):
    """A worker ends between two epochs because it was told to; its job goes on elsewhere."""


class Notice:
    """Listens from the moment that it is made; in the main thread of a worker."""

    def __init__(self) -> None:
        self._has_signal = False
        self._next_question = 0.0
        self._control_plane: GcsClient | None = None
        signal.signal(signal.SIGTERM, self._on_signal)

    def why_leaving(self) -> str:
        """Return why this worker must go; empty if it need not, as far as is known.

        A control plane that does not answer for a moment tells nothing, and holds up nothing.
        """
        if self._has_signal:
            return "it got SIGTERM"
        if time.monotonic() < self._next_question:
            return ""
        self._next_question = time.monotonic() + _PERIOD_S
        context = ray.get_runtime_context()
        if self._control_plane is None:
            self._control_plane = GcsClient(address=context.gcs_address)
        try:
            draining = self._control_plane.get_draining_nodes(timeout=_PATIENCE_S)
        except (RayError, TimeoutError) as error:
            log.info("whether this node is drained is not known: %s", error)
            return ""
        return "its node is drained" if context.get_node_id() in draining else ""

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._has_signal = True
