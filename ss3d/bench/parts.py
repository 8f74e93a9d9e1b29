"""What our search does for a trial that plain Tune does not, part by part."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ss3d.bench.timing import Spread, spread
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.study.frozen import frozen_trial
from ss3d.study.job import Progress
from ss3d.study.journal import Journal
from ss3d.study.patience import put_once
from ss3d.study.proposals import propose
from ss3d.study.proposer import ready_keys
from ss3d.study.space import parse_space
from ss3d.study.toml_lines import TomlFile
from ss3d.trial.records import StudyRecord, TrialRecord, TrialResult
from ss3d.trial.spec import pretrain_key

_MOST = 50


def measure_parts(study: StudyRecord) -> dict[str, Spread]:
    """Return the seconds of each part for a study's trials, done again in a store beside.

    Args:
        study: finished; each of its trials has a result.
    """
    space = parse_space(TomlFile(study.spec["space"], "study.json"), study.name, 0)
    objectives = space.objectives
    finished = [(trial, trial.result) for trial in study.trials if trial.result][:_MOST]
    history = [frozen_trial(trial.spec, result, objectives) for trial, result in finished]
    with tempfile.TemporaryDirectory(prefix="ss3d-bench-") as folder:
        store = DirectoryStore(Path(folder) / "store")
        journal = Journal(Path(folder) / "journal", study.name, ["minimize"])
        journal.agree([])

        def seal(trial: TrialRecord) -> None:
            pretrain_key(space.configure(trial.spec.params), trial.spec.data_hash)

        def put_spec(trial: TrialRecord) -> None:
            put_once(store, _key(trial, "spec.json"), trial.spec.to_json())

        def put_result(trial: TrialRecord, result: TrialResult) -> None:
            put_once(store, _key(trial, "result.json"), result.to_json())

        def copy(trial: TrialRecord, result: TrialResult) -> None:
            number = layout.trial_number(trial.spec.trial)
            journal.start(number, frozen_trial(trial.spec, None, objectives))
            journal.finish(number, frozen_trial(trial.spec, result, objectives))

        def report(trial: TrialRecord) -> None:
            Progress.from_json(Progress(1, trial.reports, is_done=True).to_json())

        parts: dict[str, Callable[[TrialRecord, TrialResult], object]] = {
            "proposal": lambda trial, result: propose(space, history, len(history)),
            "configuration and keys": lambda trial, result: seal(trial),
            "spec.json": lambda trial, result: put_spec(trial),
            "which shared states are there": lambda t, result: ready_keys(store, t.spec),
            "report": lambda trial, result: report(trial),
            "result.json": put_result,
            "Optuna's journal": copy,
        }
        return {
            name: spread([_seconds(part, *pair) for pair in finished])
            for name, part in parts.items()
        }


def _key(trial: TrialRecord, name: str) -> str:
    return layout.trial(trial.spec.study, trial.spec.trial, name)


def _seconds(
    part: Callable[[TrialRecord, TrialResult], object], trial: TrialRecord, result: TrialResult
) -> float:
    started = time.perf_counter()
    part(trial, result)
    return time.perf_counter() - started
