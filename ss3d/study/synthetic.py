"""Made-up curves of as many trials as wanted: what schedulers and the driver are tested with."""

from __future__ import annotations

import math

import numpy as np

from ss3d.config import fingerprint
from ss3d.store import layout
from ss3d.study.entries import seconds_of
from ss3d.study.proposals import propose
from ss3d.study.space import Space, parse_space
from ss3d.study.toml_lines import TomlFile
from ss3d.trial.records import (
    VALIDATION_METRICS,
    EpochReport,
    Phase,
    SharedRecord,
    StudyRecord,
    TrialRecord,
    TrialResult,
    TrialSpec,
)

SPACE = """
strata = ["data.labeled_ratio"]
[base]
preset = "tiny"
[sampler]
name = "random"
[parameters."data.labeled_ratio"]
type = "categorical"
choices = [0.1, 0.2, 0.5]
[parameters."model.num_heads"]
type = "categorical"
choices = [2, 4, 8]
[parameters."semi.aug_strength"]
type = "float"
low = 0.0
high = 1.0
[parameters."semi.lr"]
type = "float"
low = 1e-5
high = 1e-2
scale = "log"
"""
"""What synthetic studies search: three strata times three head counts."""


def synthetic_space(seed: int = 0) -> Space:
    """Return the space of synthetic studies: three strata, nine pretrained states.

    Args:
        seed: of the study.
    """
    return parse_space(TomlFile(SPACE, "synthetic.toml"), "synthetic", seed)


def synthetic_study(num_trials: int, seed: int = 0) -> StudyRecord:
    """Return a study in which every trial ran to its end.

    Values fall towards a floor that depends on the parameters, with noise; the seconds of an epoch
    grow with the heads and differ from epoch to epoch.

    Args:
        num_trials: how many.
        seed: of parameters, noise and seconds.
    """
    space, rng = synthetic_space(seed), np.random.default_rng(seed)
    trials = [_trial(_spec(space, number), rng) for number in range(num_trials)]
    specs = {trial.spec.pretrain_key: trial.spec for trial in trials}
    shared = [_pretrain(spec, rng) for spec in specs.values()]
    return StudyRecord(name="synthetic", spec={}, trials=tuple(trials), shared=tuple(shared))


def _spec(space: Space, number: int) -> TrialSpec:
    proposal = propose(space, [], number)
    config = space.configure(proposal.params)
    return TrialSpec(
        study="synthetic",
        trial=layout.trial_id(number),
        params=proposal.params,
        distributions=proposal.distributions,
        stratum=space.stratum(number),
        config=config,
        pretrain_key=fingerprint([config.data.labeled_ratio, config.model.num_heads]),
        code_version="",
        data_hash="",
        versions={},
        attrs={"internal": proposal.internal, "system": proposal.system_attrs},
        proposed_at=float(number),
    )


def _trial(spec: TrialSpec, rng: np.random.Generator) -> TrialRecord:
    semi = spec.config.semi
    start = 5 - 3 * spec.config.data.labeled_ratio
    distance = (semi.aug_strength - 0.4) ** 2 + 0.2 * math.log10(semi.lr / 3e-4) ** 2
    floor = start - 1 + min(distance, 1.5)
    values = floor + (start - floor) * np.exp(-np.arange(semi.epochs + 1) / 4)
    reports = _reports("semi", values + rng.normal(0, 0.02, len(values)), spec, rng)
    result = TrialResult(
        study=spec.study,
        trial=spec.trial,
        state="complete",
        values={"val/cd_l1": reports[-1].metrics["val/cd_l1"]},
        reports=reports,
        seconds=seconds_of(reports),
        attempt=1,
        reason="",
        finished_at=spec.proposed_at + 1,
    )
    return TrialRecord(spec=spec, result=result, reports=reports)


def _pretrain(spec: TrialSpec, rng: np.random.Generator) -> SharedRecord:
    values = np.linspace(9, 5 - 3 * spec.config.data.labeled_ratio, spec.config.pretrain.epochs)
    reports = _reports("pretrain", values, spec, rng)
    return SharedRecord(
        key=spec.pretrain_key,
        config=spec.config,
        reports=reports,
        seconds=seconds_of(reports),
        complete=True,
    )


def _reports(
    phase: Phase, values: np.ndarray, spec: TrialSpec, rng: np.random.Generator
) -> tuple[EpochReport, ...]:
    """Return one report per value; those of pretraining begin with epoch 1."""
    epoch_s = (1 + spec.config.model.num_heads / 8) * rng.uniform(0.9, 1.1, len(values))
    return tuple(
        EpochReport(
            phase=phase,
            epoch=epoch,
            step=epoch,
            metrics=dict.fromkeys(VALIDATION_METRICS, float(value)),
            system={"epoch_s": float(seconds)},
            digest="",
        )
        for epoch, (value, seconds) in enumerate(
            zip(values, epoch_s, strict=True), start=phase == "pretrain"
        )
    )
