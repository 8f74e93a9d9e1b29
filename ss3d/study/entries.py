"""What a session knows of one trial and of what trials share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from optuna.trial import FrozenTrial

from ss3d.store.layout import SharedKind
from ss3d.trial.dominance import Outcome
from ss3d.trial.objectives import Objectives
from ss3d.trial.records import (
    EpochReport,
    SharedRecord,
    TrialRecord,
    TrialResult,
    TrialSpec,
    TrialStatus,
)

KeyState = Literal["ready", "waiting", "claimed", "elsewhere", "running", "failed"]
"""`claimed`: this driver holds its lease and may start it; `elsewhere`: another driver does."""


@dataclass
class Entry:
    """One trial of the study."""

    spec: TrialSpec
    frozen: FrozenTrial
    reports: dict[tuple[str, int], EpochReport] = field(default_factory=dict)
    attempt: int = 1
    state: TrialStatus = "running"
    reason: str = ""
    is_too_large: bool = False
    finished_at: float = 0.0
    is_committed: bool = False
    outcome: Outcome | None = None
    """Of a complete trial."""

    def keep(self, reports: Iterable[EpochReport]) -> None:
        """Add reports; the newer one of an epoch holds."""
        self.reports |= {(report.phase, report.epoch): report for report in reports}

    def forget_models(self) -> None:
        """Let go of the values of single models, once the store and the judge have them."""
        self.reports = {where: report.without_models() for where, report in self.reports.items()}

    def record(self, objectives: Objectives) -> TrialRecord:
        """Return the trial as it is now; with its result as soon as the store has it."""
        result = self.result(objectives) if self.is_committed else None
        return TrialRecord(spec=self.spec, result=result, reports=self._ordered())

    def result(self, objectives: Objectives) -> TrialResult:
        """Return the result of a trial that ended."""
        reports = self._ordered()
        has_values = self.state != "failed" and reports
        return TrialResult(
            study=self.spec.study,
            trial=self.spec.trial,
            state=self.state,
            values=objectives.measured(reports[-1]) if has_values else {},
            reports=reports,
            seconds=seconds_of(reports),
            attempt=self.attempt,
            reason=self.reason,
            is_too_large=self.is_too_large,
            finished_at=self.finished_at,
        )

    def _ordered(self) -> tuple[EpochReport, ...]:
        return tuple(report for _, report in sorted(self.reports.items()))


@dataclass
class Shared:
    """One shared pretrained state or control that the session needs."""

    kind: SharedKind
    state: KeyState
    spec: TrialSpec
    """Of one of the trials that need it."""
    reports: dict[tuple[str, int], EpochReport] = field(default_factory=dict)
    reason: str = ""
    is_too_large: bool = False
    is_taken_over: bool = False
    """Whether another driver makes it now, although our worker still runs."""

    def keep(self, reports: Iterable[EpochReport]) -> None:
        """Add reports; the newer one of an epoch holds."""
        self.reports |= {(report.phase, report.epoch): report for report in reports}

    def record(self, key: str) -> SharedRecord:
        """Return it as far as it got."""
        reports = tuple(report for _, report in sorted(self.reports.items()))
        config = self.spec.config
        return SharedRecord(
            kind=self.kind,
            key=key,
            config=config if self.kind == "pretrain" else config.control(),
            reports=reports,
            seconds=seconds_of(reports),
            complete=self.state == "ready",
        )


def seconds_of(reports: Iterable[EpochReport]) -> float:
    """Return the seconds that epochs took."""
    return sum(report.system["epoch_s"] for report in reports)
