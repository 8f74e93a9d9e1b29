"""What a launch was predicted to cost, kept in the store, and what it did cost."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ss3d.config import fingerprint
from ss3d.report.cost import Cost
from ss3d.report.leaderboard import duration
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.trial.records import Record

if TYPE_CHECKING:
    from rich.table import Table

_UNITS = ("B", "kB", "MB", "GB", "TB")
_THOUSAND = 1000


class Prediction(Record):
    """What a study will cost: sums over all its trials, with sharing and stopping."""

    trials: int
    pretrains: int
    controls: int
    pretrain_s: float
    semi_s: float
    control_s: float
    alone_s: float
    """Pretraining if every trial did it by itself."""
    unstopped_s: float
    """Teacher-student phases if none were stopped."""
    pretrain_epoch_s: float
    """Mean seconds of an epoch, as `semi_epoch_s`."""
    semi_epoch_s: float
    first_s: float
    """Of the cheapest trial, with its pretraining."""
    wall_s: float
    slots: int
    trial_bytes: int
    """Of one trial, as the next."""
    pretrain_bytes: int
    control_bytes: int
    total_bytes: int
    device: str
    """Kind that it was measured on: cpu or cuda."""
    kinds_measured: int
    """Kinds of configurations that cost differently; the others count with the mean of these."""
    kinds: int
    peak_bytes: int = 0
    """Of a GPU's memory, of the kind that needs most; 0 if none was measured on one."""

    @property
    def spent_s(self) -> float:
        """Return the training seconds of everything."""
        return self.pretrain_s + self.semi_s + self.control_s


@dataclass(frozen=True)
class Compared:
    """One quantity, predicted and as it was."""

    name: str
    predicted: float
    actual: float

    @property
    def ratio(self) -> float | None:
        """Return actual over predicted; None if nothing was predicted."""
        return self.actual / self.predicted if self.predicted > 0 else None


def prediction_key(space: str, data_hash: str, trials: int) -> str:
    """Return where the prediction for a search space, a data set and a budget is kept.

    Args:
        space: TOML text; comments and layout do not matter.
        data_hash: of the data set.
        trials: number of trials in the budget.
    """
    identity = {"space": tomllib.loads(space), "data": data_hash, "trials": trials}
    return layout.prediction(fingerprint(identity))


def read_prediction(store: Store, spec: Mapping[str, Any]) -> Prediction | None:
    """Return what was predicted for a study before it began, or None.

    Args:
        store: where predictions are kept.
        spec: study.json.

    Raises:
        CheckpointError: the prediction is damaged.
    """
    if "space" not in spec:
        return None
    data_hash, trials = spec["data"]["content_hash"], int(spec["budget"]["trials"])
    blob = store.get(prediction_key(spec["space"], data_hash, trials))
    return Prediction.from_json(blob.data) if blob else None


def write_prediction(store: Store, key: str, prediction: Prediction) -> None:
    """Keep a prediction; the newest counts."""
    blob = store.get(key)
    if blob is None:
        store.put_new(key, prediction.to_json())
    else:
        store.put_if(key, prediction.to_json(), blob.version)


def compare_with_cost(prediction: Prediction, cost: Cost, num_bytes: int) -> list[Compared]:
    """Return each quantity beside what happened.

    Args:
        prediction: from before the launch.
        cost: of the whole study.
        num_bytes: of the study, and of the pretrained states and controls that it made.
    """
    return [
        Compared("pretrain_s", prediction.pretrain_s, cost.pretrain_s),
        Compared("semi_s", prediction.semi_s, cost.semi_s),
        Compared("control_s", prediction.control_s, cost.control_s),
        Compared("spent_s", prediction.spent_s, cost.spent_s),
        Compared("bytes", prediction.total_bytes, num_bytes),
    ]


def compared_table(compared: list[Compared], device: str) -> Table:
    """Return the comparison for the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    names = {
        "pretrain_s": "pretraining",
        "semi_s": "teacher-student",
        "control_s": "controls",
        "spent_s": "spent",
        "bytes": "disk",
    }
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"predicted on {device}", no_wrap=True)
    for name in ("predicted", "actual", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in compared:
        show = size if one.name == "bytes" else duration
        ratio = "–" if one.ratio is None else f"{one.ratio:.2f}"
        table.add_row(names[one.name], show(one.predicted), show(one.actual), ratio)
    return table


def size(num_bytes: float) -> str:
    """Return bytes as a person says them: 12 kB, 3.4 GB."""
    value, unit = float(num_bytes), 0
    while value >= _THOUSAND and unit < len(_UNITS) - 1:
        value, unit = value / _THOUSAND, unit + 1
    return (
        f"{value:.0f} {_UNITS[unit]}" if value >= 10 or unit == 0 else f"{value:.1f} {_UNITS[unit]}"
    )
