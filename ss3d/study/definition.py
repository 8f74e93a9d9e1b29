"""study.json: what a study is, written once; and its budget, which may grow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ss3d
from ss3d.config import canonical_json
from ss3d.data.dataset import open_dataset
from ss3d.errors import ConfigError, ConflictError, RefusedError
from ss3d.store import layout
from ss3d.store.opening import open_store
from ss3d.store.protocol import Store
from ss3d.study.machine import check_fits, why_crowded
from ss3d.study.soundness import late_teacher, unlearned
from ss3d.study.space import Space, load_space
from ss3d.study.stored import stored_space
from ss3d.study.toml_lines import TomlFile
from ss3d.study.warm import copy_trials, read_trials
from ss3d.trial.history import load_study_spec, read_budget
from ss3d.trial.records import SCHEMA, TrialRecord
from ss3d.trial.spec import describe_code

_TABLES = ("base", "parameters", "sampler", "pruner", "resources")


@dataclass(frozen=True)
class Request:
    """What the user asks of a search; None where the file or the study decides."""

    space: Path | None = None
    data: str | None = None
    name: str | None = None
    trials: int | None = None
    seed: int | None = None
    slots: int | None = None
    resume: bool = False
    warm_from: tuple[str, ...] = ()
    """Earlier studies that the sampler learns from."""


@dataclass(frozen=True)
class Study:
    """A study that is defined in the store."""

    name: str
    spec: dict[str, Any]
    """study.json."""
    space: Space
    data: str
    """Address of the data set, now."""
    target: int
    """Number of trials in the budget."""
    warm: tuple[TrialRecord, ...] = ()
    """Trials of earlier studies that the sampler learns from."""
    notes: tuple[str, ...] = ()
    """What the user should know."""


def define_study(store: Store, request: Request, is_local: bool = True) -> Study:
    """Write a new study's study.json, or read that of the one to resume if there is one.

    Args:
        store: where studies are.
        request: what the user asks.
        is_local: whether the trials will run on this machine: then one must fit before the name
            is taken.

    Raises:
        ConfigError: the space or the request is not valid, or there is nothing to resume.
        RefusedError: the name is taken, or the study was made with other data or another space.
        DataError: the data set cannot be used.
    """
    if request.resume and not _can_begin(store, request):
        return _resume(store, request)
    return _create(store, request, is_local)


def _can_begin(store: Store, request: Request) -> bool:
    """Return whether there is nothing to resume yet and all that a beginning needs.

    So one command, with `--resume`, begins a study and goes on with it as often as needed.
    """
    if request.space is None or request.data is None:
        return False
    name = layout.check_study_name(request.name or load_space(request.space).name)
    return store.get(layout.study(name, "study.json")) is None


def _create(store: Store, request: Request, is_local: bool) -> Study:
    if request.space is None or request.data is None:
        raise ConfigError("search: a new study needs SPACE and --data")
    space = load_space(request.space, request.seed)
    if is_local:
        check_fits(space.resources)
    name = layout.check_study_name(request.name or space.name)
    taken = RefusedError(
        f"study {name}: the name is taken; go on with it by --resume or choose another --name"
    )
    if store.get(layout.study(name, "study.json")) is not None:
        raise taken
    target = _within(space, request.trials or space.num_trials)
    data = open_store(request.data)
    manifest = open_dataset(data).manifest
    tree = TomlFile(space.text, str(request.space)).tree
    spec = {
        "schema": SCHEMA,
        "name": name,
        "description": space.description,
        "confirms": space.confirms,
        "seed": space.seed,
        **{table: tree.get(table, {}) for table in _TABLES},
        "arms": tree.get("arms", []),
        "points": tree.get("points", []),
        "warm": copy_trials(store, name, space, manifest.content_hash, request.warm_from),
        **space.objectives.as_spec(),
        "sampler": space.sampler.model_dump(),
        "pruner": space.pruner.model_dump(),
        "strata": tree.get("strata", []),
        "replicates": space.design.replicates,
        "controls": space.controls,
        "budget": {**space.budget.model_dump(exclude_none=True), "trials": target},
        "data": {
            "name": manifest.name,
            "address": data.address,
            "content_hash": manifest.content_hash,
        },
        "space": space.text,
        "code": describe_code(),
        "created_at": time.time(),
    }
    try:
        store.put_new(layout.study(name, "study.json"), canonical_json(spec).encode())
    except ConflictError as error:
        raise taken from error
    warm = read_trials(store, name, spec)
    return Study(name, spec, space, data.address, target, warm, _notes(space, target))


def _resume(store: Store, request: Request) -> Study:
    name = request.name or (load_space(request.space).name if request.space else None)
    if name is None:
        raise ConfigError("search --resume: say which study by --name or SPACE")
    spec = load_study_spec(store, name)
    file = _sealed_file(name, spec)
    if request.space and TomlFile.read(request.space).tree != file.tree:
        raise RefusedError(
            f"study {name} was made with another search space than {request.space} is now; "
            "start a new study by --name, or resume without SPACE"
        )
    if request.seed not in (None, spec["seed"]):
        raise RefusedError(f"study {name} has seed {spec['seed']}; a study is immutable")
    learned = [known["study"] for known in spec.get("warm", [])]
    if request.warm_from and set(request.warm_from) != set(learned):
        raise RefusedError(
            f"study {name} learns from {', '.join(learned) or 'no other study'}; it is immutable"
        )
    data = request.data or spec["data"]["address"]
    content_hash = open_dataset(open_store(data)).manifest.content_hash
    if content_hash != spec["data"]["content_hash"]:
        raise RefusedError(
            f"study {name} was made with data {spec['data']['content_hash'][:12]}…, {data} is "
            f"{content_hash[:12]}…; resume it with its own data"
        )
    with _of_its_version(name, spec):
        space = stored_space(spec)
    target = read_budget(store, name, spec)
    notes = _notes(space, target)
    if spec["code"] != describe_code():
        notes += ("the code or its versions changed since the study began; its keys are kept",)
    return Study(name, spec, space, data, target, read_trials(store, name, spec), notes)


def _sealed_file(name: str, spec: Mapping[str, Any]) -> TomlFile:
    """Return the search space that a study was made with.

    Raises:
        RefusedError: study.json lacks what a resume needs, or cannot be read.
    """
    missing = [key for key in ("space", "seed", "data", "code", "budget") if key not in spec]
    if missing:
        raise RefusedError(
            f"study {name} cannot be resumed: its study.json has no {', '.join(missing)}; "
            f"resume it with the ss3d that made it{_made_by(spec)}, or start a new study"
        )
    with _of_its_version(name, spec):
        return TomlFile(spec["space"], f"study.json of {name}")


@contextmanager
def _of_its_version(name: str, spec: Mapping[str, Any]) -> Iterator[None]:
    """Refuse a search space that this ss3d cannot read any more, or not yet."""
    try:
        yield
    except ConfigError as error:
        raise RefusedError(
            f"study {name} cannot be resumed: this ss3d ({ss3d.__version__}) cannot read the "
            f"search space that the study was made with{_made_by(spec)}: {error}; resume it with "
            "the ss3d that made it, or start a new study"
        ) from error


def _made_by(spec: Mapping[str, Any]) -> str:
    """Return the version of ss3d that made a study, in brackets; empty if it is not known."""
    version = spec.get("code", {}).get("versions", {}).get("ss3d")
    return f" (by {version})" if version else ""


def extend_budget(store: Store, study: Study, wanted: int | None) -> Study:
    """Write a larger budget, if it is one; only the holder of the study's lease may.

    Raises:
        RefusedError: it is smaller than what holds.
    """
    target = read_budget(store, study.name, study.spec)
    if wanted is None or wanted == target:
        return replace(study, target=target)
    if wanted < target:
        raise RefusedError(f"study {study.name} has a budget of {target} trials; it can only grow")
    if wanted != _within(study.space, wanted):
        raise RefusedError(f"study {study.name}: its grid has {study.space.most_trials} trials")
    number = 2 + len(list(store.list(layout.study(study.name, "budget") + "/")))
    data = canonical_json({"schema": SCHEMA, "trials": wanted}).encode()
    store.put_new(layout.study(study.name, "budget", f"{number:04d}.json"), data)
    return replace(study, target=wanted)


def _within(space: Space, trials: int) -> int:
    """Return a number of trials, or that of the whole grid if it is smaller."""
    return trials if space.most_trials is None else min(trials, space.most_trials)


def _left_points(space: Space, target: int) -> str | None:
    """Return a note if the budget ends before the last of the points."""
    beyond = range(target, target + len(space.strata) * len(space.points))
    if not any(space.point(number) for number in beyond):
        return None
    return f"the budget of {target} trials ends before the last of [[points]]"


def _notes(space: Space, target: int) -> tuple[str, ...]:
    notes = (
        late_teacher(space.base, space.parameters),
        unlearned(space.sampler, space.parameters, target // len(space.strata)),
        _left_points(space, target),
        why_crowded(space.resources, space.base.numerics.threads),
    )
    return tuple(note for note in notes if note)
