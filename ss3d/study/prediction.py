"""What a launch will cost: the trials that would be proposed, times what one was measured to cost.

Assumptions, all stated to the user: the sampler proposes what it would if it learned nothing; every
pretraining uses all its epochs; of trials that reach a rung the share goes on that the rule aims
at; jobs beside each other do not slow each other down.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from ss3d.report.predicted import Prediction, read_prediction
from ss3d.store.protocol import Store
from ss3d.study.planned import Planned
from ss3d.trial.probe import PhaseProbe, Probe
from ss3d.trial.records import Phase

_KEPT_CHECKPOINTS = 2


def predict(
    planned: Sequence[Planned],
    probes: Mapping[str, Probe],
    slots: int,
    device: str,
    pretrain_slots: float = 1.0,
) -> Prediction:
    """Return what some trials cost.

    Args:
        planned: the trials.
        probes: measured, by kind; a kind that was not measured counts with the mean of the others.
        slots: trials at once.
        device: kind of device that was measured on.
        pretrain_slots: that a pretraining takes.
    """
    bills = [_Bill(one, probes.get(one.kind) or mean_probe(probes.values())) for one in planned]
    pretrains = list({bill.planned.pretrain: bill for bill in bills}.values())
    controls = list({b.planned.control: b for b in bills if b.planned.control}.values())
    num_controls = min(len(controls), round(sum(b.planned.completes for b in bills)))
    share = num_controls / len(controls) if controls else 0.0
    pretrain_s = math.fsum(bill.pretrain_s for bill in pretrains)
    semi_s = math.fsum(bill.semi_s for bill in bills)
    control_s = share * math.fsum(bill.control_s for bill in controls)
    overhead_s = [
        math.fsum(bill.pretrain_overhead_s for bill in pretrains),
        math.fsum(bill.semi_overhead_s for bill in bills),
        share * math.fsum(bill.semi_overhead_s for bill in controls),
    ]
    wall_s = math.fsum(
        waves(count, at_once) * (total + more) / count
        for at_once, count, total, more in zip(
            (max(1, int(slots / pretrain_slots)), slots, slots),
            (len(pretrains), len(bills), num_controls),
            (pretrain_s, semi_s, control_s),
            overhead_s,
            strict=True,
        )
        if count
    )
    num_bytes = [
        sum(bill.pretrain_bytes for bill in pretrains),
        sum(bill.trial_bytes for bill in bills),
        round(share * sum(bill.control_bytes for bill in controls)),
    ]
    return Prediction(
        trials=len(bills),
        pretrains=len(pretrains),
        controls=num_controls,
        pretrain_s=pretrain_s,
        semi_s=semi_s,
        control_s=control_s,
        alone_s=math.fsum(bill.pretrain_s for bill in bills),
        unstopped_s=math.fsum(bill.unstopped_s for bill in bills),
        pretrain_epoch_s=pretrain_s / sum(b.planned.config.pretrain.epochs for b in pretrains),
        semi_epoch_s=math.fsum(b.unstopped_s for b in bills) / max(1, sum(b.epochs for b in bills)),
        first_s=min(bill.pretrain_s + bill.unstopped_s for bill in bills),
        wall_s=wall_s,
        slots=slots,
        pretrain_bytes=num_bytes[0] // len(pretrains),
        trial_bytes=num_bytes[1] // len(bills),
        control_bytes=num_bytes[2] // max(1, num_controls),
        total_bytes=sum(num_bytes),
        device=device,
        kinds_measured=len(probes),
        kinds=len({one.kind for one in planned}),
        peak_bytes=max(one.peak_bytes for one in probes.values()),
    )


def waves(jobs: int, slots: int) -> int:
    """Return how often all slots are filled until all jobs have run."""
    return -(-jobs // slots)


def mean_probe(probes: Iterable[Probe]) -> Probe:
    """Return the mean of what was measured."""
    known = list(probes)

    def phase(parts: Sequence[PhaseProbe]) -> PhaseProbe:
        return PhaseProbe(
            step_s=fmean(part.step_s for part in parts),
            check_s=fmean(part.check_s for part in parts),
            save_s=fmean(part.save_s for part in parts),
            checkpoint_bytes=round(fmean(part.checkpoint_bytes for part in parts)),
        )

    return Probe(
        pretrain=phase([one.pretrain for one in known]),
        semi=phase([one.semi for one in known]),
        control_step_s=fmean(one.control_step_s for one in known),
        export_s=fmean(one.export_s for one in known),
        export_bytes=round(fmean(one.export_bytes for one in known)),
        report_bytes=round(fmean(one.report_bytes for one in known)),
        peak_bytes=max(one.peak_bytes for one in known),
    )


def expected_rates(store: Store, spec: Mapping[str, Any], is_gpu: bool) -> dict[Phase, float]:
    """Return the seconds of an epoch that were predicted for a study, by phase.

    Nothing if it was not predicted, or measured on another kind of device than its trials use.

    Args:
        store: where predictions are kept.
        spec: study.json.
        is_gpu: whether the study's trials use a GPU.
    """
    prediction = read_prediction(store, spec)
    if prediction is None or (prediction.device == "cuda") != is_gpu:
        return {}
    return {"pretrain": prediction.pretrain_epoch_s, "semi": prediction.semi_epoch_s}


class _Bill:
    """What one trial costs, and what it would share."""

    def __init__(self, planned: Planned, probe: Probe) -> None:
        config, self.planned = planned.config, planned
        pretrain, semi = probe.pretrain, probe.semi
        self.epochs = config.semi.epochs if config.semi.enabled else 0
        share = planned.epochs / self.epochs if self.epochs else 0.0
        steps = config.semi.steps if self.epochs else 0
        checks_s = (self.epochs + 1) * semi.check_s
        self.pretrain_s = (
            config.pretrain.steps * pretrain.step_s + config.pretrain.epochs * pretrain.check_s
        )
        self.unstopped_s = steps * semi.step_s + checks_s
        self.control_s = steps * probe.control_step_s + checks_s
        self.semi_s = semi.check_s + share * (self.unstopped_s - semi.check_s)
        self.pretrain_overhead_s = config.pretrain.epochs * pretrain.save_s + probe.export_s
        self.semi_overhead_s = planned.epochs * semi.save_s + planned.completes * probe.export_s
        kept = min(_KEPT_CHECKPOINTS, config.pretrain.epochs - 1)
        reports = config.pretrain.epochs * probe.report_bytes
        self.pretrain_bytes = probe.export_bytes + kept * pretrain.checkpoint_bytes + reports
        checkpoints = min(_KEPT_CHECKPOINTS, self.epochs) * semi.checkpoint_bytes
        reports = (self.epochs + 1) * probe.report_bytes
        self.control_bytes = probe.export_bytes + checkpoints + reports
        ended = planned.epochs + 1  # every epoch's file has all reports so far, the result as well
        files = round(probe.report_bytes * (ended * (ended + 1) / 2 + ended))
        self.trial_bytes = round(planned.completes * probe.export_bytes) + checkpoints + files
