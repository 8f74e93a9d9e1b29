"""What every node of a cluster is, and what it reaches: a task on each that looks for itself.

Workers never speak to MLflow: that the driver does, and `ss3d doctor` asks from there.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ss3d.data.dataset import open_dataset
from ss3d.errors import DataError, RefusedError, Ss3dError
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.opening import open_store
from ss3d.store.probes import Finding
from ss3d.study.session import joined
from ss3d.study.worker import node_cache
from ss3d.trial.spec import code_version, machine, versions

_PATIENCE_S = 120.0
"""For a node to start a process and look: it imports torch."""
_SKEW_S = 30.0
_ROOM = 5 * 2**30
_SAME = "install the same versions on all nodes, e.g. by one image or constraints.txt"
_ADVICE = {
    "worker": "start it again with Python, ss3d and the settings of the others",
    "clock": "set the node's clock (NTP); S3 refuses requests at 15 minutes",
    "store": "give the node the store's credentials and endpoint in Ray's own environment, or "
    "mount the directory on all nodes at the same path",
    "data": "give the node access to the data set; --data names it as nodes see it",
    "cache": "set SS3D_CACHE on that node to a disk with room, before Ray starts",
}


class Wanted(NamedTuple):
    """What a node must have and reach."""

    store: str
    probe: str
    """Key that the driver has just written to the store."""
    data: str
    cache_dir: str


class NodeReport(NamedTuple):
    """A node and what was found there."""

    node: str
    address: str
    is_head: bool
    cpus: float
    gpus: float
    device: str
    findings: list[Finding]


def examine_nodes(settings: Settings, data: str = "") -> Iterator[NodeReport]:
    """Yield a report per node, as they answer.

    Args:
        settings: the addresses of the cluster and the store; the cache of this machine.
        data: address of a data set; empty asks for none.

    Raises:
        DataError: the data set is none.
        ServiceError: Ray or the store does not answer.
    """
    store = open_store(settings.store_address)
    probe = layout.probe(f"{time.time():.0f}-{uuid.uuid4().hex}", "nodes")
    content_hash = _content_hash(data) if data else ""
    store.put_new(probe, b"")
    try:
        with joined(settings.ray_address):
            wanted = Wanted(store.address, probe, data, str(settings.cache_dir))
            nodes = {_look_at(node, wanted): node for node in ray.nodes() if node["Alive"]}
            pending, deadline = list(nodes), time.monotonic() + _PATIENCE_S
            while pending:
                left_s = max(0.0, deadline - time.monotonic())
                ready, pending = ray.wait(pending, timeout=left_s)
                for answer in ready:
                    yield _report(nodes[answer], answer, content_hash)
                if not ready:
                    yield from (_report(nodes[answer], None, "") for answer in pending)
                    return
    finally:
        with suppress(Ss3dError):
            store.delete(probe)


@ray.remote(num_cpus=0, max_retries=0)
def _look(wanted: Wanted) -> dict[str, Any]:
    """Return what this node is and reaches; runs there."""
    found = {
        "store": _try(lambda: _reach_store(wanted)),
        "data": _try(lambda: _content_hash(wanted.data)) if wanted.data else None,
        "cache": _try(lambda: _measure_cache(wanted)),
    }
    facts = {"machine": machine(), "versions": versions_here()}
    return {**facts, "found": found, "time": time.time()}


def _look_at(node: Mapping[str, Any], wanted: Wanted) -> Any:
    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return _look.options(scheduling_strategy=there).remote(wanted)


def _report(node: Mapping[str, Any], answer: Any, content_hash: str) -> NodeReport:
    """Judge what a node answered; None is a node that did not."""
    device = ""
    if answer is None:
        findings = [_bad("worker", f"no answer in {_PATIENCE_S:.0f} s")]
    else:
        try:
            seen = ray.get(answer)
        except RayError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            findings = [_bad("worker", lines[-1].strip() if lines else type(error).__name__)]
        else:
            device = seen["machine"]["device"]
            findings = judge(seen, time.time(), content_hash)
    offers = node["Resources"]
    return NodeReport(
        node["NodeName"],
        node["NodeManagerAddress"],
        "node:__internal_head__" in offers,
        offers.get("CPU", 0.0),
        offers.get("GPU", 0.0),
        device,
        findings,
    )


def judge(seen: Mapping[str, Any], now: float, content_hash: str) -> list[Finding]:
    """Return what is to be said of a node.

    Args:
        seen: what it answered.
        now: this machine's clock when the answer came.
        content_hash: of the data set as this machine sees it.
    """
    here, there = versions_here(), seen["versions"]
    differing = [
        f"{name} {there[name]}, here {here[name]}" for name in here if there[name] != here[name]
    ]
    findings = [
        Finding("versions", "failed", "; ".join(differing), _SAME)
        if differing
        else Finding("versions", "ok", ", ".join(f"{k} {v}" for k, v in there.items()), "")
    ]
    skew_s = seen["time"] - now
    told = f"{skew_s:+.1f} s from this machine's"
    findings.append(_bad("clock", told) if abs(skew_s) > _SKEW_S else _good("clock", told))
    for probe, outcome in seen["found"].items():
        if outcome is None:
            continue
        is_good, detail = outcome
        if probe == "data" and is_good and detail != content_hash:
            is_good, detail = False, f"got data {detail[:12]}…, here {content_hash[:12]}…"
        findings.append(_good(probe, detail[:200]) if is_good else _bad(probe, detail))
    return findings


def _try(ask: Callable[[], str]) -> tuple[bool, str]:
    """Return whether something works, and what it told or why not."""
    try:
        return True, ask()
    except (Ss3dError, OSError) as error:
        return False, str(error)


def _reach_store(wanted: Wanted) -> str:
    store = open_store(wanted.store)
    began = time.perf_counter()
    is_there = wanted.probe in store.list(layout.PROBES)
    if not is_there:
        raise RefusedError(f"{wanted.store} is another one here than on the driver's machine")
    return f"{1000 * (time.perf_counter() - began):.0f} ms"


def _measure_cache(wanted: Wanted) -> str:
    folder = node_cache(wanted.cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise RefusedError(f"{folder} cannot be written")
    free = shutil.disk_usage(folder).free
    if free < _ROOM:
        raise RefusedError(f"{folder}: {free / 2**30:.1f} GiB free, expected {_ROOM / 2**30:.0f}")
    return f"{folder}: {free / 2**30:.0f} GiB free"


def _content_hash(data: str) -> str:
    try:
        return open_dataset(open_store(data)).manifest.content_hash
    except DataError as error:
        raise DataError(f"--data: {error}") from error


def versions_here() -> dict[str, str]:
    """Return what must be equal on all nodes: packages, and the code that decides results."""
    return {**versions(), "ray": ray.__version__, "code": code_version()[:12]}


def _good(probe: str, detail: str) -> Finding:
    return Finding(probe, "ok", detail, "")


def _bad(probe: str, detail: str) -> Finding:
    return Finding(probe, "failed", detail, _ADVICE[probe])
