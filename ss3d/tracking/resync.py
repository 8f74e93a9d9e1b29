"""Writing a whole study into MLflow again, from the store alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ss3d.errors import ConfigError, DataError
from ss3d.report.findings import Importances, no_importances
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.lease import is_held
from ss3d.store.protocol import Store
from ss3d.tracking.projection import Projection
from ss3d.tracking.statuses import shared_status, study_status
from ss3d.trial.history import load_readable, read_budget, read_ended
from ss3d.trial.what_if import read_what_if, what_if_keys


def sync(
    store: Store, settings: Settings, study: str, importances: Importances = no_importances
) -> dict[str, Any]:
    """Bring MLflow up to date with what the store holds of a study.

    A trial, pretrain or control that is damaged does not keep the others from being written.

    Args:
        store: where the study is.
        settings: where MLflow is.
        study: its name.
        importances: which parameters decided, for its figures; nothing by default.

    Returns:
        How many `trials` and `shared` there are; how many `runs`, `epochs` and `files` were
        missing and are written now; and `problems`: what is wrong with each that is damaged.

    Raises:
        ConfigError: there is no such study.
        CheckpointError: the study's own records are damaged.
        ServiceError: MLflow does not answer.
    """
    record, unreadable = load_readable(store, study)
    spec, trials = record.spec, record.trials
    is_running = is_held(store, layout.study(study, "driver.lease"))
    budget = read_budget(store, study, spec)
    ended = read_ended(store, study)
    projection = Projection(settings, store, importances)
    projection.study(spec, trials, study_status(trials, budget, ended, is_running))
    problems = {name: str(error) for name, error in unreadable.items()}

    for shared in record.shared:
        with _noted(problems, f"{shared.kind} {shared.key[:8]}"):
            status = shared_status(shared, trials, is_running)
            projection.shared(spec, shared, status)
    if not is_running:  # its driver may write the same trials now: each is asked for by itself
        projection.find_trials(spec, trials)
    for trial in trials:
        with _noted(problems, f"trial {study}/{trial.spec.trial}"):
            projection.trial(spec, trial)
    for key in what_if_keys(store, study):
        with _noted(problems, key):
            projection.what_if(spec, read_what_if(store, key))
    if not is_running:
        with _noted(problems, f"report of {study}"):
            projection.report(record)
    written = {name: projection.written[name] for name in ("runs", "epochs", "files")}
    return {
        "trials": len(trials),
        "shared": len(record.shared),
        **written,
        "problems": problems,
    }


@contextlib.contextmanager
def _noted(problems: dict[str, str], name: str) -> Iterator[None]:
    """Note what is damaged instead of raising it."""
    try:
        yield
    except (DataError, ConfigError) as error:
        problems[name] = str(error)
