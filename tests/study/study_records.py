"""A study in a store as sessions leave it, without any training."""

from __future__ import annotations

from ss3d.config import canonical_json
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.study.proposals import propose
from ss3d.study.space import Space
from ss3d.trial.records import VALIDATION_METRICS, EpochReport, TrialResult, TrialSpec
from ss3d.trial.spec import pretrain_key


def make_reports(last: int, phase: str = "semi", value: float = 9.0) -> list[EpochReport]:
    """Epochs 0 .. last."""
    return [
        EpochReport.model_validate(
            {
                "phase": phase,
                "epoch": epoch,
                "step": epoch,
                "metrics": dict.fromkeys(VALIDATION_METRICS, value - epoch),
                "system": {"epoch_s": 1.0},
                "digest": "0",
            }
        )
        for epoch in range(last + 1)
    ]


def put_spec(store: Store, study: str, space: Space, number: int) -> TrialSpec:
    """Write spec.json of a trial, as the proposer does."""
    proposal = propose(space, [], number)
    config = space.base.override(proposal.params)
    spec = TrialSpec(
        study=study,
        trial=layout.trial_id(number),
        params=proposal.params,
        distributions=proposal.distributions,
        stratum=space.stratum(number),
        config=config,
        pretrain_key=pretrain_key(config, "d"),
        code_version="c",
        data_hash="d",
        versions={},
        attrs={"internal": proposal.internal, "system": proposal.system_attrs},
        proposed_at=1.0,
    )
    store.put_new(layout.trial(study, spec.trial, "spec.json"), spec.to_json())
    return spec


def put_epochs(store: Store, spec: TrialSpec, last: int, is_final: bool, attempt: int = 1) -> None:
    """Write an epochs file, as a worker does."""
    name = f"{layout.epoch_name(attempt, last)}.json"
    tree = {
        "schema": 1,
        "attempt": attempt,
        "reports": [report.model_dump(mode="json") for report in make_reports(last)],
        "final": is_final,
    }
    key = layout.trial(spec.study, spec.trial, "epochs", name)
    store.put_new(key, canonical_json(tree).encode())


def put_result(store: Store, spec: TrialSpec, last: int) -> TrialResult:
    """Write result.json of a trial that was pruned, as the recorder does."""
    reports = tuple(make_reports(last))
    result = TrialResult(
        study=spec.study,
        trial=spec.trial,
        state="pruned",
        values={"val/cd_l1": reports[-1].metrics["val/cd_l1"]},
        reports=reports,
        seconds=1.0,
        attempt=1,
        reason="stopped by asha/3 at epoch 2",
        finished_at=2.0,
    )
    store.put_new(layout.trial(spec.study, spec.trial, "result.json"), result.to_json())
    return result


def put_pretrain(store: Store, spec: TrialSpec, is_complete: bool) -> None:
    """Write the pretrained state of a trial as far as it got; without its weights."""
    reports = [report.model_dump(mode="json") for report in make_reports(2, "pretrain")]
    config = spec.config.model_dump(mode="json")
    files = {"config.json": config, "epochs.json": {"schema": 1, "reports": reports}}
    if is_complete:
        files["manifest.json"] = {"schema": 1, "key": spec.pretrain_key}
    for name, tree in files.items():
        store.put_new(layout.pretrain(spec.pretrain_key, name), canonical_json(tree).encode())
