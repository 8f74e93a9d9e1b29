"""`ss3d gc` on generated stores: nothing that is needed goes, however it is killed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import MemoryStore
from removal_records import put_json, put_shared
from study_records import make_reports

from ss3d.config import TrialConfig, canonical_json
from ss3d.errors import CheckpointError, ServiceError
from ss3d.report.exported_distances import Exports
from ss3d.report.leaderboard import leaderboard
from ss3d.store import layout
from ss3d.store.bundle import get_bundle, is_thinned, put_bundle, read_manifest
from ss3d.store.layout import SharedKind
from ss3d.store.lease import take_lease
from ss3d.store.protocol import Store
from ss3d.study.collection import Collected, Scope, collect
from ss3d.study.retention import kept_trials, referenced_trials
from ss3d.trial.history import (
    is_complete,
    list_studies,
    load_study_record,
    shared_export,
    trial_export,
)
from ss3d.trial.records import TrialResult, TrialSpec

KEYS = tuple(letter * 64 for letter in "abcd")
CONFIG = TrialConfig.from_preset("tiny")
KEEP = 2
DISTANCES = {"per_model": {"m": 1.0}, "per_model_last": {"m": 2.0}}
EXPORT = ("student.safetensors", "previews/val.safetensors", "metrics.json", "config.json")

TRIALS = st.lists(
    st.fixed_dictionaries(
        {
            "state": st.sampled_from(["complete", "complete", "pruned", "failed", "running"]),
            "value": st.integers(1, 9),
            "ratio": st.sampled_from([0.1, 0.2]),
            "pretrain": st.sampled_from(KEYS),
            "control": st.sampled_from(["", *KEYS]),
            "promoted": st.sampled_from([False] * 5 + [True]),
            "half": st.booleans(),
            "export": st.sampled_from(["best", "best/a1"]),
            "is_late": st.booleans(),
        }
    ),
    min_size=1,
    max_size=7,
)
STORES = st.fixed_dictionaries(
    {
        "studies": st.lists(TRIALS, min_size=1, max_size=2),
        "confirmed": st.sets(st.integers(0, 6), max_size=2),
        "shared": st.lists(
            st.tuples(
                st.sampled_from(["pretrain", "control"]), st.sampled_from(KEYS), st.booleans()
            ),
            unique_by=lambda item: item[:2],
        ),
        "probes": st.integers(0, 2),
    }
)
quickly = settings(max_examples=20, deadline=None)


def make_store(drawn: Mapping[str, Any]) -> MemoryStore:
    store = MemoryStore()
    for number, trials in enumerate(drawn["studies"]):
        put_json(store, layout.study(f"s{number}", "study.json"), {"schema": 1})
        for place, trial in enumerate(trials):
            put_trial(store, f"s{number}", place, trial)
    arms = [{"name": layout.trial_id(n)} for n in drawn["confirmed"]]
    spec: dict[str, object] = {"schema": 1, "confirms": "s0", "arms": arms}
    put_json(store, layout.study("s0-confirm", "study.json"), spec)
    put_trial(store, "s0-confirm", 0, drawn["studies"][0][0] | {"promoted": False})
    for kind, key, is_made in drawn["shared"]:
        store.objects |= shared_objects(key, kind, is_made)
    for number in range(drawn["probes"]):
        store.put_new(layout.probe("dead", str(number)), b"probe")
    return store


@cache
def shared_objects(key: str, kind: SharedKind, is_made: bool) -> Mapping[str, bytes]:
    store = MemoryStore()
    put_shared(store, key, kind, is_made)
    return store.objects


def put_trial(store: MemoryStore, study: str, number: int, drawn: Mapping[str, Any]) -> None:
    name, state = layout.trial_id(number), drawn["state"]
    spec = TrialSpec(
        study=study, trial=name, params={}, distributions={},
        stratum={"data.labeled_ratio": drawn["ratio"]}, config=CONFIG,
        pretrain_key=drawn["pretrain"], control_key=drawn["control"], code_version="c",
        data_hash="d", versions={}, attrs={}, proposed_at=0.0,
    )  # fmt: skip
    store.put_new(layout.trial(study, name, "spec.json"), spec.to_json())
    put_copy(store, layout.trial(study, name, "checkpoints", "a1-000002"), "state.json", "x.bin")
    if drawn["half"]:  # an upload that was killed before its manifest
        store.put_new(layout.trial(study, name, "checkpoints", "a1-000003", "x.bin"), b"half")
    if state == "running":
        return
    if state == "complete":
        put_copy(store, layout.trial(study, name, drawn["export"]), *EXPORT)
        if drawn["is_late"]:  # a node that was cut off came to an end as well
            put_copy(store, layout.export(study, name, 2), *EXPORT)
    reports = tuple(make_reports(2, value=float(drawn["value"])))
    result = TrialResult(
        study=study, trial=name, state=state, values={"val/cd_l1": float(drawn["value"])},
        reports=reports, seconds=1.0, attempt=1, reason="", finished_at=1.0,
    )  # fmt: skip
    store.put_new(layout.trial(study, name, "result.json"), result.to_json())
    if drawn["promoted"] and state == "complete":
        promote(store, study, name)


@cache
def bundle_of(*names: str) -> Mapping[str, bytes]:
    """Return the objects of a bundle of such files."""
    store = MemoryStore()
    with TemporaryDirectory() as folder:
        for name in names:
            (Path(folder) / name).parent.mkdir(exist_ok=True)
            (Path(folder) / name).write_text(json.dumps(DISTANCES))
        put_bundle(store, "b", Path(folder))
    return store.objects


def put_copy(store: MemoryStore, prefix: str, *names: str) -> None:
    objects = bundle_of(*names)
    store.objects |= {prefix + key.removeprefix("b"): data for key, data in objects.items()}


def promote(store: Store, study: str, trial: str) -> None:
    number = 1 + sum(1 for _ in store.list(layout.ledger("m") + "/"))
    entry = {"schema": 1, "model": "m", "version": number, "study": study, "trial": trial}
    store.put_new(layout.ledger_entry("m", number), canonical_json(entry).encode())


def gc(store: Store, remove: bool = True, keep_best: int = KEEP) -> Collected:
    return collect(store, Scope(keep_best, Path("no-cache"), with_caches=True, remove=remove))


def wanted(store: MemoryStore, keep_best: int = KEEP) -> set[str]:
    """Return the keys that must stay, by other means than gc's own: what each reader asks for."""
    studies = [load_study_record(store, name) for name in list_studies(store)]
    ledger = [json.loads(store.objects[key]) for key in store.list("registry/")]
    promoted = {(one["study"], one["trial"]) for one in ledger}
    keys = {key for key in store.objects if key.startswith("registry/")}
    shared = {pair for study in studies for trial in study.trials for pair in trial.spec.shared()}
    for kind, key in shared:
        prefix = layout.shared(kind, key)
        is_made = f"{prefix}/manifest.json" in store.objects
        keys |= {
            name
            for name in store.objects
            if name.startswith(f"{prefix}/") and not (is_made and "/checkpoints/" in name)
        }
    for study in studies:
        confirmed = {
            arm["name"]
            for other in studies
            if other.spec.get("confirms") == study.name
            for arm in other.spec["arms"]
        }
        best = {r.trial for r in leaderboard(study) if r.rank is not None and r.rank <= keep_best}
        for trial in study.trials:
            name = trial.spec.trial
            is_kept = (
                name in best | confirmed
                or trial.result is None
                or (study.name, name) in promoted
                or "confirms" in study.spec
            )
            prefix = layout.trial(study.name, name) + "/"
            own = {key for key in store.objects if key.startswith(prefix) and "/a2/" not in key}
            keys |= {key for key in own if is_kept or is_small(key.removeprefix(prefix))}
    return keys | {key for key in store.objects if key.endswith("/study.json")}


