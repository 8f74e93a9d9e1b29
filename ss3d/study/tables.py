"""The tables of a search space file, as they may be written."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from ss3d.study.job import JobKind


class Table(BaseModel):
    """Base of all tables of the file: frozen, unknown keys forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Probability = Annotated[float, Field(ge=0, le=1)]


class StudyTable(Table):
    """`[study]`."""

    name: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    replicates: Annotated[int, Field(ge=1, le=1000)] = 1
    description: str = ""
    confirms: str = ""


class Objective(Table):
    """`[objective]` or `[[objective]]`: what the sampler is told and rungs compare."""

    metric: str = "val/cd_l1"
    direction: Literal["minimize", "maximize"] = "minimize"


class Constraint(Table):
    """`[[constraints]]`: the bounds of a metric; a trial beyond them is infeasible."""

    metric: str
    least: Annotated[float | None, Field(allow_inf_nan=False)] = None
    most: Annotated[float | None, Field(allow_inf_nan=False)] = None


class Tpe(Table):
    """`[sampler] name = "tpe"`: Optuna's tree-structured Parzen estimator."""

    name: Literal["tpe"] = "tpe"
    n_startup_trials: Annotated[int, Field(ge=1)] = 10
    n_ei_candidates: Annotated[int, Field(ge=1)] = 24
    multivariate: bool = True
    constant_liar: bool = True
    group: bool | None = None
    """Model parameters that are active together; default: where there are conditions."""


class Random(Table):
    """`[sampler] name = "random"`."""

    name: Literal["random"]


class Gp(Table):
    """`[sampler] name = "gp"`: a Gaussian process; learns from complete trials only."""

    name: Literal["gp"]
    n_startup_trials: Annotated[int, Field(ge=1)] = 10
    deterministic_objective: bool = False


class Genetic(Table):
    """What the two genetic algorithms share; generations are of complete trials only."""

    population_size: Annotated[int, Field(ge=3)] = 50
    crossover: Literal["uniform", "blxalpha", "sbx", "spx", "undx", "vsbx"] = "uniform"
    crossover_prob: Probability = 0.9
    swapping_prob: Probability = 0.5
    mutation: Literal["random", "polynomial"] = "random"
    mutation_prob: Probability | None = None
    """Of each parameter; by default one of a trial's parameters mutates on average."""


class Nsga2(Genetic):
    """`[sampler] name = "nsgaii"`."""

    name: Literal["nsgaii"]


class Nsga3(Genetic):
    """`[sampler] name = "nsgaiii"`: NSGA-II with reference points instead of crowding."""

    name: Literal["nsgaiii"]
    dividing_parameter: Annotated[int, Field(ge=1)] = 3


class Qmc(Table):
    """`[sampler] name = "qmc"`: a sequence that fills the space evenly."""

    name: Literal["qmc"]
    qmc_type: Literal["sobol", "halton"] = "sobol"
    scramble: bool = True


class Grid(Table):
    """`[sampler] name = "grid"`: every combination once."""

    name: Literal["grid"]


class Asha(Table):
    """`[pruner] name = "asha"`: asynchronous successive halving on teacher-student epochs."""

    name: Literal["asha"] = "asha"
    first_rung: Annotated[int | None, Field(ge=1)] = None
    reduction_factor: Annotated[int, Field(ge=2)] = 3


class Hyperband(Table):
    """`[pruner] name = "hyperband"`: successive halving in brackets with other first rungs."""

    name: Literal["hyperband"]
    first_rung: Annotated[int | None, Field(ge=1)] = None
    reduction_factor: Annotated[int, Field(ge=2)] = 3


class Median(Table):
    """`[pruner] name = "median"`: stop what is worse than the median of complete trials."""

    name: Literal["median"]
    first_rung: Annotated[int | None, Field(ge=1)] = None
    min_trials: Annotated[int, Field(ge=1)] = 5


