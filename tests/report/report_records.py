"""Studies that need no training."""

from ss3d.config import TrialConfig
from ss3d.store.layout import trial_id
from ss3d.trial.records import EpochReport, StudyRecord, TrialRecord, TrialResult, TrialSpec


def make_study(
    trials: list[tuple[str, float, float | None]], direction: str = "minimize"
) -> StudyRecord:
    """A study of (state, labeled ratio, value); None has no reports. Epoch 0 has value + 1."""
    return StudyRecord(
        name="demo",
        spec={"objective": {"metric": "val/cd_l1", "direction": direction}},
        trials=tuple(_trial(number, *trial) for number, trial in enumerate(trials)),
        shared=(),
    )


def _trial(number: int, state: str, ratio: float, value: float | None) -> TrialRecord:
    spec = TrialSpec(
        study="demo",
        trial=trial_id(number),
        params={"semi.lr": 0.1 * number, "semi.fixed": 1},
        distributions={},
        stratum={"data.labeled_ratio": ratio},
        config=TrialConfig(),
        pretrain_key="",
        code_version="",
        data_hash="",
        versions={},
        attrs={},
        proposed_at=0.0,
    )
    reports = () if value is None else make_reports([value + 1, value])
    if state == "running":
        return TrialRecord(spec=spec, result=None, reports=reports)
    result = TrialResult.model_validate(
        {
            "study": "demo",
            "trial": spec.trial,
            "state": state,
            "values": {} if value is None else {"val/cd_l1": value},
            "reports": reports,
            "seconds": 4.0,
            "attempt": 1,
            "reason": "" if state == "complete" else "rung 2",
            "finished_at": 0.0,
        }
    )
    return TrialRecord(spec=spec, result=result, reports=reports)


def make_reports(values: list[float]) -> tuple[EpochReport, ...]:
    """One report per value of val/cd_l1."""
    return tuple(
        EpochReport(
            phase="semi",
            epoch=epoch,
            step=epoch,
            metrics={"val/cd_l1": value, "val/gain": values[0] - value},
            system={"epoch_s": 2.0},
            digest="",
        )
        for epoch, value in enumerate(values)
    )