def is_small(name: str) -> bool:
    """Return whether a file of a trial stays whatever becomes of the trial."""
    room = name.partition("/")[0]
    return room not in ("checkpoints", "best") or name.replace("/a1/", "/") in (
        "best/manifest.json",
        "best/config.json",
        "best/metrics.json",
    )


def check_readable(store: MemoryStore, keep_best: int = KEEP) -> None:
    """Read everything that tables, comparisons, promotions, resumes and reruns read."""
    referenced = referenced_trials(store)
    for name in list_studies(store):
        study = load_study_record(store, name)
        kept = kept_trials(study, keep_best, referenced)
        for trial in study.trials:
            prefix = trial_export(store, name, trial.spec.trial)
            if trial.state == "complete":
                assert Exports(store).distances(prefix, "last") == DISTANCES["per_model_last"]
            if trial.state == "complete" and trial.spec.trial in kept:
                assert is_whole(store, prefix)
            for kind, key in trial.spec.shared():
                if is_complete(store, kind, key):
                    assert is_whole(store, shared_export(store, kind, key))


def is_whole(store: MemoryStore, prefix: str) -> bool:
    """Return whether `get_bundle` gives all of a bundle."""
    shas = [(f"{prefix}/{one['name']}", one["sha256"]) for one in read_manifest(store, prefix)]
    blobs = [(store.get(key), sha256) for key, sha256 in shas]
    return not is_thinned(store, prefix) and all(b and b.version == sha for b, sha in blobs)