class Patience(Table):
    """`[pruner] name = "patience"`: stop what has not become better for some epochs."""

    name: Literal["patience"]
    first_rung: Annotated[int | None, Field(ge=1)] = None
    epochs: Annotated[int, Field(ge=1)] = 5
    min_delta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class Paired(Table):
    """`[pruner] name = "paired"`: stop what is worse than the best trial, model by model."""

    name: Literal["paired"]
    first_rung: Annotated[int | None, Field(ge=1)] = None
    factor: Annotated[int, Field(ge=2)] = 2
    min_trials: Annotated[int, Field(ge=2)] = 5
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05


class NoPruner(Table):
    """`[pruner] name = "none"`."""

    name: Literal["none"]


Sampler = Tpe | Random | Gp | Nsga2 | Nsga3 | Qmc | Grid
Pruner = Asha | Hyperband | Median | Patience | Paired | NoPruner


Hours = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Budget(Table):
    """`[budget]`: the search ends with the first of these."""

    trials: Annotated[int | None, Field(ge=1)] = None
    hours: Hours | None = None
    device_hours: Hours | None = None
    target: Annotated[float | None, Field(allow_inf_nan=False)] = None
    plateau: Annotated[int | None, Field(ge=1)] = None

    @property
    def is_timed(self) -> bool:
        """Return whether hours of any kind are limited."""
        return self.hours is not None or self.device_hours is not None


TYPE = "accelerator_type:"
"""Ray gives a node with GPUs a resource of this and their type."""
_LABEL_SHARE = 0.001
"""Of a resource that only says what a node is; as Ray does."""


def _whole_or_share(gpus: float) -> float:
    if gpus > 1 and gpus != int(gpus):
        raise ValueError("whole GPUs, or a share of one")
    return gpus


Cpus = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Gpus = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(_whole_or_share)]


class Share(Table):
    """`[resources.pretrain]`: what one pretraining occupies; by default as much as a trial."""

    cpus: Cpus | None = None
    gpus: Gpus | None = None


class Resources(Table):
    """`[resources]`: what one trial occupies and where, and how many run at once."""

    cpus: Cpus = 1.0
    gpus: Gpus = 0.0
    pretrain: Share = Share()
    accelerator: Annotated[str | None, Field(pattern=r"^[\w.-]+$")] = None
    """Type of the GPUs as Ray names it; other nodes get no trial."""
    max_concurrent: Annotated[int | None, Field(ge=1)] = None

    @field_validator("pretrain")
    @classmethod
    def _on_the_same_devices(cls, pretrain: Share, info: ValidationInfo) -> Share:
        gpus = info.data.get("gpus")
        if None not in (gpus, pretrain.gpus) and (gpus == 0) != (pretrain.gpus == 0):
            raise ValueError(f"gpus above 0 where a trial's are, and 0 where they are: {gpus:g}")
        return pretrain

    @property
    def devices(self) -> float:
        """Return the GPUs, or without any the CPUs, as budgets count them."""
        return self.gpus or self.cpus

    def of(self, kind: JobKind) -> Self:
        """Return what a job occupies: pretrainings may have a share of their own."""
        own = self.pretrain.model_dump(exclude_none=True) if kind == "pretrain" else {}
        return self.model_copy(update=own)

    def as_bundle(self) -> dict[str, float]:
        """Return what one job occupies, in Ray's words."""
        return {"CPU": self.cpus, "GPU": self.gpus} | dict.fromkeys(self.labels, _LABEL_SHARE)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the resources that a node must have, however much of them."""
        return (f"{TYPE}{self.accelerator}",) if self.accelerator else ()


class Tables(Table):
    """The whole file; `base`, `arms`, `points` and `parameters` are read by hand, path by path."""

    study: StudyTable = StudyTable()
    objective: Annotated[list[Objective], Field(min_length=1)] = [Objective()]
    constraints: list[Constraint] = []
    sampler: Annotated[Sampler, Field(discriminator="name")] = Tpe()
    pruner: Annotated[Pruner, Field(discriminator="name")] = Asha()
    budget: Budget = Budget()
    resources: Resources = Resources()
    strata: list[str] = []
    controls: bool = False
    arms: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    base: dict[str, Any] = {}
    parameters: dict[str, dict[str, Any]] = {}
