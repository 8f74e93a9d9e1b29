"""Whether a rerun repeated its original: compared epoch by epoch, and kept beside the trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from ss3d.config import canonical_json
from ss3d.errors import CheckpointError
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.trial.circumstances import Change
from ss3d.trial.history import read_object
from ss3d.trial.records import SCHEMA, EpochReport, Phase, TrialSpec
from ss3d.trial.spec import code_version, machine, versions

TOLERANCE = 0.01
"""Largest relative difference of the last val/cd_l1 that another device or version may cause."""

Outcome = Literal["bitwise", "within tolerance", "differs"]


class Verdict(BaseModel):
    """Whether a rerun repeated the original."""

    verdict: Outcome
    first_difference: dict[str, Any] | None
    """Epoch, name and both values of the first difference; None when bitwise."""
    relative_difference: float | None
    """Of val/cd_l1 in the last epoch that both have; `TOLERANCE` at most is within tolerance."""
    epochs: int
    """Teacher-student epochs compared."""
    pretrain_epochs: int
    """Epochs of pretraining compared; 0 if the shared state was taken."""
    after: int | None
    """The epoch whose checkpoint it began with, so that earlier ones were not compared."""
    only_original: list[str]
    """Metrics that only the original has, so that nothing could be compared."""
    only_rerun: list[str]
    """Metrics that only the rerun has: the code measures more than it did."""
    metrics: dict[str, float]
    """Of the rerun's last epoch."""
    original: dict[str, float]


def compare(
    original: Sequence[EpochReport], again: Sequence[EpochReport], after: int | None = None
) -> Verdict:
    """Compare two runs of a trial on the epochs that both have.

    `bitwise`: every metric that both have and the sha256 of the weights agree in every epoch.
    `within tolerance`: the last val/cd_l1 agree to `TOLERANCE`.

    Args:
        original: its reports.
        again: those of the rerun.
        after: the epoch whose checkpoint the rerun began with.
    """
    before = {(report.phase, report.epoch): report for report in original}
    pairs = [(before[(r.phase, r.epoch)], r) for r in again if (r.phase, r.epoch) in before]
    differences = [found for pair in pairs if (found := first_difference(*pair)) is not None]
    last_before, last_again = pairs[-1] if pairs else (None, None)
    metrics = last_again.metrics if last_again else {}
    reference = last_before.metrics if last_before else {}
    difference = _relative(reference.get("val/cd_l1"), metrics.get("val/cd_l1"))
    verdict: Outcome = "differs"
    if pairs and not differences:
        verdict = "bitwise"
    elif difference is not None and difference <= TOLERANCE:
        verdict = "within tolerance"
    return Verdict(
        verdict=verdict,
        first_difference=differences[0] if differences else None,
        relative_difference=difference,
        epochs=_count(pairs, "semi"),
        pretrain_epochs=_count(pairs, "pretrain"),
        after=after,
        only_original=_only(pairs),
        only_rerun=_only([(new, old) for old, new in pairs]),
        metrics=metrics,
        original=reference,
    )


def first_difference(before: EpochReport, again: EpochReport) -> dict[str, Any] | None:
    """Return the first metric of both in which two reports differ, or the weights, or None."""
    place = {"phase": before.phase, "epoch": before.epoch}
    for name in sorted(before.metrics.keys() & again.metrics.keys()):
        old, new = before.metrics[name], again.metrics[name]
        if old != new:
            return place | {"name": name, "original": old, "rerun": new}
    if before.digest != again.digest:
        return place | {"name": "weights", "original": before.digest, "rerun": again.digest}
    return None


def describe_difference(found: Mapping[str, Any]) -> str:
    """Return a difference as a person reads it: `semi epoch 3, val/cd_l1: 8.1 -> 8.2`."""
    values = f"{found['original']} -> {found['rerun']}"
    return f"{found['phase']} epoch {found['epoch']}, {found['name']}: {values}"


def record_verdict(
    store: Store, spec: TrialSpec, verdict: Verdict, device: str, changes: Sequence[Change] = ()
) -> str:
    """Write a verdict beside the trial, where the gates of a promotion look; return its key.

    Args:
        store: of the trial.
        spec: sealed.
        verdict: of the rerun.
        device: that it ran on.
        changes: what differed from the original's circumstances.

    Raises:
        ConflictError: another rerun ended in the same millisecond.
    """
    now = store.now()
    facts = verdict.model_dump(exclude={"metrics", "original"}) | {
        "schema": SCHEMA,
        "at": now,
        "device": device,
        "machine": machine(),
        "tolerance": TOLERANCE,
        "code_version": code_version(),
        "versions": versions(),
        "changes": [change.describe() for change in changes],
    }
    key = layout.moment(layout.reruns(spec.study, spec.trial), now)
    store.put_new(key, canonical_json(facts).encode())
    return key


def read_verdicts(store: Store, study: str, trial: str) -> list[dict[str, Any]]:
    """Return the recorded verdicts of a trial's reruns, the oldest first.

    Raises:
        CheckpointError: a record is damaged, or vanished meanwhile.
    """
    found = []
    for key in store.list(layout.reruns(study, trial)):
        blob = store.get(key)
        if blob is None:
            raise CheckpointError(f"{key} vanished from the store while it was read; try again")
        found.append(read_object(blob.data, key))
    return found


def _count(pairs: Sequence[tuple[EpochReport, EpochReport]], phase: Phase) -> int:
    return sum(before.phase == phase for before, _ in pairs)


def _only(pairs: Sequence[tuple[EpochReport, EpochReport]]) -> list[str]:
    """Return the metrics that the second of a pair lacks, in order."""
    return sorted({name for one, other in pairs for name in one.metrics.keys() - other.metrics})


def _relative(old: float | None, new: float | None) -> float | None:
    if old is None or new is None:
        return None
    return abs(new - old) / abs(old) if old else float(new != old)
