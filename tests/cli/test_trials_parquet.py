"""`ss3d trials --parquet` has the columns of `--csv`, with their types."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow.parquet as pq
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.config import TrialConfig, canonical_json
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.trial.records import TrialResult, TrialSpec


def put_trial(store: DirectoryStore, number: int, params: dict[str, object], state: str) -> None:
    spec = TrialSpec(
        study="demo",
        trial=layout.trial_id(number),
        params=params,
        distributions={},
        stratum={},
        config=TrialConfig(),
        pretrain_key="k" * 64,
        code_version="",
        data_hash="",
        versions={},
        attrs={},
        proposed_at=0.0,
    )
    store.put_new(layout.trial("demo", spec.trial, "spec.json"), spec.to_json())
    result = TrialResult.model_validate(
        {
            "study": "demo",
            "trial": spec.trial,
            "state": state,
            "values": {"val/cd_l1": 5.0 + number} if state == "complete" else {},
            "reports": (),
            "seconds": 1.0,
            "attempt": 1,
            "reason": "" if state == "complete" else "out of memory",
            "finished_at": 0.0,
        }
    )
    store.put_new(layout.trial("demo", spec.trial, "result.json"), result.to_json())


def test_parquet_and_csv_say_the_same(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    spec = {"objective": {"metric": "val/cd_l1", "direction": "minimize"}}
    store.put_new(layout.study("demo", "study.json"), canonical_json(spec).encode())
    put_trial(store, 0, {"semi.lr": 0.1, "model.num_heads": 4, "arm": "a"}, "complete")
    put_trial(store, 1, {"semi.lr": 0.2, "model.num_heads": 8, "arm": 3}, "failed")
    target = tmp_path / "deep" / "trials.parquet"
    words = ["trials", "demo", "--csv", "--parquet", str(target), "--store", store.address]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    table = pq.read_table(target)
    assert table.column_names == list(rows[0])
    assert table.to_pylist() == [
        {
            "trial": "t00000",
            "state": "complete",
            "arm": '"a"',
            "model.num_heads": 4,
            "semi.lr": 0.1,
            "val/cd_l1": 5.0,
            "epochs": 0,
            "seconds": 0.0,
            "reason": "",
        },
        {
            "trial": "t00001",
            "state": "failed",
            "arm": "3",
            "model.num_heads": 8,
            "semi.lr": 0.2,
            "val/cd_l1": None,
            "epochs": 0,
            "seconds": 0.0,
            "reason": "out of memory",
        },
    ]
    assert [row["val/cd_l1"] for row in rows] == ["5.0", ""]


def test_an_empty_study_has_an_empty_table(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    store.put_new(layout.study("demo", "study.json"), b"{}")
    target = tmp_path / "trials.parquet"
    words = ["trials", "demo", "--parquet", str(target), "--store", store.address]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "written:" in result.output
    assert pq.read_table(target).num_rows == 0
