"""A profile of one epoch, of either phase."""

import json

import pytest
import torch

from ss3d.errors import ConfigError, ServiceError
from ss3d.trial.profiling import TRACE, profile_epoch
from ss3d.trial.run import run_trial
from ss3d.trial.state import new_state

CPU = torch.device("cpu")
SHORT = {"pretrain.steps": 1, "pretrain.epochs": 1, "semi.enabled": False}


def test_pretraining_is_profiled_by_a_few_of_its_steps(
    quick_config, tiny_data, tmp_path, monkeypatch
):
    monkeypatch.setattr("ss3d.trial.profiling.MOST_STEPS", 1)
    state = new_state(quick_config.override(SHORT | {"pretrain.steps": 5}), None, CPU)
    found = profile_epoch(state, tiny_data, tmp_path / "deep" / "er")
    assert (found.phase, found.epoch) == ("pretrain", 1)
    assert (found.steps, found.traced_steps) == (5, 1)
    updates = [one for one in found.operations if one.name.startswith("Optimizer.step")]
    assert [one.calls for one in updates] == [1]
    assert json.loads((tmp_path / "deep" / "er" / TRACE).read_text())["traceEvents"]


def test_a_trial_without_epochs_that_train_has_none_to_profile(quick_config, tiny_data, tmp_path):
    state = new_state(quick_config.override(SHORT), None, CPU)
    list(run_trial(state, tiny_data))
    with pytest.raises(ConfigError, match="--own-pretrain"):
        profile_epoch(state, tiny_data, tmp_path)


def test_a_folder_that_cannot_be_written_is_said(quick_config, tiny_data, tmp_path):
    (tmp_path / "file").write_text("")
    state = new_state(quick_config.override(SHORT), None, CPU)
    with pytest.raises(ServiceError, match="--profile: cannot write"):
        profile_epoch(state, tiny_data, tmp_path / "file" / "x")
