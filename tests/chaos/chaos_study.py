"""A study whose drivers are real processes, and the means to do them harm."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
from tiny_space import EMA, base_table

from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.opening import open_store
from ss3d.store.protocol import Store
from ss3d.trial.history import load_study_record
from ss3d.trial.records import StudyRecord

NAME = "chaos"
TRIALS = 6
SEED = int(os.environ.get("SS3D_CHAOS_SEED", "5"))
SPACE = f"""
[study]
name = "chaos"
{base_table((4, 3), (6, 6))}
[sampler]
name = "tpe"
n_startup_trials = 2
[pruner]
name = "asha"
first_rung = 2
reduction_factor = 2
{EMA}
[parameters."model.num_heads"]
type = "categorical"
choices = [1, 2]
[parameters."semi.lr"]
type = "categorical"
choices = [1e-4, 3e-4, 1e30]
"""
"""Epochs of a tenth of a second, two pretrain keys, and trials that end with NaN."""

_PATIENCE_S = 240.0
_POLL_S = 0.02
_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")

Driver = subprocess.Popen[bytes]


def independent_space(steps: int, epochs: int) -> str:
    """Return a space of few different trials, none of which depends on when another ends.

    Args:
        steps: of an epoch of the teacher-student phase.
        epochs: of that phase.
    """
    return f"""
