from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from ss3d.errors import RefusedError, ServiceError
from ss3d.store.directory import DirectoryStore
from ss3d.store.lease import take_lease
from ss3d.store.opening import open_store
from ss3d.store.protocol import Store


@pytest.fixture
def store(each_address: str) -> Store:
    return open_store(each_address)


@pytest.fixture
def ttl_s(each_address: str) -> float:
    """A short term: an S3 server tells its clock in whole seconds."""
    return 3.0 if each_address.startswith("s3:") else 0.6


def test_the_second_is_refused_until_the_first_releases(store: Store) -> None:
    refused = pytest.raises(RefusedError, match=rf"study a is run by process {os.getpid()} on")
    with take_lease(store, "driver.lease", "study a"), refused:
        take_lease(store, "driver.lease", "study a")
    take_lease(store, "driver.lease", "study a").release()


def test_renewal_outlives_the_term(store: Store, ttl_s: float) -> None:
    with take_lease(store, "l", "x", ttl_s=ttl_s):
        time.sleep(1.5 * ttl_s)
        with pytest.raises(RefusedError):
            take_lease(store, "l", "x")


def test_a_lease_of_another_machine_is_taken_over_when_it_ran_out(
    store: Store, ttl_s: float
) -> None:
    claim = {"host": "elsewhere/1", "pid": 1, "started": 0.0, "expires": store.now() + ttl_s}
    store.put_new("l", json.dumps(claim).encode())
    with pytest.raises(RefusedError, match="process 1 on elsewhere; stop that one"):
        take_lease(store, "l", "x")
    time.sleep(ttl_s + 0.05)
    take_lease(store, "l", "x").release()


def _hold(address: str) -> None:
    take_lease(open_store(address), "l", "x", ttl_s=600)
    time.sleep(60)


def test_a_killed_holder_on_this_machine_is_taken_over_at_once(store: Store) -> None:
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


def test_losing_the_lease_is_told(store: Store) -> None:
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


class Forgetful(DirectoryStore):
    """A store that loses the answers to writes, not the writes."""

    lost = 0

    def put_if(self, key: str, data: bytes, version: str) -> str:
        new = super().put_if(key, data, version)
        if self.lost:
            self.lost -= 1
            raise ServiceError("the answer is lost")
        return new


def test_a_renewal_whose_answer_is_lost_does_not_lose_the_lease(tmp_path: Path) -> None:
    store, lost = Forgetful(tmp_path), threading.Event()
    store.lost = 2
    with take_lease(store, "l", "x", ttl_s=0.3, on_lost=lost.set):
        assert not lost.wait(0.8)
        with pytest.raises(RefusedError):
            take_lease(store, "l", "x")
    assert store.lost == 0
    take_lease(store, "l", "x").release()
