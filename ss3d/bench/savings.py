"""What sharing and stopping save, measured: the same study searched in several ways.

Nothing is taken from a formula but the ceilings that are printed beside. Every finished search is
kept as a file, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ss3d.bench.cell import Cell, Ended, ended_trials
from ss3d.bench.shape import HEADS, RATIOS, Pruner, Sampler, Shape
from ss3d.data.dataset import open_dataset
from ss3d.errors import OutcomeError, RefusedError
from ss3d.settings import Settings
from ss3d.store.opening import open_store
from ss3d.study.definition import Request
from ss3d.study.driver import Watcher, search
from ss3d.study.environment import prepare_environment
from ss3d.study.live import Snapshot, num_ended
from ss3d.study.space import Space, load_space
from ss3d.study.tables import Resources
from ss3d.trial.history import load_study_record
from ss3d.trial.spec import code_version

_STUDY = "savings"
_MORE = 2
"""How many times more trials the second table has."""


@dataclass(frozen=True)
class Way:
    """One way to search."""

    name: str
    label: str
    shares: bool
    """Pretrained states: then ss3d searches, else Ray Tune does."""
    stops: bool
    learns: bool
    """Values are proposed by TPE, not at random."""

    @property
    def sampler(self) -> Sampler:
        """Return what proposes values."""
        return "tpe" if self.learns else "random"

    @property
    def pruner(self) -> Pruner:
        """Return what decides who goes on."""
        return "asha" if self.stops else "none"


PLAIN = Way("plain", "Tune random", shares=False, stops=False, learns=False)
BOTH = Way("both", "ss3d both", shares=True, stops=True, learns=False)
WAYS = (
    PLAIN,
    Way("stopping", "Tune random, ASHA", shares=False, stops=True, learns=False),
    Way("sharing", "ss3d sharing", shares=True, stops=False, learns=False),
    BOTH,
    Way("learning", "ss3d both, TPE", shares=True, stops=True, learns=True),
    Way("peer", "Tune Optuna, ASHA", shares=False, stops=True, learns=True),
)
"""The first is what the others are compared with. The first four try the same random values, so
that they differ in sharing and stopping alone; the last two learn from what was tried."""


@dataclass(frozen=True)
class Table:
    """A shape, and the ways it is searched."""

    shape: Shape
    ways: tuple[Way, ...]
    goal: float
    """How many times less training `BOTH` shall need than `PLAIN`."""


def tables(num_trials: int, is_quick: bool) -> tuple[Table, Table]:
    """Return the two tables of the benchmark.

    Args:
        num_trials: of the first; the second has twice as many over a third of the keys.
        is_quick: fewer steps, no peers, and nothing to prove.
    """
    goals = (1.0, 1.0) if is_quick else (3.5, 6.0)
    first = Shape(num_trials, is_quick=is_quick)
    second = Shape(_MORE * num_trials, RATIOS[-1:], HEADS, is_quick)
    ways = WAYS[:4] if is_quick else WAYS
    return Table(first, ways, goals[0]), Table(second, (PLAIN, BOTH), goals[1])


@dataclass(frozen=True)
class Bench:
    """Where and with what searches are measured.

    Args:
        folder: of all files: spaces, stores, and one JSON file per finished search.
        data: address of the data set.
        slots: trials at once, in every way.
    """

    folder: Path
    data: str
    slots: int

    def measure(
        self,
        table: Table,
        seeds: Sequence[int],
        on_search: Callable[[Way, int, int], None] = lambda way, seed, ended: None,
    ) -> list[Cell]:
        """Search in every way with every seed; what an earlier run finished is read.

        Args:
            table: what to search in which ways.
            seeds: of the studies.
            on_search: called with a way, its seed, and how many of its trials ended.

        Raises:
            OutcomeError: a trial failed.
            RefusedError: the folder has a search of other data, slots, code or space.
        """
        return list(self._cells(table, seeds, on_search))

    def _cells(
        self, table: Table, seeds: Sequence[int], on_search: Callable[[Way, int, int], None]
    ) -> Iterator[Cell]:
        for seed in seeds:
            for way in table.ways:
                on_search(way, seed, 0)
                yield self._cell(table.shape, way, seed, on_search)
                on_search(way, seed, table.shape.num_trials)

    def _cell(
        self, shape: Shape, way: Way, seed: int, on_search: Callable[[Way, int, int], None]
    ) -> Cell:
        """Read a search that was finished under the same conditions, or search."""
        path = self.folder / "searches" / shape.name / f"{way.name}-{seed}.json"
        text = shape.space(seed, way.sampler, way.pruner)
        conditions: dict[str, str | int] = {
            "data": open_dataset(open_store(self.data)).manifest.content_hash,
            "slots": self.slots,
            "code": code_version(),
            "space": text,
        }
        if path.exists():
            cell = Cell.from_json(path.read_bytes())
            other = [name for name, of in conditions.items() if cell.conditions.get(name) != of]
            if other:
                raise RefusedError(
                    f"{path} was measured with other {', '.join(other)}; choose another --output"
                )
            return cell
        cell = self._search(shape, way, seed, conditions, on_search)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".new").write_bytes(cell.to_json())
        path.with_suffix(".new").replace(path)
        return cell

    def _search(
        self,
        shape: Shape,
        way: Way,
        seed: int,
        conditions: dict[str, str | int],
        on_search: Callable[[Way, int, int], None],
    ) -> Cell:
        """Search once, with a store of its own: nothing is shared between ways and seeds."""
        home = self.folder / "homes" / shape.name / f"{way.name}-{seed}"
        if home.exists():
            shutil.rmtree(home)  # of a run that was interrupted: its wall clock is lost
        home.mkdir(parents=True)
        settings = Settings(home=home, cache=self.folder / "cache")
        path = home / f"{_STUDY}.toml"
        path.write_text(str(conditions["space"]))
        space = load_space(path)
        started = time.perf_counter()

        def on_end(ended: int) -> None:
            on_search(way, seed, ended)

        if way.shares:
            trials, num_pretrains = self._search_with_ss3d(path, settings, on_end)
        else:
            trials = self._search_with_tune(space, way, settings, on_end)
            num_pretrains = sum(trial.pretrain_s > 0 for trial in trials)
        return Cell(
            way=way.name,
            seed=seed,
            conditions=conditions,
            num_epochs=space.base.semi.epochs,
            num_pretrains=num_pretrains,
            wall_s=time.perf_counter() - started,
            trials=trials,
        )

    def _search_with_ss3d(
        self, space: Path, settings: Settings, on_end: Callable[[int], None]
    ) -> tuple[tuple[Ended, ...], int]:
        """Search as `ss3d search` does, without MLflow, and read the store."""

        def on_update(snapshot: Snapshot) -> None:
            on_end(num_ended(snapshot))

        request = Request(space=space, data=self.data, name=_STUDY, slots=self.slots)
        snapshot = search(request, settings, None, Watcher(on_update=on_update))
        if failed := snapshot.counts.get("failed", 0):
            raise OutcomeError(f"{failed} trials of {settings.home} failed; `ss3d trials` says why")
        record = load_study_record(open_store(settings.store_address), _STUDY)
        return ended_trials(record), len(record.shared)

    def _search_with_tune(
        self, space: Space, way: Way, settings: Settings, on_end: Callable[[int], None]
    ) -> tuple[Ended, ...]:
        prepare_environment(settings.home)
        from ss3d.bench.plain_tune import Plain, search_plainly  # Ray reads it at import
        from ss3d.study.session import ray_session

        resources = Resources(max_concurrent=self.slots)
        plain, data = Plain(way.stops, way.learns), open_store(self.data).address
        with ray_session(settings, resources, self.slots):
            return search_plainly(
                replace(space, resources=resources), plain, data, settings.cache_dir, on_end
            )
