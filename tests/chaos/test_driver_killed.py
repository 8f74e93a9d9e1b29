"""kill -9 and Ctrl-C of the driver, in processes of their own."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.store.lease import is_held
from ss3d.trial.history import load_study_record
from ss3d.trial.records import StudyRecord

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

NUM_KILLS = int(os.environ.get("SS3D_KILLS", "2"))
SEED = int(os.environ.get("SS3D_KILL_SEED", "5"))
TRIALS = 4

SPACE = """
[base]
preset = "tiny"
data.labeled_ratio = 0.5
data.image_size = 32
data.num_target_points = 64
model.cnn_widths = [8, 16]
model.width = 16
model.stage_widths = [8, 8, 8]
model.num_points = 32
model.num_neighbors = 4
pretrain.steps = {pretrain_steps}
pretrain.epochs = 2
semi.steps = 6
semi.epochs = 6

[sampler]
name = "tpe"
n_startup_trials = 2

[pruner]
name = "asha"
first_rung = 2
reduction_factor = 2

[parameters."semi.ema_decay"]
type = "float"
low = 0.5
high = 0.99
scale = "log1m"

[parameters."model.num_heads"]
type = "categorical"
choices = [1, 2]
"""

DRIVER = """
import sys
from pathlib import Path
from ss3d.settings import Settings
from ss3d.study.definition import Request
from ss3d.study.driver import Watcher, search

home, space, data, trials, resume = sys.argv[1:]
request = Request(
    space=Path(space), data=data, trials=int(trials), slots=1, resume=resume == "resume"
)
try:
    search(request, Settings(home=Path(home)), None, Watcher())
except KeyboardInterrupt:
    sys.exit(130)
"""

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path, data_folder: Path) -> Start:
    """Start a driver in a home of its own."""

    def start(
        home: str, *, resume: bool = False, pretrain_steps: int = 4
    ) -> subprocess.Popen[bytes]:
        space = tmp_path / f"{home}.toml"
        space.write_text(SPACE.format(pretrain_steps=pretrain_steps))
        mode = "resume" if resume else "new"
        arguments = [str(tmp_path / home), str(space), str(data_folder), str(TRIALS), mode]
        return subprocess.Popen([sys.executable, "-c", DRIVER, *arguments])

    return start


def finish(driver: subprocess.Popen[bytes]) -> None:
    assert driver.wait(240) == 0


def load(home: Path, name: str) -> tuple[DirectoryStore, StudyRecord]:
    store = DirectoryStore(home / "store")
    return store, load_study_record(store, name)


def wait_for(condition: Callable[[], object], driver: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert driver.poll() is None, "the driver ended"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_to_kill(store: Path, number: int, driver: subprocess.Popen[bytes]) -> None:
    """Wait for a moment of chance: in the first pretrainings, later between epochs of trials."""
    chance = random.Random(SEED + number)
    share = max(1, 10 // NUM_KILLS)
    pattern = "pretrains/**/attempts/*.json" if number == 0 else "epochs/*.json"

    def count() -> int:
        return len(list(store.rglob(pattern)))

    wanted = count() + (chance.randint(1, 2) if number == 0 else chance.randint(share, 2 * share))
    wait_for(lambda: driver.poll() == 0 or count() >= wanted, driver)
    time.sleep(chance.random())


def test_a_killed_search_goes_on_and_equals_an_unbroken_one(tmp_path: Path, start: Start) -> None:
    sys.stdout.write(f"SS3D_KILL_SEED={SEED} SS3D_KILLS={NUM_KILLS}\n")
    unbroken, killed = start("unbroken"), tmp_path / "killed" / "store"
    for number in range(NUM_KILLS):
        driver = start("killed", resume=number > 0)
        wait_to_kill(killed, number, driver)
        driver.kill()
        driver.wait()
        results = {path: path.read_bytes() for path in killed.rglob("result.json")}
        num_epochs = len(list(killed.rglob("epochs/*.json")))
        sys.stdout.write(f"killed with {len(results)} results and {num_epochs} epochs\n")
    finish(start("killed", resume=True))
    finish(unbroken)
    store, record = load(tmp_path / "killed", "killed")
    _, reference = load(tmp_path / "unbroken", "unbroken")
    assert len(record.trials) == TRIALS
    assert {path: path.read_bytes() for path in results} == results
    for trial, other in zip(record.trials, reference.trials, strict=True):
        assert trial.spec.params == other.spec.params
        assert trial.state == other.state
        assert [(r.epoch, r.metrics, r.digest) for r in trial.reports] == [
            (r.epoch, r.metrics, r.digest) for r in other.reports
        ]
    for path in results:
        attempts = layout.trial("killed", path.parent.name, "attempts") + "/"
        assert max(store.list(attempts)).endswith(f"a{_attempt_of(record, path.parent.name)}.json")


def _attempt_of(record: StudyRecord, trial: str) -> int:
    result = next(t.result for t in record.trials if t.spec.trial == trial)
    assert result is not None
    return result.attempt


def test_ctrl_c_is_heard_while_all_trials_wait_for_a_pretraining(
    tmp_path: Path, start: Start
) -> None:
    driver = start("waiting", pretrain_steps=1_000_000)
    home = tmp_path / "waiting"
    wait_for(lambda: list((home / "store" / "pretrains").rglob("attempts/a1.json")), driver)
    driver.send_signal(signal.SIGINT)
    told = time.monotonic()
    assert driver.wait(60) == 130
    assert time.monotonic() - told < 20
    store, record = load(home, "waiting")
    assert [trial.state for trial in record.trials] == ["running", "running"]
    assert not is_held(store, layout.study("waiting", "driver.lease"))
