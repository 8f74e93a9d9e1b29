"""A lease: the right to be the only one, held while it is renewed."""

from __future__ import annotations

import json
import platform
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from ss3d.config import canonical_json
from ss3d.errors import ConflictError, RefusedError, ServiceError
from ss3d.store.protocol import Store

TTL_S = 30.0
_CLOCK_DRIFT_S = 5.0  # a process's start is told relative to the boot time, which NTP moves


class Lease:
    """A lease taken on a key; renewed by a thread until `release` or the end of `with`.

    Args:
        store: where the lease lies; its clock decides when a lease has run out.
        key: the lease's key.
        version: version of the object that says we hold it.
        ttl_s: seconds that it lasts without renewal.
        on_lost: called once, from the renewing thread, when somebody else has taken it over.
    """

    def __init__(
        self, store: Store, key: str, version: str, ttl_s: float, on_lost: Callable[[], None]
    ) -> None:
        self._renewed = time.monotonic()
        self._store = store
        self._key = key
        self._version = version
        self._ttl_s = ttl_s
        self._on_lost = on_lost
        self._unanswered: list[bytes] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease {key}", daemon=True)
        self._thread.start()

    @property
    def is_sure(self) -> bool:
        """Return whether nobody can have taken it over yet: it was renewed not long ago.

        A process that was stopped for longer than its lease knows so at once when it goes on. A
        third of the time is left for the store's clock, which may show whole seconds.
        """
        return time.monotonic() - self._renewed < self._ttl_s * 2 / 3

    def release(self) -> None:
        """Give the lease back; nothing happens if it was lost."""
        self._ending.set()
        self._thread.join()
        try:
            self._store.put_if(self._key, _claim(0.0), self._version)
        except (ConflictError, ServiceError):
            return  # lost, or it runs out by itself

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _renew(self) -> None:
        while not self._ending.wait(self._ttl_s / 3):
            began = time.monotonic()
            try:
                self._extend(_claim(self._store.now() + self._ttl_s))
                self._renewed = began
            except ServiceError:
                continue  # the store is away: nobody else can take it over either
            except ConflictError:
                self._on_lost()
                return

    def _extend(self, claim: bytes) -> None:
        """Replace our claim; an earlier one may have arrived although its answer did not."""
        self._unanswered.append(claim)
        try:
            self._version = self._store.put_if(self._key, claim, self._version)
        except ConflictError:
            blob = self._store.get(self._key)
            if blob is None or blob.data not in self._unanswered:
                raise
            self._version = self._store.put_if(self._key, claim, blob.version)
        self._unanswered.clear()


def take_lease(
    store: Store,
    key: str,
    what: str,
    ttl_s: float = TTL_S,
    on_lost: Callable[[], None] = lambda: None,
) -> Lease:
    """Take a lease that is free, has run out, or whose holder died on this machine.

    Args:
        store: where the lease lies.
        key: the lease's key.
        what: what is held, for the message: `study quickstart`.
        ttl_s: seconds that it lasts without renewal.
        on_lost: called when somebody else has taken it over.

    Raises:
        RefusedError: somebody holds it; says who, and what to do.
    """
    blob = store.get(key)
    try:
        if blob is None:
            version = store.put_new(key, _claim(store.now() + ttl_s))
        else:
            if is_held(store, key):
                raise _held(what, json.loads(blob.data), store.now())
            version = store.put_if(key, _claim(store.now() + ttl_s), blob.version)
    except ConflictError as error:
        raise RefusedError(f"{what} was taken by another driver at this moment") from error
    return Lease(store, key, version, ttl_s, on_lost)


def is_held(store: Store, key: str) -> bool:
    """Return whether somebody holds a lease, as far as can be known from here."""
    blob = store.get(key)
    if blob is None:
        return False
    holder = json.loads(blob.data)
    return holder["expires"] > store.now() and not _is_dead(holder)


def _held(what: str, holder: dict[str, Any], now: float) -> RefusedError:
    left_s = holder["expires"] - now
    return RefusedError(
        f"{what} is run by process {holder['pid']} on {holder['host'].partition('/')[0]}; "
        f"stop that one (Ctrl-C) or, if it is dead, wait {left_s:.0f} s for its lease to run out"
    )


def _claim(expires: float) -> bytes:
    process = psutil.Process()
    return canonical_json(
        {
            "schema": 1,
            "host": _host(),
            "pid": process.pid,
            "started": process.create_time(),
            "expires": expires,
        }
    ).encode()


def _host() -> str:
    """Return this machine's name and process namespace: where a process id has its meaning."""
    namespace = Path("/proc/self/ns/pid")
    return f"{platform.node()}/{namespace.stat().st_ino if namespace.exists() else 0}"


def _is_dead(holder: dict[str, Any]) -> bool:
    """Return whether the holder was a process of this machine that is gone."""
    if holder["host"] != _host():
        return False
    try:
        process = psutil.Process(holder["pid"])
        is_other = abs(process.create_time() - holder["started"]) > _CLOCK_DRIFT_S
        return is_other or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
