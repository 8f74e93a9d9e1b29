"""A study in a store whose exports hold distances of validation models, without any training."""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ss3d.config import TrialConfig, canonical_json
from ss3d.store import layout
from ss3d.store.bundle import put_bundle
from ss3d.store.layout import SharedKind
from ss3d.store.protocol import Store
from ss3d.trial.records import EpochReport, TrialResult, TrialSpec

STUDY = "demo"
PRETRAIN, CONTROL = "aa" * 32, "cc" * 32
FAILURE = (
    b'{"level": "error", "failure": "out of memory", "traceback": "Traceback: out of memory"}\n'
)
"""The log of an attempt that failed."""


def spread(mean: float, count: int = 40, width: float = 0.0, seed: int = 0) -> dict[str, float]:
    """Distances by model: normal of exactly this mean and standard deviation."""
    draws = np.random.default_rng(seed).normal(size=count)
    draws = (draws - draws.mean()) / draws.std()
    return {f"chair/{n:03d}": float(mean + width * draw) for n, draw in enumerate(draws)}


def put_study(store: Store, controls: bool = True, **more: object) -> None:
    """Write study.json."""
    spec = {
        "schema": 1,
        "name": STUDY,
        "objective": {"metric": "val/cd_l1", "direction": "minimize"},
        "budget": {"trials": 1},
        "controls": controls,
        **more,
    }
    store.put_new(layout.study(STUDY, "study.json"), canonical_json(spec).encode())


def put_export(store: Store, prefix: str, metrics: Mapping[str, object]) -> None:
    """Write a bundle with these metrics."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "metrics.json").write_text(json.dumps(metrics))
        (Path(folder) / "student.safetensors").write_bytes(b"weights")
        put_bundle(store, prefix, Path(folder))


def put_shared(
    store: Store,
    kind: SharedKind,
    distances: Mapping[str, float],
    key: str | None = None,
    is_complete: bool = True,
) -> str:
    """Write a pretrained state or a control; its other epoch is far off. Returns its key."""
    key = key or (PRETRAIN if kind == "pretrain" else CONTROL)
    config = TrialConfig.from_preset("tiny").model_dump(mode="json")
    store.put_new(layout.shared(kind, key, "config.json"), canonical_json(config).encode())
    other = dict.fromkeys(distances, 99.0)
    best, last = (distances, other) if kind == "pretrain" else (other, distances)
    if is_complete:
        metrics = {"per_model": best, "per_model_last": last}
        put_export(store, layout.shared(kind, key, "checkpoint"), metrics)
        store.put_new(layout.shared(kind, key, "manifest.json"), b"{}")
    return key


def put_trial(
    store: Store,
    number: int,
    last: Mapping[str, float] | None,
    state: str = "complete",
    stratum: Mapping[str, object] | None = None,
    keys: tuple[str, str] = (PRETRAIN, CONTROL),
    **config: object,
) -> TrialSpec:
    """Write a trial; its export has these distances at the last epoch, and none if None.

    Paths of `config` are written `semi__lambda_u`.
    """
    paths = {path.replace("__", "."): value for path, value in config.items()}
    spec = TrialSpec(
        study=STUDY,
        trial=layout.trial_id(number),
        params={"semi.lr": 0.001 * (number + 1), **(stratum or {})},
        distributions={},
        stratum=dict(stratum or {}),
        config=TrialConfig.from_preset("tiny").override(paths),
        pretrain_key=keys[0],
        control_key=keys[1],
        code_version="",
        data_hash="",
        versions={},
        attrs={},
        proposed_at=0.0,
    )
    store.put_new(layout.trial(STUDY, spec.trial, "spec.json"), spec.to_json())
    if state != "running":
        result = _result(spec, state, last or {})
        store.put_new(layout.trial(STUDY, spec.trial, "result.json"), result.to_json())
    if state == "complete":
        metrics: dict[str, object] = {"per_model": {"chair/000": 0.0}}
        metrics |= {} if last is None else {"per_model_last": last}
        put_export(store, layout.trial(STUDY, spec.trial, "best"), metrics)
    return spec


def _result(spec: TrialSpec, state: str, last: Mapping[str, float]) -> TrialResult:
    value = float(np.mean(list(last.values()))) if last else 9.0
    report = EpochReport(
        phase="semi",
        epoch=1,
        step=1,
        metrics={"val/cd_l1": value, "val/cd_l1_category_mean": value + 1, "val/gain": 0.5},
        system={"epoch_s": 2.0},
        digest="",
    )
    return TrialResult.model_validate(
        {
            "study": STUDY,
            "trial": spec.trial,
            "state": state,
            "values": {"val/cd_l1": value},
            "reports": (report,),
            "seconds": 4.0,
            "attempt": 1,
            "reason": "" if state == "complete" else "rung 2",
            "finished_at": 0.0,
        }
    )
