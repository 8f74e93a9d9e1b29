"""Whole searches on Ray. Each starts its own session, so there are few of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import pytest
import torch

from ss3d.data.dataset import open_dataset
from ss3d.data.loader import load_data
from ss3d.errors import ConflictError, RefusedError, ServiceError
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.store.lease import is_held
from ss3d.study.claims import Claims
from ss3d.study.definition import Request
from ss3d.study.driver import Started, Watcher, search
from ss3d.study.environment import prepare_environment
from ss3d.study.job import Progress
from ss3d.study.live import Snapshot, why_ended
from ss3d.study.replays import Variant, open_recorded
from ss3d.study.sessions import read_past
from ss3d.trial.history import load_study_record
from ss3d.trial.records import SharedRecord, TrialRecord
from ss3d.trial.run import run_trial
from ss3d.trial.state import new_state

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

TABLES = """
[sampler]
name = "random"
[pruner]
name = "asha"
reduction_factor = 2
[parameters."model.num_heads"]
type = "categorical"
choices = [1, 2]
[parameters."semi.lr"]
type = "categorical"
choices = [1e-4, 3e-4, 1e30]
"""


class Shown:
    """A projector that keeps what it was shown."""

    def __init__(self) -> None:
        self.spec: dict[str, Any] = {}
        self.trials: dict[str, list[TrialRecord]] = {}
        self.shared_records: dict[str, SharedRecord] = {}

    def study(self, study_spec: Any) -> None:
        self.spec = dict(study_spec)

    def trial(self, record: TrialRecord) -> None:
        self.trials.setdefault(record.spec.trial, []).append(record)

    def shared(self, record: SharedRecord) -> None:
        self.shared_records[record.key] = record


@pytest.fixture
def leaving_slowly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers need two seconds to let go of a job that was stopped."""
    prepare_environment(tmp_path)
    from ss3d.study import session
    from ss3d.study.trainable import JobTrainable

    class LeavingSlowly(JobTrainable):
        def begin(self, config: dict[str, Any]) -> Iterator[Progress]:
            try:
                yield from super().begin(config)
            except GeneratorExit:
                time.sleep(2)
                raise

    monkeypatch.setattr(session, "JobTrainable", LeavingSlowly)


@pytest.mark.usefixtures("leaving_slowly")
def test_one_slot_with_two_pretrain_keys_a_diverging_trial_and_slow_workers(
    tmp_path: Path, data_folder: Path, write_space: Callable[[str], Path]
) -> None:
    space, settings, shown = write_space(TABLES), Settings(home=tmp_path / "home"), Shown()
    started: list[Started] = []
    watcher = Watcher(on_start=started.append)

    def run(trials: int, resume: bool) -> Snapshot:
        data = str(data_folder)
        request = Request(space=space, data=data, trials=trials, slots=1, resume=resume)
        return search(request, settings, shown, watcher)

    snapshot = run(8, resume=False)
    store = DirectoryStore(Path(settings.store_address))
    record = load_study_record(store, "fast")
    states = [trial.state for trial in record.trials]
    assert len(states) == 8
    assert snapshot.counts == {state: states.count(state) for state in set(states)}
    assert set(states) == {"complete", "pruned", "failed"}
    for trial in record.trials:
        check_trial(store, trial)
    check_pretrains(store, record.shared, shown)
    check_replay(store)
    assert {name: records[-1] for name, records in shown.trials.items()} == {
        trial.spec.trial: trial for trial in record.trials
    }
    check_alone(next(t for t in record.trials if t.state == "complete"), data_folder, tmp_path)

    with pytest.raises(RefusedError, match="the name is taken; go on with it by --resume"):
        run(8, resume=False)
    with pytest.raises(RefusedError, match="budget of 8 trials; it can only grow"):
        run(7, resume=True)
    run(8, resume=True)
    assert (started[-1].num_finished, started[-1].num_told, started[-1].num_live) == (8, 8, 0)
    assert load_study_record(store, "fast") == record