@quickly
@given(STORES)
def test_exactly_what_nothing_needs_goes_and_a_second_time_nothing(
    drawn: Mapping[str, Any],
) -> None:
    store = make_store(drawn)
    keep, before = wanted(store), dict(store.objects)
    planned = gc(store, remove=False)
    assert store.objects == before
    done = gc(store)
    assert done.items == planned.items
    left = set(without_leases(store))
    assert left == keep
    changed = {key for key in left if store.objects[key] != before[key]}
    assert all("/best/" in key and key.endswith("/manifest.json") for key in changed)
    check_readable(store)
    assert gc(store).items == gc(store, remove=False).items == []
    assert left == set(without_leases(store))


@quickly
@given(STORES, st.integers(0, 60))
def test_a_kill_at_a_deletion_leaves_a_readable_store(drawn: Mapping[str, Any], cut: int) -> None:
    killed_at(make_store(drawn), cut)


def test_a_kill_between_any_two_deletions_is_finished_by_the_next() -> None:
    store = make_store(RICH)
    cuts = 0
    while killed_at(store, cuts):
        cuts += 1
    assert cuts > 20


def killed_at(store: MemoryStore, cut: int) -> bool:
    """Kill gc at a deletion, read all, finish; return whether there were so many."""
    keep, dying, ended = wanted(store), MemoryStore(store.objects, cut), MemoryStore(store.objects)
    try:
        gc(dying)
    except ServiceError:
        left = MemoryStore(dying.objects)
        assert keep <= set(left.objects)
        check_readable(left)
        gc(left)
        gc(ended)
        assert without_leases(left) == without_leases(ended)
        return True
    return False


def without_leases(store: MemoryStore) -> dict[str, bytes]:
    return {key: data for key, data in store.objects.items() if not key.endswith("lease")}


def test_a_study_that_runs_is_left_alone() -> None:
    store = make_store(ONE)
    before = set(store.objects)
    with take_lease(store, layout.study("s0", "driver.lease"), "study s0"):
        found = gc(store)
    assert found.running == ["s0"]
    assert {key for key in before if key.startswith("studies/s0/")} <= set(store.objects)
    assert [item.name for item in gc(store).items] == ["s0/t00000"] * 2


def test_what_is_promoted_meanwhile_has_its_weights_back(tmp_path: Path) -> None:
    class Promoting(MemoryStore):
        """A store where somebody promotes a trial once its manifest says that it is thin."""

        def put_if(self, key: str, data: bytes, version: str) -> str:
            new = super().put_if(key, data, version)
            if b"removed" in data and not list(self.list("registry/")):
                promote(self, "s0", "t00000")
            return new

    store = Promoting(make_store(ONE).objects)
    before = dict(store.objects)
    assert gc(store).items == []
    assert before.items() <= store.objects.items()
    get_bundle(store, trial_export(store, "s0", "t00000"), tmp_path / "best")


def test_what_is_promoted_after_a_sweep_that_was_killed_is_whole_again(tmp_path: Path) -> None:
    dying = MemoryStore(make_store(ONE).objects, deletions=0)
    with pytest.raises(ServiceError):
        gc(dying)
    left = MemoryStore(dying.objects)
    best = trial_export(left, "s0", "t00000")
    with pytest.raises(CheckpointError, match=r"student.safetensors: removed by `ss3d gc`"):
        get_bundle(left, best, tmp_path / "best")
    gc(left, keep_best=3)
    get_bundle(left, best, tmp_path / "best")


def _trial(value: int) -> dict[str, Any]:
    return {
        "state": "complete", "value": value, "ratio": 0.1, "pretrain": KEYS[0], "control": "",
        "promoted": False, "half": False, "export": "best/a1", "is_late": False,
    }  # fmt: skip


ONE: dict[str, Any] = {
    "studies": [[_trial(9), _trial(1), _trial(2)]],
    "confirmed": (),
    "shared": [],
    "probes": 0,
}
"""A study of three trials, of which the first is not among the best two."""
RICH = ONE | {
    "studies": [
        [
            _trial(9) | {"is_late": True},
            _trial(1) | {"state": "pruned", "half": True},
            _trial(2) | {"is_late": True},
            _trial(3),
            _trial(8),
        ]
    ],
    "confirmed": (4,),
    "shared": [
        ("pretrain", KEYS[0], True),
        ("pretrain", KEYS[1], True),
        ("control", KEYS[2], False),
    ],
    "probes": 1,
}
"""One with everything that can go."""
