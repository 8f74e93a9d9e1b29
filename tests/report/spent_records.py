"""Studies whose epochs have round numbers of seconds."""

from __future__ import annotations

from typing import Any

from ss3d.config import TrialConfig
from ss3d.store.layout import SharedKind, trial_id
from ss3d.trial.records import (
    EpochReport,
    SharedRecord,
    StudyRecord,
    TrialRecord,
    TrialResult,
    TrialSpec,
)


def reports(values: list[float], epoch_s: float, phase: str = "semi") -> tuple[EpochReport, ...]:
    """One report per value of val/cd_l1; epoch 0 takes no time."""
    return tuple(
        EpochReport.model_validate(
            {
                "phase": phase,
                "epoch": epoch,
                "step": epoch,
                "metrics": {"val/cd_l1": value},
                "system": {"epoch_s": epoch_s if epoch else 0.0},
                "digest": "",
            }
        )
        for epoch, value in enumerate(values)
    )


def trial(
    number: int,
    values: list[float],
    state: str = "complete",
    key: str = "p",
    **more: Any,
) -> TrialRecord:
    """A trial of 2 s per epoch that was to run 4 epochs, and ended in the order of numbers."""
    spec = TrialSpec(
        study="demo",
        trial=trial_id(number),
        params=more.get("params", {}),
        distributions={},
        stratum=more.get("stratum", {}),
        config=TrialConfig.from_preset("tiny").override(
            {"semi.epochs": 4, **more.get("config", {})}
        ),
        pretrain_key=key,
        control_key=more.get("control", ""),
        code_version="",
        data_hash="d",
        versions={},
        attrs={},
        proposed_at=more.get("proposed_at", 100.0),
    )
    epochs = reports(values, more.get("epoch_s", 2.0)) if values else ()
    if state == "running":
        return TrialRecord(spec=spec, result=None, reports=epochs)
    result = TrialResult.model_validate(
        {
            "study": "demo",
            "trial": spec.trial,
            "state": state,
            "values": {"val/cd_l1": values[-1]} if values and state != "failed" else {},
            "reports": epochs,
            "seconds": 0.0,
            "attempt": 1,
            "reason": "",
            "finished_at": more.get("finished_at", float(number)),
        }
    )
    return TrialRecord(spec=spec, result=result, reports=epochs)


def shared(key: str, seconds: float, kind: SharedKind = "pretrain") -> SharedRecord:
    """A pretrained state or a control that is complete."""
    return SharedRecord(
        kind=kind,
        key=key,
        config=TrialConfig(),
        reports=reports([9.0, 8.0], seconds, "pretrain"),
        seconds=seconds,
        complete=True,
    )


def study(
    *trials: TrialRecord, states: tuple[SharedRecord, ...] = (), name: str = "demo", **spec: Any
) -> StudyRecord:
    """A study that minimises val/cd_l1."""
    objective = {"metric": "val/cd_l1", "direction": "minimize"}
    data = {"name": "quick", "address": "", "content_hash": "d" * 64}
    tree = {"objective": objective, "data": data, **spec}
    return StudyRecord(name=name, spec=tree, trials=trials, shared=states)
