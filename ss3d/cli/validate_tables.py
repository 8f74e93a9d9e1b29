"""How a search space and its predicted cost are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ss3d.cli.output import console
from ss3d.report.leaderboard import duration
from ss3d.store.layout import SHARED_KINDS

if TYPE_CHECKING:
    from ss3d.report.predicted import Prediction
    from ss3d.study.space import Space


def say_space(space: Space, value: Mapping[str, Any]) -> None:
    """Print what a search space varies, and what its trials share.

    Args:
        space: that was checked.
        value: what `ss3d validate --json` prints of it.
    """
    has_when = ["when"] if space.has_conditions else []
    title = f"{space.name}: {value['trials']} trials"
    table = Table("parameter", "range", *has_when, title=title)
    for parameter in space.parameters:
        conditions = [
            f"{path} = {' or '.join(map(str, values))}" for path, values in parameter.when.items()
        ]
        when = [" and ".join(conditions)] if has_when else []
        table.add_row(parameter.path, str(parameter.range), *when)
    console.print(table)
    for kind in SHARED_KINDS:
        for path in value[f"{kind}s_unbounded_by"]:
            text = f"{path} enters the key of a {kind}: every trial needs its own"
            console.print(Text(f"warning: {text}", style="yellow"))
    if len(space.strata) > 1:
        console.print(f"strata: {len(space.strata)}")
    for kind in SHARED_KINDS:
        count, planned = value[f"{kind}s"], value["planned"][f"{kind}s"]
        if count != 0:
            most = "one per trial" if count is None else f"at most {count}"
            console.print(f"{kind}s: {most}; about {planned} in {value['trials']} trials")


def say_prediction(prediction: Prediction, device_hours: str) -> None:
    """Print predicted times, device-hours and bytes.

    Args:
        prediction: from measured steps.
        device_hours: what all training occupies, in words.
    """
    from ss3d.report.predicted import size

    alone_s = prediction.alone_s + prediction.semi_s + prediction.control_s
    unstopped_s = prediction.spent_s + prediction.unstopped_s - prediction.semi_s
    plain_s = alone_s + prediction.unstopped_s - prediction.semi_s
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"predicted on {prediction.device}", no_wrap=True)
    table.add_column("training time", justify="right", no_wrap=True)
    for name, seconds in (
        (f"pretraining ({prediction.pretrains})", prediction.pretrain_s),
        (f"teacher-student ({prediction.trials})", prediction.semi_s),
        (f"controls ({prediction.controls})", prediction.control_s),
        ("all", prediction.spent_s),
        ("without sharing", alone_s),
        ("without stopping", unstopped_s),
        ("without both", plain_s),
    ):
        table.add_row(name, duration(seconds), style="bold" if name == "all" else None)
    console.print(table)
    for line in (
        f"{device_hours} · {duration(prediction.wall_s)} with {prediction.slots} at once "
        f"· {plain_s / prediction.spent_s:.1f} × less than without sharing and stopping",
        f"disk {size(prediction.total_bytes)}: {size(prediction.trial_bytes)} per trial, "
        f"{size(prediction.pretrain_bytes)} per pretraining, {size(prediction.control_bytes)} per "
        "control",
        f"measured {prediction.kinds_measured} of {prediction.kinds} kinds of configurations; "
        "taken for granted: full pretraining without patience, rungs that stop the share they aim "
        "at, trials that do not slow each other down",
    ):
        console.print(line, highlight=False, soft_wrap=True)
