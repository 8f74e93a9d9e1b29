"""Rerunning a trial from its sealed spec and proving that the numbers repeat."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel

from ss3d.config import canonical_json
from ss3d.store import layout
from ss3d.store.bundle import get_bundle
from ss3d.store.protocol import Store
from ss3d.trial.history import is_complete, shared_export
from ss3d.trial.records import SCHEMA, EpochReport, TrialSpec
from ss3d.trial.run import run_trial
from ss3d.trial.spec import code_version, versions
from ss3d.trial.state import TrialState, new_state, pretrained_state

if TYPE_CHECKING:
    from ss3d.data.loader import TrialData

TOLERANCE = 0.01
"""Largest relative difference of the last val/cd_l1 that another device may cause."""


class Verdict(BaseModel):
    """Whether a rerun repeated the original."""

    verdict: Literal["bitwise", "within tolerance", "differs"]
    first_difference: dict[str, Any] | None
    """Epoch, name and both values of the first difference; None when bitwise."""
    epochs: int
    """Epochs compared."""
    only_original: list[str]
    """Metrics that only the original has, so that nothing could be compared."""
    only_rerun: list[str]
    """Metrics that only the rerun has: the code measures more than it did."""
    metrics: dict[str, float]
    """Of the rerun's last epoch."""
    original: dict[str, float]


def rerun_state(
    spec: TrialSpec, store: Store, device: torch.device, own_pretrain: bool, weights: Path | None
) -> TrialState:
    """Return the state that a rerun starts from.

    Args:
        spec: sealed.
        store: that may hold the shared pretrained state.
        device: where it trains.
        own_pretrain: pretrain again even if the shared state is there.
        weights: file of the backbone's weights, or None.
    """
    if own_pretrain or not is_complete(store, "pretrain", spec.pretrain_key):
        return new_state(spec.config, weights, device)
    with tempfile.TemporaryDirectory() as directory:
        prefix = shared_export(store, "pretrain", spec.pretrain_key)
        get_bundle(store, prefix, Path(directory))
        return pretrained_state(spec.config, Path(directory), device)


def rerun(state: TrialState, data: TrialData, last: int) -> Iterator[EpochReport]:
    """Yield the reports of the trial again, up to an epoch of the teacher-student phase."""
    for report in run_trial(state, data):
        yield report
        if report.phase == "semi" and report.epoch >= last:
            return


def compare(original: Sequence[EpochReport], again: Sequence[EpochReport]) -> Verdict:
    """Compare two runs of a trial on the epochs that both have.

    `bitwise`: every metric that both have and the sha256 of the weights agree in every epoch.
    `within tolerance`: the last val/cd_l1 agree to `TOLERANCE`.
    """
    before = {(report.phase, report.epoch): report for report in original}
    pairs = [(before[(r.phase, r.epoch)], r) for r in again if (r.phase, r.epoch) in before]
    differences = [found for pair in pairs if (found := first_difference(*pair)) is not None]
    last_before, last_again = pairs[-1] if pairs else (None, None)
    metrics = last_again.metrics if last_again else {}
    reference = last_before.metrics if last_before else {}
    if pairs and not differences:
        verdict: Literal["bitwise", "within tolerance", "differs"] = "bitwise"
    else:
        verdict = "within tolerance" if _close(metrics, reference) else "differs"
    return Verdict(
        verdict=verdict,
        first_difference=differences[0] if differences else None,
        epochs=len(pairs),
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


def record_verdict(store: Store, spec: TrialSpec, verdict: Verdict, device: str) -> str:
    """Write a verdict beside the trial, where the gates of a promotion look; return its key.

    Args:
        store: of the trial.
        spec: sealed.
        verdict: of the rerun.
        device: that it ran on.

    Raises:
        ConflictError: another rerun ended in the same millisecond.
    """
    now = store.now()
    facts = {
        "schema": SCHEMA,
        "at": now,
        "device": device,
        "verdict": verdict.verdict,
        "epochs": verdict.epochs,
        "first_difference": verdict.first_difference,
        "code_version": code_version(),
        "versions": versions(),
    }
    key = f"{layout.reruns(spec.study, spec.trial)}{now * 1000:015.0f}.json"
    store.put_new(key, canonical_json(facts).encode())
    return key


def changes_since(spec: TrialSpec, data_hash: str) -> list[str]:
    """Say what differs between the sealed spec and here: code, data, versions."""
    pairs = {
        "code": (spec.code_version, code_version()),
        "data": (spec.data_hash, data_hash),
        **{name: (spec.versions.get(name), here) for name, here in versions().items()},
    }
    return [f"{name}: {then} -> {now}" for name, (then, now) in pairs.items() if then != now]


def _only(pairs: Sequence[tuple[EpochReport, EpochReport]]) -> list[str]:
    """Return the metrics that the second of a pair lacks, in order."""
    return sorted({name for one, other in pairs for name in one.metrics.keys() - other.metrics})


def _close(metrics: dict[str, float], reference: dict[str, float]) -> bool:
    old, new = reference.get("val/cd_l1"), metrics.get("val/cd_l1")
    return old is not None and new is not None and abs(new - old) <= TOLERANCE * abs(old)