PAIRED = """
[study]
seed = 1
[sampler]
n_startup_trials = 2
[pruner]
name = "paired"
first_rung = 1
min_trials = 2
alpha = 0.4
[parameters."semi.lr"]
type = "categorical"
choices = [1e-5, 1e-4, 3e-4, 1e-2]
"""


def test_two_studies_of_one_seed_and_one_worker_are_the_same(
    tmp_path: Path, data_folder: Path, write_space: Callable[[str], Path]
) -> None:
    space, found = write_space(PAIRED), []
    for home in ("one", "other"):
        settings = Settings(home=tmp_path / home)
        request = Request(space=space, data=str(data_folder), trials=4, slots=1)
        search(request, settings, None, Watcher())
        found.append(repeatable(DirectoryStore(Path(settings.store_address))))
    assert found[0] == found[1]
    decisions = [json.loads(data) for key, data in found[0].items() if "/decisions/" in key]
    assert {decision["rule"] for decision in decisions} == {"paired"}
    assert any(decision["difference"] for decision in decisions)


def repeatable(store: DirectoryStore) -> dict[str, Any]:
    """Return what of a study must be the same again."""
    found: dict[str, Any] = {}
    for trial in load_study_record(store, "fast").trials:
        assert trial.result is not None
        reports = [(r.epoch, r.metrics, r.per_model, r.digest) for r in trial.result.reports]
        found[trial.spec.trial] = (
            trial.spec.model_copy(update={"proposed_at": 0.0}),
            (trial.state, trial.result.values, trial.result.reason, reports),
        )
    for key in store.list(layout.study("fast", "decisions") + "/"):
        blob = store.get(key)
        found[key] = blob and blob.data
    return found


GOAL = """
[pruner]
name = "hyperband"
first_rung = 1
reduction_factor = 2
[budget]
trials = 6
hours = 1
device_hours = 2
target = 1e9
"""


def test_a_search_ends_at_its_target_and_a_resume_starts_nothing(
    tmp_path: Path, data_folder: Path, write_space: Callable[[str], Path]
) -> None:
    space, settings = write_space(GOAL), Settings(home=tmp_path / "home")

    def run() -> Snapshot:
        request = Request(space=space, data=str(data_folder), slots=1, resume=True)
        return search(request, settings, None, Watcher())

    snapshot = run()
    reason = "5 of 6 trials not started: target 1e+09 reached by t00000"
    assert why_ended(snapshot) == reason
    assert snapshot.left.endswith(" of 1 hours left, 2 of 2 device hours left")
    assert snapshot.counts["complete"] == 1
    store = DirectoryStore(Path(settings.store_address))
    past = read_past(store, "fast")
    (shared,) = load_study_record(store, "fast").shared
    assert past.shared == {shared.key: pytest.approx(shared.seconds)}
    assert past.seconds > shared.seconds
    before = list(store.list("studies/fast/trials/"))
    assert why_ended(run()) == reason
    assert list(store.list("studies/fast/trials/")) == before
    assert read_past(store, "fast").seconds > past.seconds


ARMS = """
[pruner]
name = "none"
[[arms]]
name = "paper"
[[arms]]
name = "no smoothing"
semi.unsup_eps = 0.0
"""


