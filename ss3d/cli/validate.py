"""`ss3d validate`: whether a search space can be searched, and what that would cost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import track
from rich.text import Text

from ss3d.cli.opening import (
    DATA,
    DeviceOption,
    HomeOption,
    StoreOption,
    fetch_weights,
    open_prepared,
    pick_device,
)
from ss3d.cli.options import SlotsOption
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.cli.validate_tables import say_prediction, say_space
from ss3d.errors import ConfigError
from ss3d.settings import load_settings
from ss3d.store.layout import SHARED_KINDS

if TYPE_CHECKING:
    import torch

    from ss3d.data.dataset import Dataset
    from ss3d.report.predicted import Prediction
    from ss3d.settings import Settings
    from ss3d.study.planned import Planned
    from ss3d.study.space import Space
    from ss3d.study.suggestion import Suggestion
    from ss3d.trial.probe import Probe

SpaceFile = Annotated[
    Path, typer.Argument(help="Search space, e.g. search_spaces/quickstart.toml.")
]
_HOUR_S = 3600.0
_PROBING_S = 12.0
"""After so many seconds no other kind of configuration is measured."""


def validate(
    space: SpaceFile,
    data: Annotated[str | None, typer.Option(help=DATA)] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Measure some steps on --data and predict the cost.")
    ] = False,
    trials: Annotated[int | None, typer.Option(min=1, help="Number of trials.")] = None,
    slots: SlotsOption = None,
    device: DeviceOption = "auto",
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Check a search space; with --probe, predict time and disk, with and without sharing.

    A probe suggests [resources] too: by a trial's peak memory, how many share a GPU.
    The trials are those that the sampler would propose if it learned nothing.
    The prediction is kept in the store: `ss3d cost` compares it with what
    happened, and a search with a budget in hours begins with its speeds.

    Examples:
      ss3d validate search_spaces/paper.toml
      ss3d validate search_spaces/quickstart.toml --data demo --probe --slots 2
    """
    from ss3d.study.planned import plan
    from ss3d.study.sharing import count_shared, keyed_ranges
    from ss3d.study.space import load_space

    checked = load_space(space)
    shared = {kind: count_shared(checked, kind) for kind in SHARED_KINDS}
    planned = plan(checked, trials or checked.num_trials)
    value: dict[str, Any] = {
        "name": checked.name,
        "trials": len(planned),
        "parameters": [parameter.path for parameter in checked.parameters],
        "strata": list(checked.strata),
        **{f"{kind}s": count for kind, count in shared.items()},
        **{f"{kind}s_unbounded_by": keyed_ranges(checked, kind) for kind in SHARED_KINDS},
        "planned": _count(planned),
        "prediction": None,
        "suggestion": None,
        "budget": "",
    }
    prediction = None
    if probe:
        settings = load_settings(home=home, store=store)
        place = _Place(settings, _open(data), _device(checked, device))
        prediction = _predict(checked, planned, place, slots, quiet=as_json)
        value["prediction"] = prediction.model_dump() | {"spent_s": prediction.spent_s}
        value["suggestion"] = asdict(_suggest(planned, prediction, place.device))
        value["budget"] = _why_nothing(checked, prediction)
    emit(value, as_json, lambda: _say(checked, value, prediction))
    if value["budget"]:
        raise ConfigError(f"the budget allows no trial: {value['budget']}; raise [budget]")


@dataclass(frozen=True)
class _Place:
    """Where a probe runs."""

    settings: Settings
    dataset: Dataset
    device: torch.device


def _open(data: str | None) -> Dataset:
    if data is None:
        raise ConfigError("validate --probe: say on which data set, by --data")
    return open_prepared(data)


def _device(space: Space, name: str) -> torch.device:
    """Return the device that trials would use, if this machine has it."""
    if name == "auto" and not space.resources.gpus:
        name = "cpu"
    device = pick_device(name)
    if (device.type == "cuda") != (space.resources.gpus > 0):
        errors.print(
            Text(
                f"note: measured on {device}, but [resources] gives a trial "
                f"{space.resources.gpus:g} GPUs",
                style="yellow",
            )
        )
    return device


