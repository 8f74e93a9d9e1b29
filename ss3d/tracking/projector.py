"""The projector: a thread that keeps MLflow up to date and never disturbs who feeds it."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, Self

from ss3d.report.findings import Importances, no_importances
from ss3d.settings import Settings
from ss3d.store.protocol import Store
from ss3d.tracking.projection import Projection
from ss3d.tracking.statuses import shared_status, study_status
from ss3d.trial.history import load_readable, read_budget, read_ended
from ss3d.trial.records import SharedRecord, StudyRecord, TrialRecord

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_CLOSE_S = 60.0
_ASKED_TOGETHER = 25
"""Few enough to be written within seconds: `ss3d sync` may write the same trials meanwhile."""
_LAST_TRIES = 3
"""How often a record that fails is tried again once the projector is being closed."""


@dataclass(frozen=True)
class Lag:
    """What MLflow does not show yet."""

    num_records: int
    seconds: float
    """Age of the oldest of them."""


Item = TrialRecord | SharedRecord | None
"""What waits to be written; None stands for the study itself."""


class Projector:
    """Takes records as they grow and writes them to MLflow in its own thread.

    `study`, `trial` and `shared` return at once and never raise; the newest record of a trial
    replaces one that waits. What fails is tried again, with growing pauses, until `close`.

    Args:
        settings: where MLflow is.
        store: where a study's history and the files of finished trials are.
        importances: which parameters decided, for a study's figures; nothing by default.
    """

    def __init__(
        self, settings: Settings, store: Store, importances: Importances = no_importances
    ) -> None:
        self._importances = importances
        self._settings = settings
        self._store = store
        self._spec: dict[str, Any] = {}
        self._trials: dict[str, TrialRecord] = {}
        self._shared: dict[str, SharedRecord] = {}
        self._cut_short: dict[str, TrialRecord] = {}
        """Failed and pruned trials: a log or picture may come after their result."""
        self._has_history = False
        self._waiting: OrderedDict[str, Item] = OrderedDict()
        self._since: dict[str, float] = {}
        self._problems: dict[str, str] = {}
        self._in_flight: list[str] = []
        self._given_up: list[str] = []
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run, name="ss3d-projector", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def problems(self) -> dict[str, str]:
        """Return what was tried and is not written yet, with the last error."""
        with self._changed:
            return dict(self._problems)

    @property
    def lag(self) -> Lag:
        """Return how far MLflow is behind."""
        with self._changed:
            now, waiting = time.monotonic(), {*self._in_flight, *self._waiting}
            oldest = min((self._since.get(key, now) for key in waiting), default=now)
            return Lag(len(waiting), now - oldest)

    def study(self, study_spec: Mapping[str, Any]) -> None:
        """Show a study; all later records belong to it.

        Args:
            study_spec: study.json.
        """
        self._spec = dict(study_spec)
        self._put(self._study_key, None)

    def trial(self, record: TrialRecord) -> None:
        """Show a trial as far as the record goes."""
        with self._changed:
            self._trials[record.spec.trial] = record
            if record.state in ("failed", "pruned"):
                self._cut_short[_trial_key(record)] = record
        self._put(_trial_key(record), record)

    def shared(self, record: SharedRecord) -> None:
        """Show a shared pretrained state or control as far as the record goes."""
        with self._changed:
            self._shared[record.key] = record
        self._put(f"{record.kind} {record.key[:8]}", record)

    def close(self, timeout_s: float = _CLOSE_S) -> list[str]:
        """Write what waits, for a limited time, and end the thread.

        Returns:
            What could not be written; `ss3d sync STUDY` writes it from the store.
        """
        if not self._thread.is_alive():
            return self._left()
        self._deadline = time.monotonic() + timeout_s
        self._closing.set()
        with self._changed:
            for key, record in self._cut_short.items():
                self._waiting.setdefault(key, record)
            if self._spec:
                self._waiting[self._study_key] = None
                self._waiting.move_to_end(self._study_key)
            self._changed.notify()
        self._thread.join(timeout_s)
        left = self._left()
        for key in left:
            reason = self._problems.get(key, "no time was left")
            _log.warning("MLflow lacks %s (%s); `ss3d sync STUDY` writes it", key, reason)
        return left

    def _left(self) -> list[str]:
        with self._changed:
            return sorted({*self._given_up, *self._in_flight, *self._waiting})

    @property
    def _study_key(self) -> str:
        return f"study {self._spec['name']}"

    def _put(self, key: str, item: Item) -> None:
        with self._changed:
            self._waiting[key] = item
            self._since.setdefault(key, time.monotonic())
            self._changed.notify()

    def _run(self) -> None:
        """Write items one after another until closed and nothing is left, or time is up."""
        projection: Projection | None = None
        failures: Counter[str] = Counter()
        pause = _FIRST_PAUSE_S
        while (task := self._next()) is not None:
            key, item = task
            try:
                projection = projection or Projection(
                    self._settings, self._store, self._importances
                )
                self._write(projection, item)
            except Exception as error:  # noqa: BLE001 - no failure of MLflow may end a search
                projection = None  # what comes back may be another MLflow, and empty
                failures[key] += self._closing.is_set()
                self._put_back(key, item, str(error), final=failures[key] >= _LAST_TRIES)
                self._closing.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                self._written(key)
                pause = _FIRST_PAUSE_S

    def _write(self, projection: Projection, item: Item) -> None:
        match item:
            case TrialRecord():
                projection.find_trials(self._spec, [item, *self._next_trials()])
                projection.trial(self._spec, item)
                if item.result is not None:
                    with self._changed:
                        self._waiting.setdefault(self._study_key, None)
            case SharedRecord():
                self._write_shared(projection, item)
            case None:
                self._write_study(projection)

    def _write_study(self, projection: Projection) -> None:
        """Write the study, what is not complete of its shared trainings, and at its end figures."""
        name, trials = self._spec["name"], self._known_trials()
        budget, ended = read_budget(self._store, name, self._spec), read_ended(self._store, name)
        status = study_status(trials, budget, ended, not self._closing.is_set())
        projection.study(self._spec, trials, status)
        with self._changed:
            shared = tuple(self._shared.values())
        for record in shared:
            if not record.complete:
                self._write_shared(projection, record)
        if status == "FINISHED":
            study = StudyRecord(name=name, spec=self._spec, trials=tuple(trials), shared=shared)
            projection.report(study)

    def _write_shared(self, projection: Projection, record: SharedRecord) -> None:
        trials = self._known_trials()
        status = shared_status(record, trials, not self._closing.is_set())
        before = projection.written["runs"]
        projection.shared(self._spec, record, status)
        if projection.written["runs"] > before:
            self._link_to(record, trials)

    def _link_to(self, record: SharedRecord, trials: Sequence[TrialRecord]) -> None:
        """Write the finished trials that share something again: its run is there now."""
        with self._changed:
            for trial in trials:
                if trial.result and (record.kind, record.key) in trial.spec.shared():
                    self._waiting.setdefault(_trial_key(trial), trial)

    def _known_trials(self) -> list[TrialRecord]:
        """Return the trials of this and of earlier sessions of the study."""
        if not self._has_history:
            stored, _ = load_readable(self._store, self._spec["name"])
            with self._changed:
                self._trials = {r.spec.trial: r for r in stored.trials} | self._trials
                self._shared = {p.key: p for p in stored.shared} | self._shared
            self._has_history = True
        with self._changed:
            return [self._trials[trial] for trial in sorted(self._trials)]

    def _next_trials(self) -> list[TrialRecord]:
        with self._changed:
            waiting = (item for item in self._waiting.values() if isinstance(item, TrialRecord))
            return list(islice(waiting, _ASKED_TOGETHER))

    def _next(self) -> tuple[str, Item] | None:
        """Return what has waited longest; None when closed and nothing is left or time is up."""
        with self._changed:
            while not self._waiting and not self._closing.is_set():
                self._changed.wait()
            if not self._waiting or time.monotonic() > self._deadline:
                return None
            key, item = self._waiting.popitem(last=False)
            self._in_flight = [key]
            return key, item

    def _written(self, key: str) -> None:
        with self._changed:
            self._in_flight = []
            self._problems.pop(key, None)
            self._since.pop(key, None)
            if key in self._waiting:
                self._since[key] = time.monotonic()

    def _put_back(self, key: str, item: Item, problem: str, final: bool) -> None:
        with self._changed:
            self._in_flight = []
            self._problems[key] = problem
            if final:
                self._given_up.append(key)
            else:
                self._waiting.setdefault(key, item)


def _trial_key(record: TrialRecord) -> str:
    return f"trial {record.spec.study}/{record.spec.trial}"
