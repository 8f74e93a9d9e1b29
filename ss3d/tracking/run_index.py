"""Finding what MLflow has: one experiment per data set, runs by their tags, made when missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ss3d.report.leaderboard import objective_of
from ss3d.settings import Settings
from ss3d.tracking import naming
from ss3d.tracking.connection import is_embedded, mlflow_errors, open_client
from ss3d.tracking.runs import RunWriter
from ss3d.trial.objectives import Objective

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KIND = "ss3d.kind"
"""Tag of every run: study, trial, pretrain, control, what-if; its name is in `ss3d.<kind>`."""
PARENT = "mlflow.parentRunId"


class RunIndex:
    """The runs of one MLflow, each looked up once.

    Args:
        client: of the tracking store.
        settings: where new experiments keep their artifacts.
    """

    def __init__(self, client: MlflowClient, settings: Settings) -> None:
        self.written: Counter[str] = Counter()
        """How many runs, epochs and files were written through this index."""
        self._client = client
        self._settings = settings
        self._experiments: dict[str, str] = {}
        self._runs: dict[tuple[str, str], RunWriter] = {}
        self._absent: set[tuple[str, str]] = set()
        self._new_trials: set[str] = set()
        """Just asked for together, and MLflow has none."""
        self._views: set[str] = set()

    def study(self, spec: Mapping[str, Any]) -> RunWriter:
        """Return the parent run of a study."""
        name = str(spec["name"])
        return self._run(spec, "study", name, name, {}, spec.get("created_at"))

    def write_view(self, spec: Mapping[str, Any]) -> None:
        """Set the experiment's tag that makes MLflow show a study's trials as a table."""
        experiment = self.experiment(spec)
        study = str(spec["name"])
        if study not in self._views:
            held = self._client.get_experiment(experiment).tags
            for name, value in naming.view_tag(spec).items():
                if held.get(name) != value:
                    self._client.set_experiment_tag(experiment, name, value)
            self._views.add(study)

    def child(
        self,
        spec: Mapping[str, Any],
        kind: str,
        value: str,
        name: str,
        started_at: float | None = None,
    ) -> RunWriter:
        """Return the run of a trial (`study/t00017`), a pretrain (its key) … under its name."""
        run = self._runs.get((kind, value))
        if run is None:
            tags = {PARENT: self.study(spec).run_id}
            run = self._run(spec, kind, value, name, tags, started_at)
        run.write_name(name)
        return run

    def find_trials(self, spec: Mapping[str, Any], started_at: Mapping[str, float]) -> None:
        """Ask for the runs of several trials at once, as far as they are not known.

        Args:
            spec: study.json.
            started_at: by address when a trial was proposed, which is when its run began.
        """
        wanted = {
            name: at
            for name, at in started_at.items()
            if ("trial", name) not in self._runs and name not in self._new_trials
        }
        if len(wanted) < 2:
            return
        since = f" AND attributes.start_time >= {int(1000 * min(wanted.values()))}"
        query = _query(spec, "trial") + since
        for run in _search(self._client, self.experiment(spec), query):
            name = run.data.tags["ss3d.trial"]
            if wanted.pop(name, None) is not None:
                self._runs["trial", name] = RunWriter(self._client, run, self.written)
            elif ("trial", name) in self._runs:
                self._drop(run, self._runs["trial", name])
        self._new_trials.update(wanted)

    def find(self, spec: Mapping[str, Any], kind: str, value: str) -> RunWriter | None:
        """Return a run of a study's experiment; None if MLflow had none when first asked."""
        if (kind, value) in self._absent:
            return None
        found = self._look_up(spec, kind, value)
        if found is None:
            self._absent.add((kind, value))
        return found

    def _look_up(self, spec: Mapping[str, Any], kind: str, value: str) -> RunWriter | None:
        if (kind, value) not in self._runs:
            runs = _find_runs(self._client, self.experiment(spec), kind, value)
            if not runs:
                return None
            self._runs[kind, value] = RunWriter(self._client, runs[0], self.written)
            for run in runs[1:]:
                self._drop(run, self._runs[kind, value])
        return self._runs[kind, value]

    def _drop(self, run: Run, kept: RunWriter) -> None:
        """Delete a second run of the same thing: a driver that was stopped past its lease made it.

        It had asked for the run before it was stopped, and made one when it went on.
        """
        if run.info.run_id != kept.run_id:
            self._client.delete_run(run.info.run_id)

    def _run(
        self,
        spec: Mapping[str, Any],
        kind: str,
        value: str,
        name: str,
        tags: Mapping[str, str],
        started_at: float | None,
    ) -> RunWriter:
        if kind == "trial" and value in self._new_trials:
            self._new_trials.discard(value)
        elif found := self._look_up(spec, kind, value):
            return found
        own = {"ss3d.study": str(spec["name"]), KIND: kind, f"ss3d.{kind}": value}
        run = self._client.create_run(
            self.experiment(spec),
            start_time=None if started_at is None else int(started_at * 1000),
            tags={**naming.RUN_TAGS, **tags, **own},
            run_name=name,
        )
        self.written["runs"] += 1
        self._absent.discard((kind, value))
        self._runs[kind, value] = RunWriter(self._client, run, self.written)
        return self._runs[kind, value]

    def experiment(self, spec: Mapping[str, Any]) -> str:
        """Return the id of the experiment of a study's data set."""
        name = naming.experiment_name(spec)
        if name not in self._experiments:
            self._experiments[name] = open_experiment(
                self._client, self._settings, name, objective_of(spec)
            )
        return self._experiments[name]