def _count(planned: Sequence[Planned]) -> dict[str, int]:
    """Return what can be said without training."""
    pretrains = {one.pretrain: one.config.pretrain.steps for one in planned}
    return {
        "pretrains": len(pretrains),
        "controls": len({one.control for one in planned if one.control}),
        "pretrain_steps": sum(pretrains.values()),
        "pretrain_steps_alone": sum(one.config.pretrain.steps for one in planned),
        "semi_steps": sum(one.config.semi.steps for one in planned if one.config.semi.enabled),
    }


def _predict(
    space: Space, planned: Sequence[Planned], place: _Place, slots: int | None, quiet: bool
) -> Prediction:
    """Measure, predict and keep the prediction; nothing is kept if it is interrupted."""
    from ss3d.report.predicted import prediction_key, write_prediction
    from ss3d.store.opening import open_store
    from ss3d.study.machine import fitting_slots
    from ss3d.study.planned import count_kinds
    from ss3d.study.prediction import predict
    from ss3d.study.room import slots_of

    kinds = count_kinds(planned)
    probes: dict[str, Probe] = {}
    started = time.monotonic()
    for kind, one in track(kinds.items(), "measuring", console=errors, disable=quiet):
        if not probes or time.monotonic() - started < _PROBING_S:
            probes[kind] = _measure(one, place)
    wanted = fitting_slots(space.resources, slots)
    pretrain_slots = slots_of("pretrain", space.resources)
    prediction = predict(planned, probes, wanted, place.device.type, pretrain_slots)
    store = open_store(place.settings.store_address)
    data_hash = place.dataset.manifest.content_hash
    key = prediction_key(space.text, data_hash, len(planned))
    write_prediction(store, key, prediction)
    return prediction


def _measure(one: Planned, place: _Place) -> Probe:
    from ss3d.data.loader import load_data
    from ss3d.trial.probe import probe

    settings = place.settings
    data = load_data(
        place.dataset,
        one.config.data,
        settings.cache_dir,
        place.device,
        limit_bytes=settings.cache_bytes,
    )
    return probe(one.config, data, fetch_weights(one.config, settings), place.device)


def _suggest(
    planned: Sequence[Planned], prediction: Prediction, device: torch.device
) -> Suggestion:
    import torch

    from ss3d.study.suggestion import suggest_resources

    is_gpu = device.type == "cuda"
    device_bytes = torch.cuda.get_device_properties(device).total_memory if is_gpu else 0
    return suggest_resources([one.config for one in planned], prediction.peak_bytes, device_bytes)


def _why_nothing(space: Space, prediction: Prediction) -> str:
    """Return why the budget allows no trial; empty if it allows one."""
    from ss3d.study.budget import Need, Spent, why_too_much

    pretrain_s = min(prediction.first_s, prediction.pretrain_s / prediction.pretrains)
    need = Need(prediction.first_s / _HOUR_S, _device_hours(space, prediction.first_s, pretrain_s))
    nothing = Spent(hours=0.0, device_hours=0.0, best=None, best_trial="", flat_for=0)
    return why_too_much(space.budget, nothing, need)


def _device_hours(space: Space, spent_s: float, pretrain_s: float) -> float:
    """Return hours of training, part of which is pretraining, times the devices of its jobs."""
    pretrain, trial = space.resources.of("pretrain").devices, space.resources.devices
    return (pretrain * pretrain_s + trial * (spent_s - pretrain_s)) / _HOUR_S


def _say(space: Space, value: Mapping[str, Any], prediction: Prediction | None) -> None:
    say_space(space, value)
    if prediction is not None:
        hours = _device_hours(space, prediction.spent_s, prediction.pretrain_s)
        say_prediction(prediction, f"{'GPU' if space.resources.gpus else 'CPU'}-hours {hours:.2g}")
        from ss3d.study.suggestion import Suggestion

        console.print(Text(str(Suggestion(**value["suggestion"]))), soft_wrap=True)
