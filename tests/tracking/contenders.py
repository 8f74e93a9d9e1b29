"""Promotions in processes of their own: some are killed, some meet at the ledger."""

import os
import signal
import sys
import warnings
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

from mlflow import MlflowClient

from ss3d.errors import RefusedError
from ss3d.settings import Settings
from ss3d.store.directory import DirectoryStore
from ss3d.tracking.registry import promote
from ss3d.tracking.rollback import roll_back

STEPS = (
    "version registered", "alias candidate", "measurements kept", "ledger entry",
    "alias previous", "alias champion", "candidate no more",
)  # fmt: skip
COMMIT = STEPS.index("ledger entry")


def promote_and_die(home: Path, trial: str, step: int) -> None:
    """Promote a trial of `demo` to `chairs`; SIGKILL right after a step, counted from 0."""
    warnings.simplefilter("ignore")
    done = 0

    def then_die(owner: type, name: str, counts: Callable[[str], bool]) -> None:
        original = getattr(owner, name)

        def call(self: object, key: str, *args: object, **kwargs: object) -> object:
            nonlocal done
            result = original(self, key, *args, **kwargs)
            if counts(key):
                if done == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                done += 1
            return result

        setattr(owner, name, call)

    for method in (
        "create_model_version", "set_registered_model_alias", "delete_registered_model_alias",
    ):  # fmt: skip
        then_die(MlflowClient, method, lambda _: True)
    then_die(DirectoryStore, "put_new", lambda key: key.startswith("registry/"))
    settings = Settings(home=home)
    promote(DirectoryStore(Path(settings.store_address)), settings, "demo", trial, "chairs")


def contend(home: Path, trial: str | None, line: Barrier) -> None:
    """Promote a trial, or roll back, with all others at the ledger; exit code 5 for losers."""
    warnings.simplefilter("ignore")

    class Together(DirectoryStore):
        def put_new(self, key: str, data: bytes) -> str:
            if "/ledger/" in key:
                line.wait(100)
            return super().put_new(key, data)

    settings = Settings(home=home)
    store = Together(Path(settings.store_address))
    try:
        if trial is None:
            roll_back(store, settings, "chairs")
        else:
            promote(store, settings, "demo", trial, "chairs")
    except RefusedError as error:
        sys.exit(error.exit_code)
