"""From a candidate to a version, the alias `candidate`, the ledger's entry and the champion.

The ledger decides: its entries are put_new under the next number, so of two promotions at once
exactly one wins; aliases only show what it says. Killed before the entry, a promotion leaves a
version that never was champion; killed after it, aliases that the next command repairs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ss3d.settings import Settings
from ss3d.store.protocol import Store
from ss3d.tracking.aliases import CANDIDATE, follow_ledger, holds_version, show_entry
from ss3d.tracking.candidate import Candidate
from ss3d.tracking.connection import mlflow_errors, open_client
from ss3d.tracking.ledger import Entry, append_entry, keep_metrics
from ss3d.tracking.model_card import model_card, shorten
from ss3d.tracking.origin import show_origin
from ss3d.tracking.packaging import package_model
from ss3d.tracking.proposal import Proposal

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_MOST_DESCRIPTION = 5000
"""Characters that MLflow keeps of a version's description."""


def register(
    store: Store, settings: Settings, proposal: Proposal, reason: str = "", forced: bool = False
) -> dict[str, Any]:
    """Make a candidate the champion of a model.

    Whoever is champion already stays it: no second version is made.

    Args:
        store: of the ledger.
        settings: where MLflow is.
        proposal: candidate and answers of the gates.
        reason: kept in the ledger and in the version's tags.
        forced: although a gate is closed.

    Returns:
        `model`, `version`, `alias`, `study` (None for a directory), `trial`, `previous`, the
        version that was champion or None, and `repaired`: what an earlier crash had left.

    Raises:
        CheckpointError: the candidate is damaged.
        RefusedError: a gate is closed, or somebody else promoted since the proposal.
        ServiceError: MLflow does not answer.
    """
    if not forced:
        proposal.check()
    candidate, ledger = proposal.candidate, proposal.ledger
    name, head = ledger.model, ledger.head
    client = open_client(settings)
    with mlflow_errors(settings):
        repaired = follow_ledger(store, client, name)
        if head is not None and proposal.is_champion:
            return head.outcome(repaired)
        card = model_card(candidate, proposal.answers, reason)
        run_id = show_origin(store, settings, candidate)
        version = _make_version(client, candidate, run_id, name, card)
        for tag, value in _decision(proposal, reason, forced).items():
            client.set_model_version_tag(name, version.version, tag, value)
        client.set_registered_model_alias(name, CANDIDATE, version.version)
        entry = Entry(
            action="promote",
            at=store.now(),
            model=name,
            version=int(version.version),
            previous=head.version if head and holds_version(client, ledger, head.version) else None,
            study=candidate.study,
            trial=candidate.trial,
            weights_sha256=candidate.measured.weights_sha256,
            metrics_sha256=keep_metrics(store, name, candidate.metrics),
            cd_l1=candidate.measured.cd_l1,
            data_hash=candidate.measured.data_hash,
            gates=proposal.answers,
            forced=bool(proposal.closed),
            reason=reason,
        )
        append_entry(store, ledger, entry)
    show_entry(store, settings, client, entry)
    return entry.outcome(repaired)


def _decision(proposal: Proposal, reason: str, forced: bool) -> dict[str, str]:
    """Return what the version's tags say of why it was promoted."""
    asked, closed = len(proposal.answers), [answer.gate for answer in proposal.closed]
    tags = {"ss3d.gates": f"{asked - len(closed)} of {asked} open"} if asked else {}
    if closed and forced:
        tags["ss3d.forced"] = ", ".join(closed)
    return tags | ({"ss3d.reason": reason} if reason else {})


def _make_version(
    client: MlflowClient, candidate: Candidate, run_id: str, name: str, card: str
) -> ModelVersion:
    """Upload the packaged model and register it as the model's next version."""
    from mlflow.entities import LoggedModelOutput

    facts = _facts(candidate)
    tags = {f"ss3d.{key}": str(value) for key, value in facts.items()}
    logged = client.create_logged_model(
        client.get_run(run_id).info.experiment_id,
        name=name,
        source_run_id=run_id,
        tags=tags,
        model_type="ss3d",
    )
    ready = False
    try:
        with tempfile.TemporaryDirectory(prefix="ss3d-model-") as folder:
            model = Path(folder) / "model"
            owners = {"run_id": run_id, "model_id": logged.model_id}
            package_model(candidate.best, model, card, facts | owners)
            client.log_model_artifacts(logged.model_id, str(model))
        ready = True
    finally:
        client.finalize_logged_model(logged.model_id, "READY" if ready else "FAILED")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, facts["epoch"])])
    _ensure_model(client, name)
    return client.create_model_version(
        name,
        source=logged.artifact_location,
        run_id=run_id,
        tags=tags,
        description=shorten(card, _MOST_DESCRIPTION),
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


def _facts(candidate: Candidate) -> dict[str, Any]:
    """Return what the version remembers of its origin."""
    measured = candidate.measured
    return {
        "trial": candidate.origin,
        "cd_l1": measured.cd_l1,
        "epoch": measured.epoch,
        "data_hash": measured.data_hash,
        "labeled_ratio": candidate.config.data.labeled_ratio,
        "code_version": candidate.code_version,
        "weights_sha256": measured.weights_sha256,
    }
