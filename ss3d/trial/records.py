"""What is known of studies and trials, as plain records: what tables, figures and MLflow show."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from ss3d.config import TrialConfig, canonical_json
from ss3d.errors import CheckpointError
from ss3d.store.layout import SharedKind

SCHEMA = 1
"""Version of all stored records; readers accept their own and older."""

TrialStatus = Literal["running", "complete", "pruned", "failed"]
Phase = Literal["pretrain", "semi"]

VALIDATION_METRICS = (
    "val/cd_l1",
    "val/cd_l1_sum",
    "val/cd_l1_category_mean",
    "val/cd_l1_teacher",
    "val/gain",
    "val/cd_pred_to_gt",
    "val/cd_gt_to_pred",
    "val/cd_l2",
    "val/f_score",
)
"""What every report of a teacher-student epoch measures on the validation models."""

COST_METRICS = (
    "model/parameters",
    "system/latency_ms",
    "system/memory_mib",
    "system/epoch_s",
)
"""What every report of a teacher-student epoch says of the network's and the epoch's cost."""


def check_schema(tree: Mapping[str, Any], origin: str) -> None:
    """Refuse what a newer ss3d wrote; what carries no schema is older than all of them.

    Args:
        tree: a stored JSON object.
        origin: what it is, for the message.

    Raises:
        CheckpointError: its schema is newer than ours.
        TypeError: its schema is no number.
    """
    schema = tree.get("schema", 0)
    if schema > SCHEMA:
        raise CheckpointError(
            f"{origin} has schema {schema}, this ss3d reads up to {SCHEMA}: a newer ss3d wrote it; "
            "update ss3d"
        )


class Record(BaseModel):
    """Base of stored records: frozen and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> bytes:
        """Return the record as the bytes that the store keeps."""
        return canonical_json({"schema": SCHEMA, **self.model_dump(mode="json")}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what `to_json` wrote.

        Raises:
            CheckpointError: the bytes are not such a record, or of a newer schema.
        """
        try:
            tree = json.loads(data)
            check_schema(tree, f"stored {cls.__name__}")
            del tree["schema"]
            return cls.model_validate(tree)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"stored {cls.__name__} is damaged, or of another version of ss3d: {error}"
            ) from error


class EpochReport(Record):
    """One epoch of one phase. Epoch 0 of `semi` is the pretrained value.

    `metrics` decide and must repeat bit for bit; `system` (seconds, memory) never does.
    """

    phase: Phase
    epoch: int
    step: int
    metrics: dict[str, float]
    system: dict[str, float]
    digest: str
    """sha256 of the student's weights after the epoch."""
    per_model: tuple[float, ...] = ()
    """val/cd_l1 of the student on each validation model, in their order; of more than 256 (V) the
    models number n * V // 256. Of teacher-student epochs, and in a study only of those at which
    its pruner compares models; empty otherwise."""

    def without_models(self) -> Self:
        """Return the report without the values of single models."""
        return self.model_copy(update={"per_model": ()}) if self.per_model else self

    def value(self, metric: str) -> float | None:
        """Return a metric, those of `system` under `system/…`; None if it was not measured."""
        if metric.startswith("system/"):
            return self.system.get(metric.removeprefix("system/"))
        return self.metrics.get(metric)


class TrialSpec(Record):
    """What is sealed before a trial starts: spec.json."""

    study: str
    trial: str
    params: dict[str, Any]
    """The values the sampler proposed, under their dotted paths."""
    distributions: dict[str, str]
    """Optuna's distributions as JSON, so that the study can be rebuilt."""
    stratum: dict[str, Any]
    config: TrialConfig
    pretrain_key: str
    control_key: str = ""
    """Of the supervised control that the trial is measured against; empty if there is none."""
    code_version: str
    data_hash: str
    versions: dict[str, str]
    """Versions of Python, torch and numpy that sealed it."""
    attrs: dict[str, Any]
    """Optuna's user and system attributes at the time of asking."""
    proposed_at: float

    def shared(self) -> Iterator[tuple[SharedKind, str]]:
        """Yield the kind and the key of what the trial shares with others."""
        yield "pretrain", self.pretrain_key
        if self.control_key:
            yield "control", self.control_key


class TrialResult(Record):
    """The commit point of a trial: result.json, written by the driver alone."""

    study: str
    trial: str
    state: TrialStatus
    values: dict[str, float]
    """The objectives and what constraints are about, at the last epoch."""
    reports: tuple[EpochReport, ...]
    seconds: float
    attempt: int
    reason: str
    """Why it was pruned or failed; empty when complete."""
    is_too_large: bool = False
    """Whether it failed because it needs more memory than there is, or killed its workers."""
    finished_at: float


class TrialRecord(Record):
    """A trial as far as the store knows it."""

    spec: TrialSpec
    result: TrialResult | None
    reports: tuple[EpochReport, ...]
    """Of the result, or of the newest attempt while it runs."""

    @property
    def state(self) -> TrialStatus:
        """Return `running` until there is a result."""
        return self.result.state if self.result else "running"


class SharedRecord(Record):
    """Supervised training that trials share: a pretrained state, or a control."""

    kind: SharedKind = "pretrain"
    key: str
    config: TrialConfig
    reports: tuple[EpochReport, ...]
    seconds: float
    complete: bool


class StudyRecord(Record):
    """A study and its trials in order."""

    name: str
    spec: dict[str, Any]
    """study.json."""
    trials: tuple[TrialRecord, ...]
    shared: tuple[SharedRecord, ...]
    """Pretrained states and controls."""
