"""A study of two labeled ratios in a store, with controls, pictures and lineage; no training."""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from figure_models import CHAIR, PLATE
from gain_records import STUDY, put_shared, put_study, put_trial, spread
from safetensors.numpy import save_file

from ss3d.config import TrialConfig, canonical_json
from ss3d.report.findings import Findings, Known, gather_findings
from ss3d.store import layout
from ss3d.store.bundle import delete_bundle, put_bundle
from ss3d.store.protocol import Store
from ss3d.trial.history import load_study_record

RATIOS = (0.1, 0.5)
DESCRIPTION = 'Is <b>bold</b> & quoted "text" harmless?'
IMPORTANCES = [
    {
        "stratum": {"data.labeled_ratio": 0.1},
        "trials": 10,
        "top": 5,
        "parameters": [
            {"path": "semi.lr", "share": 0.75, "clear": True},
            {"path": "semi.aug_strength", "share": 0.25, "clear": False},
        ],
    }
]


def put_page_study(store: Store, **more: object) -> None:
    """Write four complete trials, two of each ratio, and a pruned one without an export."""
    put_study(
        store,
        description=DESCRIPTION,
        strata=["data.labeled_ratio"],
        seed=7,
        data={"name": "shapes", "address": "data/shapes", "content_hash": "d" * 64},
        code={"trial": "c" * 64, "pretrain": "e" * 64, "versions": {"torch": "2.9"}},
        parameters={"semi.lr": {"type": "float", "low": 0.001, "high": 0.1, "scale": "log"}},
        sampler={"name": "tpe"},
        pruner={"name": "asha"},
        space='[parameters."semi.lr"]\nlow = 0.001\n',
        created_at=1_700_000_000.0,
        **more,
    )
    put_shared(store, "pretrain", spread(10.0, width=0.3, seed=1))
    put_shared(store, "control", spread(9.0, width=0.3, seed=2))
    for number in range(4):
        distances = spread(8.5 - 0.1 * number, width=0.3, seed=number + 5)
        stratum = {"data.labeled_ratio": RATIOS[number % 2]}
        put_trial(store, number, distances, stratum=stratum)
        put_pictures(store, number, distances)
        attempt = {"schema": 1, "machine": {"device": "cpu", "host": "node-1"}}
        key = layout.trial(STUDY, layout.trial_id(number), "attempts", "a1.json")
        store.put_new(key, canonical_json(attempt).encode())
    put_trial(store, 4, None, state="pruned", stratum={"data.labeled_ratio": RATIOS[0]})


def put_pictures(store: Store, number: int, distances: Mapping[str, float]) -> None:
    """Replace a trial's export by one with pictures of its first models, inputs included."""
    prefix = layout.trial(STUDY, layout.trial_id(number), "best")
    delete_bundle(store, prefix)
    shown = dict(list(distances.items())[:6])
    ids, count = list(shown), len(shown)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "previews").mkdir()
        config = TrialConfig.from_preset("tiny").model_dump(mode="json")
        metrics = {"per_model": shown, "per_model_last": distances, "val": {"val/cd_l1": 8.0}}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "student.safetensors").write_bytes(b"weights")
        save_file(
            {
                "predicted": np.ascontiguousarray(np.stack([PLATE] * count)),
                "target": np.ascontiguousarray(np.stack([CHAIR] * count)),
                "image": np.full((count, 8, 8, 3), 128, np.uint8),
                "image_row": np.arange(count),
            },
            folder / "previews" / "val.safetensors",
            metadata={"ids": json.dumps(ids), "categories": json.dumps(["chair"] * count)},
        )
        put_bundle(store, prefix, folder)


def gather(store: Store) -> Findings:
    """What the study found, importances included."""
    return gather_findings(store, load_study_record(store, STUDY), Known(IMPORTANCES))
