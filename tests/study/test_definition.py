"""What a study is and becomes, and what resuming shows, without starting Ray."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from study_records import put_epochs, put_pretrain, put_result, put_spec

from ss3d.config import canonical_json
from ss3d.errors import CheckpointError, ConfigError, RefusedError
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.store.lease import take_lease
from ss3d.study.definition import Request, define_study, extend_budget
from ss3d.study.driver import Started, Watcher, search
from ss3d.study.ledger import Past
from ss3d.study.live import why_ended
from ss3d.study.reconcile import reconcile
from ss3d.study.recorder import decision_key
from ss3d.study.sessions import read_past
from ss3d.trial.history import read_budget
from ss3d.trial.objectives import objectives_of
from ss3d.trial.records import SharedRecord, TrialRecord

OBJECTIVES = objectives_of({})
HEADS = """
[parameters."model.num_heads"]
type = "categorical"
choices = [1, 2]
"""


@dataclass
class Shown:
    """A projector that keeps what it was shown."""

    specs: list[Any] = field(default_factory=list)
    trials: list[TrialRecord] = field(default_factory=list)
    pretrains: list[SharedRecord] = field(default_factory=list)

    def study(self, study_spec: Any) -> None:
        self.specs.append(study_spec)

    def trial(self, record: TrialRecord) -> None:
        self.trials.append(record)

    def shared(self, record: SharedRecord) -> None:
        self.pretrains.append(record)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def store(settings: Settings) -> DirectoryStore:
    return DirectoryStore(Path(settings.store_address))


def test_what_finished_before_a_kill_is_shown_by_the_session_that_resumes(
    settings: Settings,
    store: DirectoryStore,
    data_folder: Path,
    write_space: Callable[[str], Path],
) -> None:
    space = write_space(HEADS)
    study = define_study(store, Request(space=space, data=str(data_folder), trials=2))
    pruned, final = (put_spec(store, study.name, study.space, number) for number in range(2))
    put_result(store, pruned, 2)
    put_epochs(store, final, 4, is_final=True)
    for number, key in enumerate(dict.fromkeys((pruned.pretrain_key, final.pretrain_key))):
        spec = pruned if key == pruned.pretrain_key else final
        put_pretrain(store, spec, is_complete=number == 0)
    shown, started = Shown(), list[Started]()
    watcher = Watcher(on_start=started.append)
    snapshot = search(Request(name=study.name, resume=True), settings, shown, watcher)
    assert snapshot.counts == {"pruned": 1, "complete": 1}
    assert (started[0].num_finished, started[0].num_committed, started[0].num_told) == (2, 1, 2)
    assert [spec["name"] for spec in shown.specs] == [study.name]
    assert [(r.spec.trial, r.state) for r in shown.trials] == [
        ("t00000", "pruned"),
        ("t00001", "complete"),
    ]
    assert [(r.key, r.complete) for r in shown.pretrains] == [(pruned.pretrain_key, True)]


@pytest.mark.parametrize("slots", [None, 1])
def test_a_trial_that_does_not_fit_this_machine_takes_no_name(
    slots: int | None,
    store: DirectoryStore,
    data_folder: Path,
    write_space: Callable[[str], Path],
) -> None:
    space = write_space(HEADS + "[resources]\ncpus = 4096\n")
    request = Request(space=space, data=str(data_folder), slots=slots)
    with pytest.raises(ConfigError, match="a trial asks for 4096 CPUs and 0 GPUs, this machine"):
        define_study(store, request)
    assert list(store.list("studies/")) == []
    assert define_study(store, request, is_local=False).name == "fast"


def test_a_budget_grows_to_exactly_what_is_asked_and_never_shrinks(
    settings: Settings,
    store: DirectoryStore,
    data_folder: Path,
    write_space: Callable[[str], Path],
) -> None:
    study = define_study(store, Request(space=write_space(HEADS), data=str(data_folder), trials=3))
    assert extend_budget(store, study, None).target == 3
    assert extend_budget(store, study, 5).target == 5
    assert extend_budget(store, study, 5).target == 5
    assert extend_budget(store, study, 9).target == 9
    files = list(store.list(layout.study("fast", "budget") + "/"))
    assert [key.rpartition("/")[2] for key in files] == ["0002.json", "0003.json"]
    with pytest.raises(RefusedError, match="budget of 9 trials; it can only grow"):
        search(Request(name="fast", trials=8, resume=True), settings, None, Watcher())
    assert read_budget(store, "fast", study.spec) == 9


def test_a_search_that_resumes_has_the_budget_it_was_given(
    settings: Settings,
    store: DirectoryStore,
    data_folder: Path,
    write_space: Callable[[str], Path],
) -> None:
    study = define_study(store, Request(space=write_space(HEADS), data=str(data_folder), trials=3))
    started = []

    def leave(now: Started) -> None:
        started.append(now.study.target)
        raise KeyboardInterrupt

    for trials in (None, 5, 5, None):
        request = Request(name="fast", trials=trials, resume=True)
        with pytest.raises(KeyboardInterrupt):
            search(request, settings, None, Watcher(on_start=leave))
    assert started == [3, 5, 5, 5]
    assert read_budget(store, "fast", study.spec) == 5


def test_only_the_holder_of_the_lease_extends_a_budget(
    settings: Settings,
    store: DirectoryStore,
    data_folder: Path,
    write_space: Callable[[str], Path],
) -> None:
    define_study(store, Request(space=write_space(HEADS), data=str(data_folder), trials=3))
    key = layout.study("fast", "driver.lease")
    with (
        take_lease(store, key, "study fast"),
        pytest.raises(RefusedError, match=f"study fast is run by process {os.getpid()}"),
    ):
        search(Request(name="fast", trials=5, resume=True), settings, None, Watcher())
    assert list(store.list(layout.study("fast", "budget") + "/")) == []


def test_a_teacher_that_hardly_moves_is_noted(
    store: DirectoryStore, data_folder: Path, write_space: Callable[[str], Path]
) -> None:
    study = define_study(store, Request(space=write_space(HEADS), data=str(data_folder)))
    (note,) = study.notes
    assert note.startswith("semi.ema_decay up to 0.99 averages over 100 steps, more than a quarter")
    again = define_study(store, Request(name="fast", resume=True))
    assert again.notes == study.notes


def test_resume_begins_a_study_that_is_not_there_if_it_is_told_all(
    store: DirectoryStore, data_folder: Path, write_space: Callable[[str], Path]
) -> None:
    request = Request(space=write_space(HEADS), data=str(data_folder), resume=True)
    first, again = define_study(store, request), define_study(store, request)
    assert first.spec == again.spec
    with pytest.raises(ConfigError, match="study 'other': not in the store"):
        define_study(store, Request(name="other", resume=True))


LIMITS = """
[budget]
trials = 3
hours = 2
device_hours = 100.0
target = 1.5
plateau = 9
"""


def test_a_study_says_its_whole_budget(
    store: DirectoryStore, data_folder: Path, write_space: Callable[[str], Path]
) -> None:
    request = Request(space=write_space(HEADS + LIMITS), data=str(data_folder), trials=5)
    study = define_study(store, request)
    expected = {"trials": 5, "hours": 2.0, "device_hours": 100.0, "target": 1.5, "plateau": 9}
    assert study.spec["budget"] == expected
    again = define_study(store, Request(name="fast", resume=True))
    assert (again.space.budget.hours, again.target) == (2.0, 5)


def test_a_budget_that_allows_no_trial_takes_no_name(
    store: DirectoryStore, data_folder: Path, write_space: Callable[[str], Path]
) -> None:
    space = write_space(HEADS + "[budget]\nhours = 0.0\n")
    with pytest.raises(ConfigError, match=r"budget.hours: got 0.0, expected greater than 0"):
        define_study(store, Request(space=space, data=str(data_folder)))
    assert list(store.list("studies/")) == []


def test_a_study_whose_hours_are_used_starts_nothing_again_and_says_so(
    settings: Settings,
    store: DirectoryStore,
    data_folder: Path,
    write_space: Callable[[str], Path],
) -> None:
    """Of two sessions, one was killed; trials that are proposed stay as they are."""
    space = write_space(HEADS + LIMITS)
    study = define_study(store, Request(space=space, data=str(data_folder)))
    spec = put_spec(store, study.name, study.space, 0)
    for number, seconds in enumerate((3600.0, 3601.0), start=1):
        shared = {spec.pretrain_key: 100.0 * number}
        tree = {"schema": 1, "seconds": seconds, "shared": shared}
        key = layout.study("fast", "sessions", f"{number:04d}.json")
        store.put_new(key, canonical_json(tree).encode())
    assert read_past(store, "fast") == Past(7201.0, {spec.pretrain_key: 200.0})
    before = set(store.list("studies/fast/trials/"))
    snapshot = search(Request(name="fast", resume=True), settings, None, Watcher())
    assert why_ended(snapshot) == "3 of 3 trials not started: 0 of 2 hours left"
    assert set(store.list("studies/fast/trials/")) == before
    past = read_past(store, "fast")
    assert past.seconds > 7201.0
    assert past.shared == {spec.pretrain_key: 200.0}


def test_a_damaged_session_is_named(store: DirectoryStore) -> None:
    store.put_new(layout.study("fast", "sessions", "0001.json"), b'{"schema":1,"seconds":1}')
    with pytest.raises(CheckpointError, match=r"sessions/0001.json is damaged: KeyError\('shared'"):
        read_past(store, "fast")


def change_study(store: DirectoryStore, **values: Any) -> None:
    """Change what study.json of `fast` says; None removes it."""
    key = layout.study("fast", "study.json")
    blob = store.get(key)
    assert blob is not None
    tree = {**json.loads(blob.data), **values}
    kept = {name: value for name, value in tree.items() if value is not None}
    store.put_if(key, canonical_json(kept).encode(), blob.version)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"space": "[base]\nmomentum = 0.9\n"},
            r"cannot be resumed: this ss3d \(0\.1\.0\) cannot read the search space that the study "
            r"was made with \(by 9\.9\): study\.json of fast:2: base\.momentum: .*resume it with",
        ),
        ({"space": "[base\n"}, r"cannot read the search space .*not valid TOML"),
        (
            {"space": None, "seed": None},
            r"its study\.json has no space, seed; resume it with .*9\.9",
        ),
    ],
)
def test_a_study_of_another_version_that_cannot_be_read_says_so(
    values: dict[str, Any],
    message: str,
    store: DirectoryStore,
    data_folder: Path,
    write_space: Callable[[str], Path],
) -> None:
    define_study(store, Request(space=write_space(HEADS), data=str(data_folder)))
    change_study(store, **values, code={"versions": {"ss3d": "9.9"}})
    with pytest.raises(RefusedError, match=message):
        define_study(store, Request(name="fast", resume=True))


def test_all_that_a_newer_version_wrote_is_refused(
    store: DirectoryStore, data_folder: Path, write_space: Callable[[str], Path]
) -> None:
    study = define_study(store, Request(space=write_space(HEADS), data=str(data_folder)))
    spec = put_spec(store, "fast", study.space, 0)

    def again() -> object:
        return reconcile(store, "fast", OBJECTIVES)

    keys = {
        layout.study("fast", "budget", "0002.json"): lambda: read_budget(store, "fast", study.spec),
        layout.study("fast", "sessions", "0001.json"): lambda: read_past(store, "fast"),
        decision_key("fast", spec.trial, 2): again,
        layout.trial("fast", spec.trial, "epochs", "a1-000001.json"): lambda: reconcile(
            store, "fast", OBJECTIVES
        ),
        layout.trial("fast", spec.trial, "result.json"): lambda: reconcile(
            store, "fast", OBJECTIVES
        ),
    }
    for key, read in keys.items():
        store.put_new(key, b'{"schema":2}')
        with pytest.raises(CheckpointError, match="has schema 2, this ss3d reads up to 1"):
            read()
        store.delete(key)
    change_study(store, schema=2)
    with pytest.raises(CheckpointError, match=r"study\.json of fast has schema 2, .*update ss3d"):
        define_study(store, Request(name="fast", resume=True))


def test_a_grid_never_has_more_trials_than_combinations(
    store: DirectoryStore, data_folder: Path, write_space: Callable[[str], Path]
) -> None:
    path = write_space('[sampler]\nname = "grid"\n' + HEADS)
    path.write_text(path.read_text().replace('scale = "log1m"', "step = 0.07"))
    study = define_study(store, Request(space=path, data=str(data_folder), trials=99))
    assert study.target == study.space.num_trials == 2 * 8
    with pytest.raises(RefusedError, match="its grid has 16 trials"):
        extend_budget(store, study, 17)


def test_points_beyond_the_budget_are_told(
    store: DirectoryStore, data_folder: Path, write_space: Callable[[str], Path]
) -> None:
    path = write_space(HEADS + "[[points]]\nsemi.ema_decay = 0.9\n" * 3)
    request = Request(space=path, data=str(data_folder), trials=2)
    assert "ends before the last of [[points]]" in " ".join(define_study(store, request).notes)
