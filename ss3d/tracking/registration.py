"""From a trained network to a version, the store's ledger entry and the aliases, in this order.

The ledger decides: its entries are put_new under the next number, so of two promotions at once
exactly one wins; aliases only show what it says.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ss3d.config import TrialConfig, canonical_json
from ss3d.errors import CheckpointError, ConflictError, RefusedError
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.tracking.connection import mlflow_errors, open_client
from ss3d.tracking.packaging import package_model
from ss3d.tracking.resolution import version_of_alias

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
PREVIOUS = "previous"


@dataclass(frozen=True)
class Candidate:
    """A trained network that is to become a version of a registered model."""

    study: str | None
    """None for what `ss3d train` left in a directory."""
    trial: str
    """`t00017`, or that directory."""
    best: Path
    """What `export_best` wrote."""
    run_id: str
    """MLflow run that shows how it was trained."""
    code_version: str

    @property
    def origin(self) -> str:
        """Return `study/t00017`, or the directory of `ss3d train`."""
        return self.trial if self.study is None else f"{self.study}/{self.trial}"


def register(store: Store, settings: Settings, candidate: Candidate, name: str) -> dict[str, Any]:
    """Make a candidate the champion of a model.

    Returns:
        `model`, `version`, `alias`, `study` (None for a directory), `trial` and `previous`, the
        version that was champion or None.

    Raises:
        CheckpointError: the candidate is damaged.
        RefusedError: somebody else promoted at the same time.
        ServiceError: MLflow does not answer.
    """
    client = open_client(settings)
    with mlflow_errors(settings):
        sequence = len(list(store.list(layout.ledger(name) + "/"))) + 1
        before = version_of_alias(client, name, CHAMPION)
        version = _make_version(client, candidate, name)
        outcome = {
            "model": name,
            "version": int(version.version),
            "alias": CHAMPION,
            "study": candidate.study,
            "trial": candidate.trial,
            "previous": None if before is None else int(before.version),
        }
        _write_ledger(store, sequence, outcome)
        if before is not None:
            client.set_registered_model_alias(name, PREVIOUS, before.version)
        client.set_registered_model_alias(name, CHAMPION, version.version)
        return outcome


def _write_ledger(store: Store, sequence: int, outcome: dict[str, Any]) -> None:
    entry = {"schema": 1, "action": "promote", "at": store.now(), **outcome}
    key = layout.ledger(outcome["model"], f"{sequence:06d}-promote.json")
    try:
        store.put_new(key, canonical_json(entry).encode())
    except ConflictError as error:
        raise RefusedError(
            f"model {outcome['model']}: another promotion came first; version "
            f"{outcome['version']} is registered and not champion. Look at it, then try again"
        ) from error


def _make_version(client: MlflowClient, candidate: Candidate, name: str) -> ModelVersion:
    """Upload the packaged model and register it as the model's next version."""
    from mlflow.entities import LoggedModelOutput

    facts, num_points = _facts(candidate)
    tags = {f"ss3d.{key}": str(value) for key, value in facts.items()}
    logged = client.create_logged_model(
        client.get_run(candidate.run_id).info.experiment_id,
        name=name,
        source_run_id=candidate.run_id,
        tags=tags,
        model_type="ss3d",
    )
    ready = False
    try:
        with tempfile.TemporaryDirectory(prefix="ss3d-model-") as folder:
            model = Path(folder) / "model"
            owners = {"run_id": candidate.run_id, "model_id": logged.model_id}
            package_model(candidate.best, model, num_points, facts | owners)
            client.log_model_artifacts(logged.model_id, str(model))
        ready = True
    finally:
        client.finalize_logged_model(logged.model_id, "READY" if ready else "FAILED")
    client.log_outputs(candidate.run_id, [LoggedModelOutput(logged.model_id, facts["epoch"])])
    _ensure_model(client, name)
    return client.create_model_version(
        name,
        source=logged.artifact_location,
        run_id=candidate.run_id,
        tags=tags,
        description=f"Trial `{candidate.origin}`: val/cd_l1 {facts['cd_l1']:.3f} on the "
        f"validation set, best epoch {facts['epoch']}.",
        model_id=logged.model_id,
    )


def _ensure_model(client: MlflowClient, name: str) -> None:
    """Make the registered model if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(
            name,
            description="Single-view 3D reconstruction (SS3D): images in, (B, N, 3) clouds out; "
            "unit ball, canonical frame, y up.",
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _facts(candidate: Candidate) -> tuple[dict[str, Any], int]:
    """Return what the version remembers of its origin, and the points of a cloud."""
    try:
        metrics = json.loads((candidate.best / "metrics.json").read_text())
        config = TrialConfig.parse(json.loads((candidate.best / "config.json").read_text()))
        facts = {
            "trial": candidate.origin,
            "cd_l1": metrics["val"]["val/cd_l1"],
            "epoch": metrics["epoch"],
            "data_hash": metrics["data_hash"],
            "labeled_ratio": config.data.labeled_ratio,
            "code_version": candidate.code_version,
            "weights_sha256": metrics["sha256"],
        }
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{candidate.best}: not a complete export: {error}") from error
    return facts, config.model.num_points
