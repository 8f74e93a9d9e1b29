"""A probe measures what a real trial leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ss3d.config import TrialConfig
from ss3d.data.loader import TrialData
from ss3d.trial.checkpoint import save_state
from ss3d.trial.export import export_best
from ss3d.trial.probe import probe
from ss3d.trial.run import run_trial
from ss3d.trial.state import new_state


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_sizes_are_those_of_a_real_trial_and_a_wild_rate_does_not_matter(
    quick_config: TrialConfig, tiny_data: TrialData, tmp_path: Path
) -> None:
    wild = quick_config.override({"semi.lr": 1e30, "pretrain.lr": 1e30})
    found = probe(wild, tiny_data, None, torch.device("cpu"))
    seconds = [
        *(s for p in (found.pretrain, found.semi) for s in (p.step_s, p.check_s, p.save_s)),
        *(found.control_step_s, found.export_s),
    ]
    assert all(0 < second < 10 for second in seconds)

    state = new_state(quick_config, None, torch.device("cpu"))
    for report in run_trial(state, tiny_data):
        if report.phase == "pretrain":
            save_state(state, tmp_path / "pretrain")
    save_state(state, tmp_path / "semi")
    export_best(state, tiny_data, tmp_path / "best")
    reports = len(state.reports) * found.report_bytes
    assert found.export_bytes == pytest.approx(size(tmp_path / "best"), rel=0.02)
    pretrain, semi = size(tmp_path / "pretrain"), size(tmp_path / "semi")
    assert found.pretrain.checkpoint_bytes == pytest.approx(pretrain - reports, rel=0.05)
    assert found.semi.checkpoint_bytes == pytest.approx(semi - reports, rel=0.05)
    assert found.report_bytes == pytest.approx(len(report.model_dump_json()), rel=0.1)
