"""Between any two steps of a promotion there is a SIGKILL; and several come at once."""

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.context import ForkServerContext

import pytest
from contenders import COMMIT, STEPS, contend, promote_and_die
from tracking_records import make_trial

from ss3d.settings import Settings
from ss3d.store.directory import DirectoryStore
from ss3d.tracking.champions import history
from ss3d.tracking.ledger import read_ledger
from ss3d.tracking.registry import promote

_PRELOADED = (
    "ss3d.tracking.registry",
    "mlflow.pyfunc", "mlflow.models", "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store", "matplotlib.figure", "pandas",
)  # fmt: skip
"""What a promotion imports on its way."""


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes that start in no time: their server has imported all that they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    return context


@pytest.mark.slow
def test_a_kill_between_any_two_steps_leaves_the_old_champion_or_the_new_one(
    settings: Settings,
    store: DirectoryStore,
    put_trial: Callable[..., None],
    processes: ForkServerContext,
) -> None:
    for number in range(len(STEPS) + 1):
        put_trial(make_trial(number, "complete"))
    promote(store, settings, "demo", "t00000", "chairs")
    for step, name in enumerate(STEPS):
        before, entries = history(store, settings, "chairs"), read_ledger(store, "chairs").entries
        trial = f"t{step + 1:05d}"
        process = processes.Process(target=promote_and_die, args=(settings.home, trial, step))
        process.start()
        process.join(100)
        assert process.exitcode == -signal.SIGKILL, name
        after = history(store, settings, "chairs")
        aliases = {a: v for a, v in after["aliases"].items() if a != "candidate"}
        version = after["versions"][-1]["version"]
        assert after["versions"][-1]["origin"] == f"demo/{trial}", name
        if step < COMMIT:
            assert aliases == {a: v for a, v in before["aliases"].items() if a != "candidate"}, name
            assert read_ledger(store, "chairs").entries == entries, name
            assert after["repaired"] == [], name
        else:
            old = before["aliases"]["champion"]
            assert aliases == {"champion": version, "previous": old}, name
            assert "candidate" not in after["aliases"], name
            assert [entry.trial for entry in read_ledger(store, "chairs").entries[-1:]] == [trial]
            assert bool(after["repaired"]) == (step < len(STEPS) - 1), name
        assert history(store, settings, "chairs")["repaired"] == [], name


@pytest.mark.slow
def test_of_two_promotions_and_a_rollback_at_once_exactly_one_wins(
    settings: Settings,
    store: DirectoryStore,
    put_trial: Callable[..., None],
    processes: ForkServerContext,
) -> None:
    for number in range(4):
        put_trial(make_trial(number, "complete"))
    for number in range(2):
        promote(store, settings, "demo", f"t{number:05d}", "chairs")
    rivals = ["t00002", "t00003", None]
    line = processes.Barrier(len(rivals))
    started = [
        processes.Process(target=contend, args=(settings.home, trial, line)) for trial in rivals
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(100)
    assert sorted(process.exitcode for process in started) == [0, 5, 5]
    winner = rivals[[process.exitcode for process in started].index(0)]
    ledger = read_ledger(store, "chairs")
    assert (ledger.number, len(ledger.entries)) == (3, 3)
    assert ledger.head.action == ("promote" if winner else "rollback")
    assert ledger.head.trial == (winner or "t00000")
    found = history(store, settings, "chairs")
    aliases = {alias: v for alias, v in found["aliases"].items() if alias != "candidate"}
    assert aliases == {"champion": ledger.head.version, "previous": 2}
    assert found["repaired"] == []
