"""What a search looks like, for Prometheus: the newest snapshot, and how far others lag behind."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ss3d.errors import ConfigError, RefusedError
from ss3d.study.live import Snapshot
from ss3d.study.spool import Waiting

if TYPE_CHECKING:
    from ss3d.tracking.projector import Lag

LOOPBACK = "127.0.0.1"
_STATES = ("waiting", "running", "complete", "pruned", "failed")


class Metrics(Collector):
    """A search as gauges; every one of them names the study.

    Args:
        lag: says what MLflow does not show yet.
        spool: says what this node has not brought into the store yet.
        now: seconds since 1970.
    """

    def __init__(
        self,
        lag: Callable[[], Lag],
        spool: Callable[[], Waiting],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._lag = lag
        self._spool = spool
        self._now = now
        self.study = ""
        self.snapshot: Snapshot | None = None
        """The newest; nothing is told before the first."""

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics as they are now; called by whoever asks, in a thread of its own."""
        if self.snapshot is None:
            return
        yield from self._of_trials(self.snapshot)
        yield from self._of_session(self.snapshot)
        yield from self._of_lags()

    def _of_trials(self, snapshot: Snapshot) -> Iterator[Metric]:
        states = {(state,): snapshot.counts.get(state, 0) for state in _STATES}
        yield self._gauge("trials", "Trials by state.", states.items(), "state")
        yield self._one("trials_target", "Trials in the budget.", snapshot.target)
        shared = Counter((line.kind, line.state) for line in snapshot.shared)
        told = "Pretrainings and controls that this session made or waits for."
        yield self._gauge("shared_jobs", told, shared.items(), "kind", "state")
        told = "Trials that began from a pretrained state that was there already."
        yield self._one("reused_pretrains", told, snapshot.num_reused)
        best = {
            (", ".join(f"{path}={value}" for path, value in best.stratum.items()),): best.value
            for best in snapshot.best
        }
        yield self._gauge("best", "Primary objective of the best trial.", best.items(), "stratum")

    def _of_session(self, snapshot: Snapshot) -> Iterator[Metric]:
        told = "Hours of training times GPUs of a trial; CPUs where it has no GPU."
        yield self._one("device_hours", told, snapshot.device_hours)
        yield self._one("session_seconds", "Since the session began.", snapshot.seconds)
        told = "Whether workers wait because the spool of the driver's node is full."
        yield self._one("paused", told, bool(snapshot.paused))
        told = "Jobs that this session moved from nodes much slower than others of their kind."
        yield self._one("moved_jobs", told, snapshot.num_moved)
        told = "Slots on such nodes that are not used for now."
        yield self._one("resting_slots", told, snapshot.num_resting)

    def _of_lags(self) -> Iterator[Metric]:
        spool, lag = self._spool(), self._lag()
        told = "What waits on the driver's node for its way into the store."
        yield self._one("upload_waiting_bytes", told, spool.num_bytes)
        lag_s = 0.0 if spool.since is None else max(self._now() - spool.since, 0.0)
        yield self._one("upload_lag_seconds", "Age of the oldest of it.", lag_s)
        told = "Records that MLflow does not show yet."
        yield self._one("tracking_waiting", told, lag.num_records)
        yield self._one("tracking_lag_seconds", "Age of the oldest of them.", lag.seconds)

    def _one(self, name: str, told: str, value: float) -> Metric:
        return self._gauge(name, told, [((), value)])

    def _gauge(
        self, name: str, told: str, values: Iterable[tuple[tuple[str, ...], float]], *labels: str
    ) -> Metric:
        family = GaugeMetricFamily(f"ss3d_{name}", told, labels=("study", *labels))
        for where, value in values:
            family.add_metric((self.study, *where), value)
        return family


class Exporter:
    """Serves metrics at `http://HOST:PORT/metrics` from its beginning to its end.

    Args:
        address: `PORT`, which is on loopback, or `HOST:PORT`.
        metrics: what it serves.

    Raises:
        ConfigError: the address is not one.
        RefusedError: the port is taken, or the host is not this machine's.
    """

    def __init__(self, address: str, metrics: Metrics) -> None:
        host, port = _parse(address)
        registry = CollectorRegistry()
        registry.register(metrics)
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise RefusedError(f"--metrics {address}: {error.strerror}; give another") from error

    @property
    def port(self) -> int:
        """Return the port; one that was free if 0 was asked for."""
        return self._server.server_port

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _parse(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"--metrics: got {address!r}, expected PORT or HOST:PORT, e.g. 9108")
    return host or LOOPBACK, int(port)
