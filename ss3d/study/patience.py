"""Waiting for a store that is away, instead of failing, and writes that can be repeated."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from ss3d.errors import ConflictError, ServiceError
from ss3d.store.protocol import Store

_LONGEST_WAIT_S = 10.0

Result = TypeVar("Result")

log = logging.getLogger(__name__)


class GaveUpError(ServiceError):
    """The store stayed away until the waiting was ended from outside."""


def patiently(call: Callable[[], Result], ended: threading.Event | None = None) -> Result:
    """Call until the store answers, with growing pauses.

    Args:
        call: may raise ServiceError; must be repeatable.
        ended: set from outside to stop waiting; without it, only the process's end does.

    Raises:
        GaveUpError: `ended` was set while the store was away.
    """
    ended = ended or threading.Event()
    wait_s = 0.1
    while True:
        try:
            return call()
        except GaveUpError:
            raise
        except ServiceError as error:
            log.warning("%s; trying again in %.1f s", error, wait_s)
            if ended.wait(wait_s):
                raise GaveUpError(f"gave up waiting: {error}") from error
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def put_once(store: Store, key: str, data: bytes) -> None:
    """Write an object; the same bytes may be there from a call that seemed to fail.

    Raises:
        ConflictError: other bytes are there.
    """
    try:
        store.put_new(key, data)
    except ConflictError:
        blob = store.get(key)
        if blob is None or blob.data != data:
            raise