def test_arms_on_two_workers_share_controls_and_each_trial_repeats_alone(
    tmp_path: Path, data_folder: Path, write_space: Callable[[str, str], Path]
) -> None:
    space = write_space(ARMS, "controls = true\n[study]\nreplicates = 2\n")
    settings, shown = Settings(home=tmp_path / "home"), Shown()
    request = Request(space=space, data=str(data_folder), trials=4, slots=2, resume=True)
    search(request, settings, shown, Watcher())
    store = DirectoryStore(Path(settings.store_address))
    record = load_study_record(store, "fast")
    assert [trial.state for trial in record.trials] == ["complete"] * 4
    keys = [trial.spec.control_key for trial in record.trials]
    assert keys == [keys[0], keys[0], keys[2], keys[2]]
    controls = [shared for shared in record.shared if shared.kind == "control"]
    assert [(c.key, c.complete) for c in controls] == [(keys[0], True), (keys[2], True)]
    assert all(shown.shared_records[control.key] == control for control in controls)
    assert controls[0].config == record.trials[0].spec.config.control()
    assert [report.epoch for report in controls[0].reports] == [0, 1, 2, 3, 4]
    assert controls[0].reports[0].digest == record.trials[0].reports[0].digest
    for trial in record.trials:
        check_alone(trial, data_folder, tmp_path)

    for key in list(store.list(layout.shared("control", keys[2]) + "/")):
        store.delete(key)
    search(request, settings, shown, Watcher())
    again = load_study_record(store, "fast")
    assert again.trials == record.trials
    made = {shared.key: shared for shared in again.shared}[keys[2]]
    assert [r.digest for r in made.reports] == [r.digest for r in controls[1].reports]


@pytest.fixture
def full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The worker of a trial dies after each of its first two epochs; then none can begin it."""
    prepare_environment(tmp_path)
    from ss3d.study import session
    from ss3d.study.trainable import JobTrainable

    deaths = tmp_path / "deaths"
    deaths.mkdir()

    class FullDisk(JobTrainable):
        def begin(self, config: dict[str, Any]) -> Iterator[Progress]:
            if config["job"]["kind"] != "trial":
                yield from super().begin(config)
                return
            count = len(list(deaths.iterdir()))
            if count < 2:  # what is known is told first, then an epoch is trained
                yield from islice(super().begin(config), 1 + count)
            (deaths / f"{count}").touch()
            raise OSError("No space left on device")

    monkeypatch.setattr(session, "JobTrainable", FullDisk)
    return deaths


def test_a_full_disk_ends_the_search_after_three_deaths_without_an_epoch_and_fails_no_trial(
    tmp_path: Path, data_folder: Path, write_space: Callable[[str], Path], full_disk: Path
) -> None:
    space, settings = write_space(""), Settings(home=tmp_path / "home")
    request = Request(space=space, data=str(data_folder), trials=1, slots=1)
    with pytest.raises(ServiceError, match=r"t00000: its worker failed .*: No space left"):
        search(request, settings, None, Watcher())
    assert len(list(full_disk.iterdir())) == 4  # the first was followed by an epoch
    store = DirectoryStore(Path(settings.store_address))
    record = load_study_record(store, "fast")
    assert [trial.state for trial in record.trials] == ["running"]
    assert [pretrain.complete for pretrain in record.shared] == [True]
    assert not is_held(store, layout.study("fast", "driver.lease"))


@pytest.fixture
def slow_pretraining(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs of a pretraining take a second longer than leases of shared jobs."""
    prepare_environment(tmp_path)
    from ss3d.study import driver, session
    from ss3d.study.trainable import JobTrainable

    class Slow(JobTrainable):
        def begin(self, config: dict[str, Any]) -> Iterator[Progress]:
            for progress in super().begin(config):
                if config["job"]["kind"] == "pretrain":
                    time.sleep(2)
                yield progress

    monkeypatch.setattr(session, "JobTrainable", Slow)
    monkeypatch.setattr(driver, "Claims", partial(Claims, ttl_s=1.0))