def open_experiment(
    client: MlflowClient, settings: Settings, name: str, objective: Objective
) -> str:
    """Return the id of the experiment with this name, made if there is none.

    In an embedded tracking store its artifacts go under the artifact root; a server decides itself.
    """
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    root = f"{settings.artifact_root}/{quote(name, safe='')}"
    return client.create_experiment(
        name,
        artifact_location=root if is_embedded(settings) else None,
        tags=naming.experiment_tags(name, objective),
    )


def find_run(client: MlflowClient, experiment: str, kind: str, value: str) -> Run | None:
    """Return the run of a study, trial or pretrain; the oldest if there are several."""
    return next(iter(_find_runs(client, experiment, kind, value)), None)


def _find_runs(client: MlflowClient, experiment: str, kind: str, value: str) -> list[Run]:
    return client.search_runs(
        [experiment],
        filter_string=f"tags.`{KIND}` = '{kind}' AND tags.`ss3d.{kind}` = '{value}'",
        order_by=["attributes.start_time ASC"],
        max_results=10,
    )


def trial_run_ids(settings: Settings, spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the MLflow run id of each trial of a study that has one, by `t00017`.

    Raises:
        ServiceError: MLflow does not answer.
    """
    prefix = f"{spec['name']}/"
    return {
        name.removeprefix(prefix): runs[0].info.run_id
        for name, runs in list_runs(settings, spec, "trial").items()
        if name.startswith(prefix)
    }


def list_runs(settings: Settings, spec: Mapping[str, Any], kind: str) -> dict[str, list[Run]]:
    """Return the runs of a kind by their own name, the oldest of a name first.

    Args:
        settings: where MLflow is.
        spec: study.json.
        kind: `study` or `trial`: those of this study; `pretrain` or `control`: all of its data set,
            which studies share.

    Raises:
        ServiceError: MLflow does not answer.
    """
    client = open_client(settings)
    found: dict[str, list[Run]] = {}
    with mlflow_errors(settings):
        experiment = client.get_experiment_by_name(naming.experiment_name(spec))
        if experiment is not None:
            for run in _search(client, experiment.experiment_id, _query(spec, kind)):
                found.setdefault(run.data.tags[f"ss3d.{kind}"], []).append(run)
    return found


def _query(spec: Mapping[str, Any], kind: str) -> str:
    own = f" AND tags.`ss3d.study` = '{spec['name']}'" if kind in ("study", "trial") else ""
    return f"tags.`{KIND}` = '{kind}'{own}"


def _search(client: MlflowClient, experiment: str, query: str) -> Iterator[Run]:
    """Yield the runs that a query finds, the oldest first."""
    token, is_last = None, False
    while not is_last:
        page = client.search_runs(
            [experiment],
            filter_string=query,
            order_by=["attributes.start_time ASC"],
            max_results=1000,
            page_token=token,
        )
        yield from page
        token = page.token
        is_last = not token
