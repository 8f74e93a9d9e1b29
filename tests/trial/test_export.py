"""The pictures' part of an export: clouds of all validation models, inputs of up to 64."""

import pytest
import torch

from ss3d.data.border import off_background
from ss3d.data.views import preview_image
from ss3d.report.previews import read_previews
from ss3d.trial import export
from ss3d.trial.directory import train_in_directory
from ss3d.trial.state import new_state


@pytest.fixture(scope="module")
def state(quick_config, tiny_data, tmp_path_factory):
    config = quick_config.override({"semi.enabled": False, "pretrain.epochs": 1})
    state = new_state(config, None, torch.device("cpu"))
    for _ in train_in_directory(state, tiny_data, tmp_path_factory.mktemp("trial")):
        pass
    return state


@pytest.mark.parametrize(("cap", "kept"), [(64, [0, 1, 2, 3, 4, 5, 6, 7]), (3, [0, 2, 5])])
def test_inputs_are_kept_of_all_or_of_some_spread_evenly(
    state, tiny_data, tmp_path, monkeypatch, cap, kept
):
    monkeypatch.setattr(export, "NUM_IMAGES", cap)
    assert len(tiny_data.validation) == 8
    summary = export.export_best(state, tiny_data, tmp_path)
    found = read_previews(tmp_path)
    assert list(found.images) == [found.ids[row] for row in kept]
    rgba = torch.cat([rgba for rgba, _ in tiny_data.validation.evaluation()])
    seen = preview_image(rgba, tiny_data.view).permute(0, 2, 3, 1)
    for row in kept:
        difference = torch.from_numpy(found.images[found.ids[row]]) - seen[row]
        assert difference.abs().max() <= 0.5 / 255 + 1e-6
    busiest = float(off_background(seen[kept].permute(0, 3, 1, 2), 1.0).max())
    assert summary["busiest_border"] == pytest.approx(busiest)
    assert found.names["03001627"] == "chair"
    assert len(found.predicted) == len(found.target) == len(found.ids) == 8
