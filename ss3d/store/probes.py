"""Asking a store whether it does what studies rely on. What is written is deleted again."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from ss3d.errors import CheckpointError, ConflictError, RefusedError, ServiceError, Ss3dError
from ss3d.store import layout
from ss3d.store.protocol import Store

Outcome = Literal["ok", "warn", "failed", "away"]

_RACERS = 8
_LARGE = 17 << 20
_SMALL = 20
_SKEW_S = 30.0
_SLOW_S = 1.0
_STALE_S = 3600.0


class Finding(NamedTuple):
    """What one probe found: `away` is a server that does not answer, `warn` may be meant so."""

    probe: str
    outcome: Outcome
    detail: str
    advice: str


class Probe(NamedTuple):
    """A question to a store; `ask` returns what was seen and raises RefusedError if it is bad."""

    name: str
    ask: Callable[[Store, str], str]
    advice: str


def examine(store: Store) -> Iterator[Finding]:
    """Yield a finding per probe; none follows on one that says that nothing can be done here."""
    run = f"{time.time():.0f}-{uuid.uuid4().hex}"
    try:
        for probe in PROBES:
            finding = _find(store, run, probe)
            yield finding
            if finding.outcome == "away" or finding.advice == _ACCESS:
                return
    finally:
        with suppress(Ss3dError):
            for key in _written(store, run):
                store.delete(key)


def stale_probes(store: Store) -> list[str]:
    """Return what probes left behind that were killed, or began more than an hour ago."""
    begun = {
        key: key.removeprefix(layout.PROBES).partition("-")[0] for key in store.list(layout.PROBES)
    }
    before = store.now() - _STALE_S
    return [key for key, at in begun.items() if not at.isdecimal() or float(at) < before]


def _find(store: Store, run: str, probe: Probe) -> Finding:
    try:
        return Finding(probe.name, "ok", probe.ask(store, run), "")
    except ServiceError as error:
        advice = _AWAY if "://" in store.address else _NO_DIRECTORY
        return Finding(probe.name, "away", str(error), advice)
    except (RefusedError, CheckpointError) as error:
        return Finding(probe.name, "failed", str(error), probe.advice)
    except Ss3dError as error:
        return Finding(probe.name, "failed", str(error), _ACCESS)


def _clock(store: Store, run: str) -> str:
    skew_s = store.now() - time.time()
    if abs(skew_s) > _SKEW_S:
        raise RefusedError(f"the store's clock differs from this machine's by {skew_s:+.0f} s")
    return f"differs from this machine's by less than {max(2, abs(skew_s)):.0f} s"


def _put_if_absent(store: Store, run: str) -> str:
    key = layout.probe(run, "absent")
    store.put_new(key, b"first")
    _must_conflict(lambda: store.put_new(key, b"second"), "a second put_new of a key")
    _must_hold(store, key, b"first")
    raced = layout.probe(run, "raced")
    _race(lambda racer: store.put_new(raced, racer), "put_new")
    return f"one of {_RACERS} writers at the same moment won, the others were told"


def _put_if_match(store: Store, run: str) -> str:
    key = layout.probe(run, "match")
    old = store.put_new(key, b"1")
    new = store.put_if(key, b"2", old)
    _must_conflict(lambda: store.put_if(key, b"3", old), "put_if with an old version")
    _must_hold(store, key, b"2")
    _race(lambda racer: store.put_if(key, racer, new), "put_if")
    store.delete(key)
    _must_conflict(lambda: store.put_if(key, b"4", new), "put_if of what was deleted")
    return f"one of {_RACERS} writers at the same moment won, the others were told"


def _listing(store: Store, run: str) -> str:
    keys = [layout.probe(run, f"listed-{number}") for number in range(3)]
    for key in keys:
        store.put_new(key, b"")
    store.delete(keys[1])
    listed = [key for key in _written(store, run) if "listed" in key]
    if listed != [keys[0], keys[2]]:
        raise RefusedError(f"of 3 keys written and 1 deleted, {len(listed)} are listed")
    return "what is written is listed at once, what is deleted is not"


def _large_file(store: Store, run: str) -> str:
    key = layout.probe(run, "large")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        source.write_bytes(os.urandom(_LARGE))
        begin = time.perf_counter()
        sha256 = store.put_file(key, source)
        between = time.perf_counter()
        store.get_file(key, Path(folder) / "copy", sha256)
        up_s, down_s = between - begin, time.perf_counter() - between
    size = _LARGE / 1e6
    return (
        f"{size:.0f} MB came back whole: {size / up_s:.0f} MB/s up, {size / down_s:.0f} MB/s down"
    )


def _latency(store: Store, run: str) -> str:
    keys = [layout.probe(run, f"small-{number}") for number in range(_SMALL)]
    put_s = statistics.median(_seconds(lambda key=key: store.put_new(key, b"x")) for key in keys)
    get_s = statistics.median(_seconds(lambda key=key: store.get(key)) for key in keys)
    detail = f"put {1000 * put_s:.1f} ms, get {1000 * get_s:.1f} ms (medians of {_SMALL})"
    if max(put_s, get_s) > _SLOW_S:
        raise RefusedError(detail)
    return detail


_AWAY = "start the server, or correct the address, the endpoint or the network"
_NO_DIRECTORY = "name a directory that you may write into, with room"
_ACCESS = "correct the address or the credentials, as said"
_CONDITIONS = (
    "two drivers could run one study: use a server that keeps conditional writes "
    "(such as AWS S3 or SeaweedFS), or a directory"
)
PROBES = (
    Probe("clock", _clock, "set this machine's clock (NTP); S3 refuses requests at 15 minutes"),
    Probe("put if absent", _put_if_absent, _CONDITIONS),
    Probe("put if match", _put_if_match, _CONDITIONS),
    Probe("listing", _listing, "use a server whose listings are current"),
    Probe("large file", _large_file, "check proxies and limits on the way; parts are 8 MiB"),
    Probe("latency", _latency, "a trial writes a few objects per epoch: use a nearer store"),
)


def _written(store: Store, run: str) -> list[str]:
    """Return the keys of a run that are there."""
    return [key for key in store.list(layout.PROBES) if key.startswith(layout.probe(run, ""))]


def _must_conflict(write: Callable[[], object], what: str) -> None:
    with suppress(ConflictError):
        write()
        raise RefusedError(f"{what} was accepted")


def _must_hold(store: Store, key: str, data: bytes) -> None:
    blob = store.get(key)
    if blob is None or blob.data != data:
        raise RefusedError("a write that was refused changed the object, or it is not there")


def _race(write: Callable[[bytes], object], what: str) -> None:
    def run(racer: int) -> bool:
        try:
            write(f"racer {racer}".encode())  # other bytes than were there: versions follow them
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(_RACERS) as pool:
        won = sum(pool.map(run, range(_RACERS)))
    if won != 1:
        raise RefusedError(f"{won} of {_RACERS} writers at the same moment won {what}; expected 1")


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
