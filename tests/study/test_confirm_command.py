"""A confirmation from beginning to end: a study of its own, shown again, and grown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.settings import Settings
from ss3d.store.directory import DirectoryStore
from ss3d.study.definition import Request
from ss3d.study.driver import Watcher, search
from ss3d.trial.history import load_study_record

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

TABLES = '[sampler]\nname = "random"\n[pruner]\nname = "none"\n'


def test_a_study_is_confirmed_shown_and_confirmed_with_more_seeds(
    tmp_path: Path, data_folder: Path, write_space: Callable[[str], Path]
) -> None:
    home = tmp_path / "home"
    settings = Settings(home=home)
    request = Request(space=write_space(TABLES), data=str(data_folder), trials=2)
    search(request, settings, None, Watcher())
    store = DirectoryStore(Path(settings.store_address))
    originals = load_study_record(store, "fast").trials

    def confirm(*words: str) -> dict[str, Any]:
        line = ["confirm", "fast", "--home", str(home), "--json", *words]
        result = CliRunner().invoke(app, line, catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    found = confirm("--top", "3", "--seeds", "2")
    record = load_study_record(store, "fast-confirm")
    assert (found["study"], record.spec["confirms"]) == ("fast-confirm", "fast")
    assert [trial.state for trial in record.trials] == ["complete"] * 4
    assert len(record.shared) == 2  # both arms of a replicate share a pretrained state
    drawn = {"pretrain.seed", "semi.seed"}
    for trial in record.trials:
        original = originals[int(trial.spec.stratum["arm"][1:])].spec.config.flatten()
        config = trial.spec.config.flatten()
        assert {path for path in config if config[path] != original[path]} == drawn
    (part,) = found["strata"]
    values = {trial.spec.trial: trial.result.values["val/cd_l1"] for trial in originals}
    assert {one["trial"]: one["original"] for one in part["trials"]} == values
    assert sum(one["probability"] for one in part["trials"]) == pytest.approx(1)

    assert confirm() == found
    assert load_study_record(store, "fast-confirm") == record
    grown = confirm("--seeds", "3", "-o", str(tmp_path / "confirm.png"))
    assert [list(one["values"]) for one in grown["strata"][0]["trials"]] == [["0", "1", "2"]] * 2
    after = load_study_record(store, "fast-confirm")
    assert after.trials[:4] == record.trials
    assert (tmp_path / "confirm.png").exists()
