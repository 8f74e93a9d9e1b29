"""The files of a finished trial: configuration, log, best weights, pictures, clouds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ss3d.report.clouds import write_cloud
from ss3d.report.curves import draw_curves
from ss3d.report.figures_choice import Model, choose_objects
from ss3d.report.figures_sheet import AZIMUTH, comparison
from ss3d.report.figures_viewer import write_viewer
from ss3d.report.pictures import Example, draw_reconstructions
from ss3d.report.previews import Previews, read_previews
from ss3d.store import layout
from ss3d.store.bundle import bundle_exists, get_files, is_thinned, read_manifest
from ss3d.store.protocol import Store
from ss3d.tracking.statuses import failed_before_start
from ss3d.trial.history import trial_export
from ss3d.trial.records import TrialRecord

_ROWS = 3
"""Objects in the picture of a trial."""
_CLOUDS = 4
"""Predictions written as files for 3D viewers."""
_TURNED = 6
"""Objects in the page whose clouds turn with the mouse."""


def list_logs(store: Store, record: TrialRecord) -> dict[str, str]:
    """Return the keys of a trial's logs by the names that MLflow shows them under.

    Those of its pretraining are among them if the trial failed before it could start.
    """
    sealed = record.spec
    places = {"log": layout.trial(sealed.study, sealed.trial, "log")}
    if failed_before_start(record):
        places["log/pretrain"] = layout.pretrain(sealed.pretrain_key, "log")
    return {
        f"{folder}/{key.removeprefix(f'{prefix}/')}": key
        for folder, prefix in places.items()
        for key in store.list(f"{prefix}/")
    }


def gather_files(
    store: Store, record: TrialRecord, logs: Mapping[str, str], directory: Path
) -> None:
    """Write what MLflow shows of a finished trial into an empty directory.

    A pruned or failed trial may have no best weights; a complete one must. Of one that `ss3d gc`
    swept there is what it measured.

    Args:
        store: where the files are.
        record: with a result.
        logs: as `list_logs` returns them.
        directory: to write to.

    Raises:
        CheckpointError: the best weights are damaged, or a complete trial has none yet.
    """
    study, trial = record.spec.study, record.spec.trial
    config = record.spec.config.model_dump(mode="json")
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    for name, key in logs.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        store.get_file(key, directory / name)
    reports = [report for report in record.reports if report.phase == "semi"]
    if reports:
        draw_curves(
            directory / "pictures" / "curve.png", {trial: reports}, title=f"{study}/{trial}"
        )
    prefix = trial_export(store, study, trial)
    if record.state == "complete" or bundle_exists(store, prefix):
        get_files(store, prefix, read_manifest(store, prefix), directory / "best")
        if not is_thinned(store, prefix):
            _illustrate(directory, f"{study}/{trial}")


def read_examples(best: Path) -> list[Example]:
    """Return the validation objects whose input image an exported network keeps.

    Raises:
        CheckpointError: the previews are missing or damaged.
    """
    return _examples(read_previews(best))


def _examples(previews: Previews) -> list[Example]:
    kept = [(row, name) for row, name in enumerate(previews.ids) if name in previews.images]
    return [
        Example(
            name=name,
            image=previews.images[name],
            predicted=previews.predicted[row],
            target=previews.target[row],
            caption=f"cd_l1 {previews.distances[name]:.2f}" if name in previews.distances else "",
        )
        for row, name in kept
    ]


def _illustrate(directory: Path, title: str) -> None:
    """Draw the objects nearest their category's median, one category after the other."""
    previews = read_previews(directory / "best")
    models = [Model("prediction", title, previews)]
    choice = choose_objects(models, "median", _TURNED)
    write_viewer(directory / "clouds" / "viewer.html", comparison(models, choice, AZIMUTH, title))
    by_name = {example.name: example for example in _examples(previews)}
    examples = [by_name[name] for name in choice.ids if name in by_name]
    if examples:
        draw_reconstructions(
            directory / "pictures" / "reconstructions.png",
            examples[:_ROWS],
            f"{title} · validation",
        )
    for example in examples[:_CLOUDS]:
        name = example.name.replace("/", "-")
        write_cloud(directory / "clouds" / f"{name}.ply", example.predicted)