@pytest.mark.usefixtures("slow_pretraining")
def test_a_pretraining_that_another_driver_takes_over_stops_and_goes_on_when_that_one_dies(
    tmp_path: Path, data_folder: Path, write_space: Callable[[str], Path]
) -> None:
    space, settings = write_space(""), Settings(home=tmp_path / "home")
    store = DirectoryStore(Path(settings.store_address))
    states: list[str] = []

    def take_over(snapshot: Snapshot) -> None:
        states.extend(shared.state for shared in snapshot.shared)
        lease = next((key for key in store.list("pretrains/") if key.endswith("/lease")), None)
        if "running" in states and "elsewhere" not in states and lease:
            until = {"host": "elsewhere/1", "pid": 1, "started": 0.0, "expires": store.now() + 4}
            blob = store.get(lease)
            with suppress(ConflictError):  # it was renewed at this moment: next time
                store.put_if(lease, json.dumps(until).encode(), blob.version if blob else "")

    request = Request(space=space, data=str(data_folder), trials=1, slots=1)
    search(request, settings, None, Watcher(on_update=take_over, period_s=0.2))
    seen = [state for state, _ in groupby(state for state in states if state != "claimed")]
    assert seen == ["running", "elsewhere", "running", "ready"]
    record = load_study_record(store, "fast")
    (shared,) = record.shared
    attempts = layout.pretrain(shared.key, "attempts")
    assert list(store.list(f"{attempts}/")) == [f"{attempts}/a1.json", f"{attempts}/a2.json"]
    check_alone(record.trials[0], data_folder, tmp_path)


def check_trial(store: DirectoryStore, trial: TrialRecord) -> None:
    """A finished trial: one attempt, and what its state promises."""
    spec, result = trial.spec, trial.result
    assert result is not None
    assert len(list(store.list(layout.trial("fast", spec.trial, "attempts") + "/"))) == 1
    epochs = [report.epoch for report in result.reports]
    match result.state:
        case "complete":
            assert epochs == [0, 1, 2, 3, 4]
            assert store.get(f"{layout.export('fast', spec.trial, 1)}/manifest.json")
            assert result.values == {"val/cd_l1": result.reports[-1].metrics["val/cd_l1"]}
        case "pruned":
            assert epochs == list(range(epochs[-1] + 1))
            assert epochs[-1] in (1, 2)
            assert f"stopped by asha/2 at epoch {epochs[-1]}" in result.reason
        case _:
            assert spec.config.semi.lr == 1e30
            assert "finite" in result.reason
            assert store.get(layout.trial("fast", spec.trial, "log", layout.attempt_log(1)))


def check_pretrains(
    store: DirectoryStore, pretrains: tuple[SharedRecord, ...], shown: Shown
) -> None:
    """Both pretrained states were made once and shown."""
    assert len(pretrains) == 2
    for pretrain in pretrains:
        assert pretrain.complete
        assert [report.epoch for report in pretrain.reports] == [1, 2]
        assert len(list(store.list(layout.pretrain(pretrain.key, "attempts") + "/"))) == 1
        assert shown.shared_records[pretrain.key].complete


def check_alone(trial: TrialRecord, data_folder: Path, tmp_path: Path) -> None:
    """A trial from a shared pretrained state equals one that pretrained by itself, to the bit."""
    config = trial.spec.config
    data = load_data(open_dataset(DirectoryStore(data_folder)), config.data, tmp_path / "cache")
    state = new_state(config, None, torch.device("cpu"))
    alone = list(run_trial(state, data))
    own = list(islice(reversed(alone), 5))[::-1]
    assert [(r.metrics, r.digest) for r in own] == [(r.metrics, r.digest) for r in trial.reports]


def check_replay(store: DirectoryStore) -> None:
    """A study with one slot is repeated exactly in simulated time, by its own sampler too."""
    recorded = open_recorded(store, "fast", None, None, None)
    assert recorded.original.slots == 1
    for sampler in (None, "random"):
        again = recorded.replay(Variant(sampler, None, slots=1))
        assert again.num_same == len(recorded.study.trials)
        assert again.counts == recorded.original.counts
        assert again.seconds == pytest.approx(recorded.original.seconds)
        assert [(best.trial, best.value) for best in again.best] == [
            (best.trial, best.value) for best in recorded.original.best
        ]
