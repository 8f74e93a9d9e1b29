"""Two studies at once on one store, in processes of their own: every key is trained once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from chaos_study import SPACE

from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.store.lease import is_held
from ss3d.trial.history import load_study_record

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

STUDIES = ("one", "two")
TRIALS = 2


def test_two_studies_at_once_train_every_key_once(tmp_path: Path, data_folder: Path) -> None:
    home, space = tmp_path / "home", tmp_path / "space.toml"
    space.write_text(SPACE.replace("pretrain.steps = 4", "pretrain.steps = 200"))
    command = [sys.executable, "-m", "ss3d", "search", str(space), "--data", str(data_folder)]
    command += ["--home", str(home), "--trials", str(TRIALS), "--slots", "1", "--name"]
    drivers = [subprocess.Popen([*command, name]) for name in STUDIES]
    for driver in drivers:
        assert driver.wait(240) == 0
    store, records = DirectoryStore(home / "store"), {}
    for name in STUDIES:
        records[name] = load_study_record(store, name)
        assert all(trial.state in ("complete", "pruned") for trial in records[name].trials)
        assert len(records[name].trials) == TRIALS
    keys = {trial.spec.pretrain_key for record in records.values() for trial in record.trials}
    assert keys == {key.split("/")[2] for key in store.list("pretrains/")}
    for key in keys:
        attempts = layout.pretrain(key, "attempts")
        assert list(store.list(f"{attempts}/")) == [f"{attempts}/a1.json"]
        assert not is_held(store, layout.pretrain(key, "lease"))
    mine, other = (records[name].trials[0] for name in STUDIES)
    assert mine.spec.params == other.spec.params
    pairs = list(zip(mine.reports, other.reports, strict=False))  # either may be pruned earlier
    assert pairs
    assert all(one.digest == two.digest for one, two in pairs)
