"""A study rebuilt from its store alone takes the same next decisions, whatever sampler and rule.

Whole searches by the real driver; only Ray is replaced: jobs run in this process, one after the
other, and what they report is a function of the trial's parameters.
"""

from __future__ import annotations

import itertools
import math
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from ss3d.config import canonical_json, fingerprint
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.study import tables
from ss3d.study.board import Board
from ss3d.study.definition import Request
from ss3d.study.driver import Watcher, search
from ss3d.study.environment import prepare_environment
from ss3d.study.job import Job, Place, Progress
from ss3d.study.recorder import decision_key
from ss3d.trial.history import load_study_record, load_trial_record
from ss3d.trial.records import VALIDATION_METRICS, EpochReport, TrialSpec

EPOCHS = 6
TRIALS = 8
MODELS = 12
SPACE = f"""
[study]
seed = 4

[base]
preset = "tiny"
data.image_size = 32
data.num_target_points = 64
semi.epochs = {EPOCHS}

[budget]
trials = {TRIALS}

[parameters."semi.ema_decay"]
type = "float"
low = 0.5
high = 0.9
step = 0.1

[parameters."model.num_heads"]
type = "categorical"
choices = [1, 2]

[parameters."semi.lr"]
type = "categorical"
choices = [1e-4, 3e-4, 1e-3]
"""
QUICK = {
    "n_startup_trials": 2,
    "population_size": 3,
    "first_rung": 1,
    "reduction_factor": 2,
    "min_trials": 2,
    "epochs": 1,
}
"""Of samplers and rules that have such a key, so that they learn and stop within a few trials."""


def names(union: Any) -> list[str]:
    return [get_args(table.model_fields["name"].annotation)[0] for table in get_args(union)]


def write(union: Any, heading: str, name: str) -> str:
    """Return the table of a sampler or rule."""
    (of,) = (t for t, known in zip(get_args(union), names(union), strict=True) if known == name)
    keys = "".join(f"{key} = {value}\n" for key, value in QUICK.items() if key in of.model_fields)
    return f'[{heading}]\nname = "{name}"\n{keys}'


