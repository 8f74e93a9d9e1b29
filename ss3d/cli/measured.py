"""How `evaluate` says what it found, and where a look at test models is recorded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ss3d.cli.output import console, errors
from ss3d.settings import Settings

if TYPE_CHECKING:
    from ss3d.cli.chosen import Chosen
    from ss3d.data.loader import TrialData
    from ss3d.training.assessment import Assessment

COLUMNS = {
    "cd_l1": "cd_l1",
    "cd_pred_to_gt": "→ gt",
    "cd_gt_to_pred": "gt →",
    "cd_thin": "thin",
    "cd_between_views": "views",
    "f_score": "F@1%",
    "cd_l2": "cd_l2",
    "void_share": "voids",
    "spacing_variation": "cv",
}
"""Metrics of the table and their headings."""
LEGEND = (
    "→ gt, gt →: cd_l1 in each direction · thin: gt → prediction on the thinnest tenth · views: "
    "between views of one object · voids: share of gt points missed by over two spacings · "
    "cv: of the prediction's spacing, 0.52 is random"
)


def describe_assessment(found: Assessment) -> dict[str, Any]:
    """Return all measurements as `--json` shows them."""
    return {
        **found.table(),
        "cd_random_pairs": found.random_pairs,
        "num_views": found.num_views,
        "category_sd": found.category_sd,
        "floor": {
            "mean": None if found.floor is None else found.floor.mean().item(),
            "share": found.floor_share,
            "per_model": None
            if found.floor is None
            else dict(zip(found.evaluation.ids, found.floor.tolist(), strict=True)),
        },
        "warning": found.warning,
    }


def count_labels(chosen: Chosen, data: TrialData) -> dict[str, int] | None:
    """Return how many labeled models trained the network and how many chose its best epoch.

    None if the data set or its split is not the one that it was trained on.
    """
    here = {"data_hash": data.data_hash, "split_hash": data.split_hash}
    recorded = {name: chosen.trained_on[name] for name in here if name in chosen.trained_on}
    same = bool(recorded) and recorded.items() <= here.items()
    return {"train": len(data.labeled), "choose": len(data.validation)} if same else None


def record_test(
    model: str, chosen: Chosen, data: TrialData, value: dict[str, Any], settings: Settings
) -> dict[str, Any]:
    """Record one reading of the test models and return how many there are now.

    Beside a directory that the user names; in the store for trials and registered models.
    """
    from ss3d.store.directory import DirectoryStore
    from ss3d.store.opening import open_store
    from ss3d.trial.readings import TestReading, record_reading
    from ss3d.trial.spec import code_version

    if chosen.folder is None:
        store = open_store(settings.store_address)
    else:
        store = DirectoryStore(chosen.folder)
    reading = TestReading(
        model=model,
        weights_sha256=chosen.weights_sha256,
        data_hash=data.data_hash,
        split_hash=data.split_hash,
        count=value["count"],
        cd_l1=value["cd_l1"]["sample_mean"],
        cd_l1_category_mean=value["cd_l1"]["category_mean"],
        code_version=code_version(),
        read_at=time.time(),
    )
    readings = record_reading(store, reading)
    return {**readings._asdict(), "recorded_in": store.address}


def show_assessment(title: str, found: Assessment, value: dict[str, Any]) -> None:
    """Print one line per category, both means, and what to know about them."""
    headings = [heading for name, heading in COLUMNS.items() if name in found.values]
    shown = [value[name] for name in COLUMNS if name in found.values]
    categories = found.evaluation.categories
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0)
    table.add_column("category", no_wrap=True)
    for heading in ("n", *headings):
        table.add_column(heading, justify="right", no_wrap=True)
    for category in shown[0]["per_category"]:
        numbers = [_number(metric["per_category"][category]) for metric in shown]
        name = value["categories"].get(category, category)
        table.add_row(name, str(categories.count(category)), *numbers)
    table.add_section()
    for mean in ("category_mean", "sample_mean"):
        label, count = mean.replace("_", " "), str(value["count"])
        table.add_row(label, count, *(_number(metric[mean]) for metric in shown))
    console.print(table)
    console.print(LEGEND, style="dim", highlight=False)
    for line in _remarks(found, value):
        console.print(line, highlight=False, soft_wrap=True)
    if found.warning:
        errors.print(Text(f"warning: {found.warning}", style="yellow"), soft_wrap=True)


def _remarks(found: Assessment, value: dict[str, Any]) -> list[str]:
    lines = [f"standard deviation over categories {found.category_sd:.2f}"]
    if found.random_pairs is not None:
        views = f"between {found.num_views} views of one object" if found.num_views > 1 else ""
        same = value.get("cd_between_views", {}).get("sample_mean")
        of_views = f"{same:.2f} {views}, " if same is not None else ""
        lines.append(f"predictions differ by {of_views}{found.random_pairs:.2f} between objects")
    if found.floor is not None:
        share = f"cd_l1 is {found.floor_share:.2f} of it"
        lines.append(f"resampling floor {found.floor.mean():.2f}; {share}")
    if labels := value["labels"]:
        lines.append(f"{labels['train']} labeled models to train, {labels['choose']} to choose")
    if readings := value.get("test_readings"):
        lines.append(
            f"reading {readings['of_data']} of these test models, {readings['of_model']} by this "
            f"model; recorded in {readings['recorded_in']}"
        )
    return lines


def _number(value: float) -> str:
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"
