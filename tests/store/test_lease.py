from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from ss3d.errors import RefusedError
from ss3d.store.directory import DirectoryStore
from ss3d.store.lease import take_lease


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


def test_the_second_is_refused_until_the_first_releases(store: DirectoryStore) -> None:
    refused = pytest.raises(RefusedError, match=rf"study a is run by process {os.getpid()} on")
    with take_lease(store, "driver.lease", "study a"), refused:
        take_lease(store, "driver.lease", "study a")
    take_lease(store, "driver.lease", "study a").release()


def test_renewal_outlives_the_term(store: DirectoryStore) -> None:
    with take_lease(store, "l", "x", ttl_s=0.6):
        time.sleep(1.2)
        with pytest.raises(RefusedError):
            take_lease(store, "l", "x")


def test_a_lease_of_another_machine_is_taken_over_when_it_ran_out(store: DirectoryStore) -> None:
    claim = {"host": "elsewhere/1", "pid": 1, "started": 0.0, "expires": store.now() + 0.3}
    store.put_new("l", json.dumps(claim).encode())
    with pytest.raises(RefusedError, match="process 1 on elsewhere; stop that one"):
        take_lease(store, "l", "x")
    time.sleep(0.35)
    take_lease(store, "l", "x").release()


def _hold(path: str) -> None:
    take_lease(DirectoryStore(Path(path)), "l", "x", ttl_s=600)
    time.sleep(60)


def test_a_killed_holder_on_this_machine_is_taken_over_at_once(store: DirectoryStore) -> None:
    process = multiprocessing.get_context("fork").Process(target=_hold, args=(store.address,))
    process.start()
    while store.get("l") is None:
        time.sleep(0.01)
    with pytest.raises(RefusedError):
        take_lease(store, "l", "x")
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    while process.is_alive():  # pragma: no branch
        time.sleep(0.01)
    take_lease(store, "l", "x").release()
    process.join()


def test_losing_the_lease_is_told(store: DirectoryStore) -> None:
    lost = threading.Event()
    lease = take_lease(store, "l", "x", ttl_s=0.3, on_lost=lost.set)
    blob = store.get("l")
    while blob is not None:  # the renewing thread may win once
        try:
            store.put_if("l", b'{"host": "thief"}', blob.version)
        except RefusedError:
            blob = store.get("l")
            continue
        break
    assert lost.wait(5)
    lease.release()
    blob = store.get("l")
    assert blob is not None
    assert b"thief" in blob.data