def curve(spec: TrialSpec, epoch: int) -> EpochReport:
    """Return what a trial reports: a decay to a level, both of its parameters, and noise."""
    params = spec.params
    level = 5 + abs(params["semi.ema_decay"] - 0.8) + 0.2 * params["model.num_heads"]
    rate = 0.5 + params["semi.lr"] * 500
    value = level + 4 * math.exp(-rate * epoch) + 0.3 * noise(params, epoch)
    half = [3 * noise("model", n) + 0.1 * noise(params, epoch, n) for n in range(MODELS // 2)]
    return EpochReport(
        phase="semi",
        epoch=epoch,
        step=epoch,
        metrics=dict.fromkeys(VALIDATION_METRICS, value),
        system={"epoch_s": 1.0},
        digest="",
        per_model=tuple(value + sign * offset for sign in (1, -1) for offset in half),
    )


def noise(*of: object) -> float:
    """Return a number in [0, 1) that looks random."""
    return int(fingerprint(of)[:8], 16) / 2**32


@dataclass
class Cluster:
    """Ray's place: one slot; it writes to the store what workers write.

    Args:
        at: is called at every moment at which a kill is tried, when all that was decided is stored.
    """

    board: Board
    place: Place
    at: Callable[[], None]

    def __post_init__(self) -> None:
        self.store = DirectoryStore(Path(self.place.store))

    def run(self) -> None:
        for tune_id in map(str, itertools.count()):
            self.at()
            while (job := self.board.take(tune_id)) is None:
                if self.board.is_exhausted():
                    return
                self.board.wait_idle(0.01)
            if job.kind == "pretrain":
                self.pretrain(job)
                self.board.end(tune_id, Progress(1, (), is_done=True))
            else:
                self.board.end(tune_id, self.train(job, tune_id))
                self.wait_for(layout.trial(self.place.study, job.trial, "result.json"))

    def pretrain(self, job: Job) -> None:
        config = self.board.trials[job.trial].spec.config.model_dump(mode="json")
        for name, tree in {"config.json": config, "manifest.json": {}}.items():
            self.store.put_new(layout.pretrain(job.key, name), canonical_json(tree).encode())

    def train(self, job: Job, tune_id: str) -> Progress:
        """Go on from the last stored epoch; return the last progress."""
        record = load_trial_record(self.store, self.place.study, job.trial)
        attempts = layout.trial(self.place.study, job.trial, "attempts")
        attempt = 1 + len(list(self.store.list(f"{attempts}/")))
        self.store.put_new(f"{attempts}/a{attempt}.json", b"{}")
        reports, new = list(record.reports), list(record.reports)
        while True:
            if new:
                progress = Progress(attempt, tuple(new))
                decision = self.board.report(tune_id, Progress.from_json(progress.to_json()))
                if decision:
                    self.wait_for(decision_key(self.place.study, job.trial, decision.rung))
                    self.at()
                if decision and decision.stop:
                    return progress
                new.clear()
            if len(reports) == 2 and noise("fails", record.spec.params) < 0.2:
                return Progress(attempt, (), is_done=True, failure="it diverged")
            new.append(curve(record.spec, len(reports)))
            if new[0].epoch not in self.place.compared_epochs:
                new = [new[0].without_models()]
            reports += new
            self.put_epochs(record.spec, attempt, reports)
            self.at()
            if len(reports) > EPOCHS:
                return Progress(attempt, tuple(new), is_done=True)

    def put_epochs(self, spec: TrialSpec, attempt: int, reports: list[EpochReport]) -> None:
        last = reports[-1].epoch
        tree = {
            "schema": 1,
            "attempt": attempt,
            "reports": [report.model_dump(mode="json") for report in reports],
            "final": last == EPOCHS,
        }
        name = f"{layout.epoch_name(attempt, last)}.json"
        key = layout.trial(spec.study, spec.trial, "epochs", name)
        self.store.put_new(key, canonical_json(tree).encode())

    def wait_for(self, key: str) -> None:
        pause = threading.Event()
        while self.store.get(key) is None:
            pause.wait(0.001)


@pytest.fixture
def run(tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a search on the cluster above, or go on with one, in a home of its own."""
    prepare_environment(tmp_path)
    from ss3d.study import session

    @contextmanager
    def one_slot(*of: object) -> Iterator[int]:
        yield 1

    monkeypatch.setattr(session, "ray_session", one_slot)

    def run(home: Path, space: Path | None, at: Callable[[], None] = lambda: None) -> None:
        def run_jobs(board: Board, place: Place, *of: object) -> None:
            Cluster(board, place, at).run()

        monkeypatch.setattr(session, "run_jobs", run_jobs)
        request = Request(space, str(data_folder), "x", slots=1, resume=space is None)
        search(request, Settings(home=home), None, Watcher())

    return run


def results(home: Path) -> dict[str, Any]:
    """Return what a study found and decided, but for times and attempts."""
    store = DirectoryStore(home / "store")
    found: dict[str, Any] = {}
    for trial in load_study_record(store, "x").trials:
        assert trial.result is not None
        found[trial.spec.trial] = (
            trial.spec.model_copy(update={"proposed_at": 0.0}),
            trial.result.model_copy(update={"finished_at": 0.0, "attempt": 0}),
        )
    for key in store.list(layout.study("x", "decisions") + "/"):
        blob = store.get(key)
        assert blob is not None
        found[key] = blob.data
    return found


@pytest.mark.parametrize(
    ("sampler", "rule"),
    [
        *((sampler, "asha") for sampler in names(tables.Sampler)),
        *(("tpe", rule) for rule in names(tables.Pruner) if rule != "asha"),
    ],
)
def test_a_study_rebuilt_from_its_store_goes_on_as_if_nothing_had_happened(
    sampler: str, rule: str, tmp_path: Path, run: Callable[..., None]
) -> None:
    space = tmp_path / "x.toml"
    tables_text = write(tables.Sampler, "sampler", sampler) + write(tables.Pruner, "pruner", rule)
    space.write_text(tables_text + SPACE)
    unbroken, moments = tmp_path / "unbroken", itertools.count()
    killed: list[Path] = []
    offset = int(8 * noise(sampler, rule))

    def copy_the_store() -> None:
        if next(moments) % 8 == offset:
            killed.append(tmp_path / f"killed{len(killed)}")
            left_out = shutil.ignore_patterns(".*", "driver.lease")
            shutil.copytree(unbroken / "store", killed[-1] / "store", ignore=left_out)

    run(unbroken, space, copy_the_store)
    reference = results(unbroken)
    states = {found[1].state for found in reference.values() if isinstance(found, tuple)}
    assert "complete" in states
    assert ("pruned" in states) == (rule != "none")
    for home in (killed[len(killed) // 3], killed[-2], killed[-1]):
        run(home, None)
        assert results(home) == reference
