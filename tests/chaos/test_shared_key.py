"""Two studies at once on one store, in processes of their own: every key is trained once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from test_driver_killed import DRIVER, SPACE, finish, load

from ss3d.store import layout
from ss3d.store.lease import is_held

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

STUDIES = ("one", "two")
TRIALS = 2


def test_two_studies_at_once_train_every_key_once(tmp_path: Path, data_folder: Path) -> None:
    home = tmp_path / "home"
    drivers = []
    for name in STUDIES:
        space = tmp_path / f"{name}.toml"
        space.write_text(SPACE.format(pretrain_steps=200))
        arguments = [str(home), str(space), str(data_folder), str(TRIALS), "new"]
        drivers.append(subprocess.Popen([sys.executable, "-c", DRIVER, *arguments]))
    for driver in drivers:
        finish(driver)
    records = {}
    for name in STUDIES:
        store, records[name] = load(home, name)
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
