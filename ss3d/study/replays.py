"""Variants of a finished study, each replayed and told in the same numbers as the study itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ss3d.errors import ConfigError
from ss3d.store.protocol import Store
from ss3d.study.nearest import Nearest
from ss3d.study.replayed import Summary, Values, as_it_ran, bests_of, finished_part, summarize
from ss3d.study.simulation import Chooser, InOrder, Simulation
from ss3d.study.space import Space, parse_space
from ss3d.study.toml_lines import TomlFile
from ss3d.study.variation import with_pruner, with_sampler, with_tables_of
from ss3d.trial.history import load_study_record
from ss3d.trial.records import StudyRecord


@dataclass(frozen=True)
class Variant:
    """What is different; None keeps what the study had."""

    sampler: str | None
    pruner: str | None
    slots: int

    def __str__(self) -> str:
        words = (self.sampler or "as proposed", self.pruner or "its pruner")
        return f"{', '.join(words)}, {self.slots} at once"


@dataclass(frozen=True)
class Recorded:
    """A finished study that can be replayed."""

    study: StudyRecord
    space: Space
    """Its own."""
    varied: Space
    """What variants with another sampler or pruner begin with: its own too, or that of a file."""
    original: Summary
    targets: Values
    num_trials: int
    """Budget of the variants."""

    def slots_of_gpus(self, gpus: int) -> int:
        """Return how many jobs run at once on so many GPUs.

        Raises:
            ConfigError: trials take no GPU, or more than these.
        """
        share = self.space.resources.gpus
        slots = int(gpus / share + 1e-9) if share else 0
        if slots < 1:
            raise ConfigError(
                f"--gpus: got {gpus}, a trial of this study takes {share:g} GPUs; use --slots"
            )
        return slots

    def replay(self, variant: Variant) -> Summary:
        """Return what would have come of a variant."""
        space = self.varied if variant.pruner or variant.sampler else self.space
        chooser: Chooser = InOrder(self.study.trials)
        if variant.pruner:
            space = with_pruner(space, variant.pruner)
        if variant.sampler:
            space = with_sampler(space, variant.sampler)
            chooser = Nearest(space, self.study.trials)
        simulation = Simulation(self.study, space, self.num_trials, variant.slots, chooser)
        outcome = simulation.run()
        return summarize(str(variant), outcome, self.study, space, self.targets)


def open_recorded(
    store: Store, name: str, space_file: Path | None, num_trials: int | None, target: float | None
) -> Recorded:
    """Read a finished study.

    Args:
        store: where it is.
        name: of the study.
        space_file: has the sampler, the pruner and the budget of the variants, if not the study.
        num_trials: budget of the variants; None takes all finished trials.
        target: value to reach in every stratum; None takes the best of each.

    Raises:
        ConfigError: there is no such study, or it has fewer trials than wanted.
        RefusedError: it has no finished trial.
    """
    study = finished_part(load_study_record(store, name))
    if num_trials is not None and num_trials > len(study.trials):
        raise ConfigError(
            f"--trials: got {num_trials}, study {name} has {len(study.trials)} finished trials"
        )
    file = TomlFile(study.spec["space"], f"study.json of {name}")
    space = parse_space(file, name, study.spec["seed"])
    objective = space.objective
    ran = as_it_ran(study, store)
    targets = {
        stratum: end.result.values[objective.metric] if target is None else target
        for stratum, end in bests_of(ran, objective).items()
    }
    varied = with_tables_of(space, space_file) if space_file else space
    most = min(varied.num_trials, len(study.trials)) if space_file else len(study.trials)
    return Recorded(
        study=study,
        space=space,
        varied=varied,
        original=summarize("as it ran", ran, study, space, targets),
        targets=targets,
        num_trials=num_trials or most,
    )