[study]
name = "{NAME}"
{base_table((4, 3), (steps, epochs))}
[sampler]
name = "random"
[pruner]
name = "none"
[parameters."semi.ema_decay"]
type = "categorical"
choices = [0.9, 0.99]
[parameters."model.num_heads"]
type = "categorical"
choices = [1, 2]
"""


class ChaosStudy:
    """A study in a home of its own.

    Args:
        folder: empty; home, space and logs go there.
        data: address of the data set.
        database: an empty MLflow database to begin with.
        total: objects of the study that nobody disturbed; 0 if this is that one.
        space: search space.
    """

    def __init__(
        self, folder: Path, data: Path, database: Path, total: int = 0, space: str = SPACE
    ) -> None:
        self.settings = Settings(home=folder / "home")
        self.total = total
        self.trials, self.slots = TRIALS, 1
        self.within: Sequence[str] = ()
        """What comes before the command of a driver."""
        self.chance = random.Random(f"{SEED} {folder.name}")
        self.kept: dict[str, tuple[bytes, list[str]]] = {}
        """Results at the first harm after they were written, and the attempts there were."""
        self.broken_off: Counter[str] = Counter()
        """How often the making of a pretrained state was broken off."""
        self.story: list[str] = []
        self.on_end = ExitStack()
        self._folder, self._data, self._database = folder, data, database
        self._drivers: list[Driver] = []
        (folder / "space.toml").write_text(space)

    @property
    def store(self) -> Store:
        return open_store(self.settings.store_address)

    def forget_tracking(self) -> None:
        """Put an empty MLflow database in the place of the one there is."""
        for path in self.settings.home.glob("mlflow.db*"):  # SQLite's own files beside it as well
            path.unlink()
        shutil.copyfile(self._database, self.settings.home / "mlflow.db")

    def record(self) -> StudyRecord:
        return load_study_record(self.store, NAME)

    def start(self, **variables: str) -> Driver:
        """Start the command line as a driver, with some more environment."""
        home, settings = self.settings.home, self.settings
        if not (home / "mlflow.db").exists():
            home.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._database, home / "mlflow.db")
        command = [*self.within, sys.executable, "-m", "ss3d", "search"]
        command += [str(self._folder / "space.toml")]
        command += ["--data", str(self._data), "--home", str(home), "--trials", str(self.trials)]
        command += ["--store", settings.store_address, "--slots", str(self.slots), "--resume"]
        tracking = {"SS3D_TRACKING": settings.tracking} if settings.tracking else {}
        with self._log(len(self._drivers)).open("wb") as log:
            driver = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **tracking, **variables},
            )
        self._drivers.append(driver)
        return driver

    def ends_with(self, driver: Driver, *codes: int) -> None:
        """Wait until a driver leaves by itself, and all of its family with it."""
        family: set[psutil.Process] = set()
        deadline = time.monotonic() + _PATIENCE_S
        while driver.poll() is None and time.monotonic() < deadline:
            family |= set(family_of(driver))
            time.sleep(0.1)
        log = self._log(self._drivers.index(driver)).read_text()
        ended = driver.returncode
        assert ended in codes, f"ended with {ended}, expected {codes}:\n{log[-3000:]}"
        check_gone(family)

    def wait_for(self, condition: Callable[[], object], driver: Driver) -> None:
        """Wait for something, or until the driver leaves."""
        deadline = time.monotonic() + _PATIENCE_S
        while driver.poll() is None and not condition():
            assert time.monotonic() < deadline
            time.sleep(_POLL_S)

    def wait_for_share(self, share: float, driver: Driver) -> None:
        """Wait until a share of all that the study will write is there."""
        self.wait_for(lambda: self.progress() >= share * self.total, driver)
        self.story.append(f"at {share:.2f}")

    def wait_for_chance(self, driver: Driver, lowest: float = 0.0, highest: float = 1.0) -> None:
        """Wait for a moment of chance."""
        self.wait_for_share(self.chance.uniform(lowest, highest), driver)

    def progress(self) -> int:
        """Return how many objects there are, without checkpoints, which come and go."""
        store = self.store
        keys = [*store.list(layout.study(NAME) + "/"), *store.list("pretrains/")]
        return sum("/checkpoints/" not in key and "/checkpoint/" not in key for key in keys)

    def signal(self, number: signal.Signals, process: Driver | psutil.Process) -> None:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)

    def kill(self, driver: Driver, others: Sequence[psutil.Process] = ()) -> None:
        """Kill a driver and some of its family at once, and wait until all of it is gone."""
        family = family_of(driver)
        for process in (driver, *others):
            self.signal(signal.SIGKILL, process)
        driver.wait()
        check_gone(family)
        self.note()

    def note(self) -> None:
        """Remember what must stay as it is from now on."""
        store = self.store
        for trial in self.record().trials:
            name = trial.spec.trial
            blob = store.get(layout.trial(NAME, name, "result.json"))
            if blob and name not in self.kept:
                self.kept[name] = (blob.data, attempts(store, layout.trial(NAME, name)))
        for key in pretrain_keys(store):
            if store.get(layout.pretrain(key, "manifest.json")) is None:
                self.broken_off[key] += 1
        self.story.append(f"{len(self.kept)} results")

    def close(self) -> None:
        """Let nothing of it live on."""
        for driver in self._drivers:
            if driver.poll() is None:
                family = family_of(driver)
                driver.kill()
                driver.wait()
                for process in psutil.wait_procs(family, timeout=10)[1]:
                    self.signal(signal.SIGKILL, process)
        self.on_end.close()

    def _log(self, number: int) -> Path:
        return self._folder / f"driver-{number}.log"


def family_of(driver: Driver) -> list[psutil.Process]:
    """Return Ray's processes of a driver."""
    try:
        return psutil.Process(driver.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def workers_of(driver: Driver) -> list[psutil.Process]:
    """Return the processes that train."""
    return [process for process in family_of(driver) if "Trainable" in _command(process)]


def raylet_of(driver: Driver) -> list[psutil.Process]:
    return [process for process in family_of(driver) if "raylet/raylet" in _command(process)]


def attempts(store: Store, prefix: str) -> list[str]:
    return [key for key in store.list(f"{prefix}/") if "/attempts/" in key]


def pretrain_keys(store: Store) -> set[str]:
    return {key.split("/")[2] for key in store.list("pretrains/")}


def check_gone(family: Collection[psutil.Process]) -> None:
    """Wait until a driver's family has ended after it.

    Ray's agents look for a raylet that was killed for a minute, train nothing, and end then.
    """
    awaited = [process for process in family if not _command(process).startswith(_AGENTS)]
    _, alive = psutil.wait_procs(awaited, timeout=60)
    assert not alive, f"left behind: {[_command(process) for process in alive]}"


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
