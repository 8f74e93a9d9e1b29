"""A store with every kind of object that sessions leave there, without any training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from study_records import make_reports

from ss3d.config import TrialConfig, canonical_json
from ss3d.errors import ServiceError
from ss3d.store import layout
from ss3d.store.bundle import get_bundle, put_bundle
from ss3d.store.directory import DirectoryStore
from ss3d.store.layout import SharedKind
from ss3d.store.protocol import Store
from ss3d.study.recorder import decision_key
from ss3d.study.rungs import Decision
from ss3d.trial.history import is_complete, load_study_record, shared_export
from ss3d.trial.records import TrialResult, TrialSpec

FIRST, SECOND, CONTROL, UNUSED, BROKEN = (letter * 64 for letter in "abcde")


def put_study(store: Store, name: str, keys: tuple[str, ...] = (FIRST, FIRST, SECOND)) -> None:
    """Write a study: a trial per pretrain key, the first one pruned, with everything in it."""
    put_json(store, layout.study(name, "study.json"), {"schema": 1, "budget": {"trials": 3}})
    put_json(store, layout.study(name, "budget", "0002.json"), {"schema": 1, "trials": 3})
    for number, key in enumerate(keys):
        put_trial(store, name, number, key, "pruned" if number == 0 else "complete")


def put_trial(store: Store, study: str, number: int, key: str, state: str) -> None:
    """Write a trial that ended."""
    name = layout.trial_id(number)
    spec = TrialSpec(
        study=study,
        trial=name,
        params={},
        distributions={},
        stratum={},
        config=TrialConfig.from_preset("tiny"),
        pretrain_key=key,
        control_key=CONTROL,
        code_version="c",
        data_hash="d",
        versions={},
        attrs={},
        proposed_at=0.0,
    )
    store.put_new(layout.trial(study, name, "spec.json"), spec.to_json())
    put_json(store, layout.trial(study, name, "attempts", "a1.json"), {"started_at": 1.0})
    reports = tuple(make_reports(2))
    tree = {"reports": [report.model_dump(mode="json") for report in reports], "attempt": 1}
    tree["final"] = state == "complete"
    put_json(store, layout.trial(study, name, "epochs", "a1-000002.json"), tree)
    put_files(store, layout.trial(study, name, "checkpoints", "a1-000002"))
    if state == "pruned":
        decision = Decision(True, "asha/3", 2, 7.0, 6.0, 1, 1)
        put_json(store, decision_key(study, name, 2), {"schema": 1, **asdict(decision)})
    else:
        put_files(store, layout.trial(study, name, "best"))
    result = TrialResult.model_validate(
        {
            "study": study,
            "trial": name,
            "state": state,
            "values": {"val/cd_l1": 7.0},
            "reports": reports,
            "seconds": 2.0,
            "attempt": 1,
            "reason": "",
            "finished_at": 1.0,
        }
    )
    store.put_new(layout.trial(study, name, "result.json"), result.to_json())


def put_shared(
    store: Store, key: str, kind: SharedKind = "pretrain", is_complete: bool = True
) -> None:
    """Write a pretrained state or a control; an unfinished one has a checkpoint alone."""
    config = TrialConfig.from_preset("tiny").model_dump(mode="json")
    put_json(store, layout.shared(kind, key, "config.json"), config)
    put_files(store, layout.shared(kind, key, "checkpoints", "a1-000001"))
    if is_complete:
        reports = [report.model_dump(mode="json") for report in make_reports(2, "pretrain")]
        put_json(store, layout.shared(kind, key, "epochs.json"), {"reports": reports})
        put_files(store, layout.shared(kind, key, "checkpoint"))
        put_json(store, layout.shared(kind, key, "manifest.json"), {"schema": 1, "key": key})


def put_files(store: Store, prefix: str) -> None:
    """Write a bundle of 1000 bytes and a bit."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "student.safetensors").write_bytes(b"w" * 1000)
        (Path(folder) / "metrics.json").write_text("{}")
        put_bundle(store, prefix, Path(folder))


def put_json(store: Store, key: str, tree: dict[str, object]) -> None:
    store.put_new(key, canonical_json(tree).encode())


def read_states(store: Store, study: str, folder: Path) -> int:
    """Read and verify what each trial of a study started from and exported; count the bundles."""
    count = 0
    for trial in load_study_record(store, study).trials:
        prefixes = [
            shared_export(store, kind, key)
            for kind, key in trial.spec.shared()
            if is_complete(store, kind, key)
        ]
        if trial.state == "complete":
            prefixes.append(layout.trial(study, trial.spec.trial, "best"))
        for prefix in prefixes:
            get_bundle(store, prefix, folder / prefix)
            count += 1
    return count


class DyingStore(DirectoryStore):
    """A store whose process is killed at a deletion: that one and all later calls fail."""

    def __init__(self, path: Path, deletions: int) -> None:
        super().__init__(path)
        self._left = deletions

    def delete(self, key: str) -> None:
        self._left -= 1
        if self._left < 0:
            raise ServiceError("killed")
        super().delete(key)

    def list(self, prefix: str) -> Iterator[str]:
        if self._left < 0:
            raise ServiceError("killed")
        return super().list(prefix)
