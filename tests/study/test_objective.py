from __future__ import annotations

import torch

from ss3d.config import TrialConfig
from ss3d.data.loader import TrialData
from ss3d.trial.records import VALIDATION_METRICS
from ss3d.trial.run import run_trial
from ss3d.trial.state import new_state


def test_every_teacher_student_epoch_carries_what_may_be_an_objective(
    quick_config: TrialConfig, tiny_data: TrialData
) -> None:
    state = new_state(quick_config, None, torch.device("cpu"))
    reports = [report for report in run_trial(state, tiny_data) if report.phase == "semi"]
    assert len(reports) == quick_config.semi.epochs + 1
    for report in reports:
        measured = {name for name in report.metrics if name.startswith("val/")}
        assert measured == {*VALIDATION_METRICS, "val/num_categories", "val/diversity"}
