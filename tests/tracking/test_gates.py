import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tracking_records import STUDY_SPEC, make_trial, write_best

from ss3d.config import canonical_json
from ss3d.errors import CheckpointError, ConfigError, RefusedError
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.bundle import put_bundle
from ss3d.store.directory import DirectoryStore
from ss3d.study.toml_lines import TomlFile
from ss3d.tracking.candidate import directory_candidate, trial_candidate
from ss3d.tracking.gates import Gates, parse_gates
from ss3d.tracking.ledger import Answer, Entry, append_entry, keep_metrics, read_ledger
from ss3d.tracking.proposal import Proposal, propose
from ss3d.trial.readings import TestReading, record_reading
from ss3d.trial.spec import code_version

EXAMPLE = Path(__file__).parents[2] / "search_spaces" / "gates" / "release.toml"


def crown(store: DirectoryStore, trial: str) -> None:
    """Write the ledger's entry of a champion."""
    with trial_candidate(store, "demo", trial, {}) as champion:
        entry = Entry(
            action="promote",
            at=1.0,
            model="chairs",
            version=1,
            previous=None,
            study="demo",
            trial=trial,
            weights_sha256=champion.measured.weights_sha256,
            metrics_sha256=keep_metrics(store, "chairs", champion.metrics),
        )
    append_entry(store, read_ledger(store, "chairs"), entry)


def ask(store: DirectoryStore, trial: str = "t00001", **gates: Any) -> dict[str, Answer]:
    with trial_candidate(store, "demo", trial, {}) as candidate:
        proposal = propose(store, candidate, "chairs", Gates(**gates))
    return {answer.gate: answer for answer in proposal.answers}


def parse(text: str) -> Gates:
    file = TomlFile(text, "gates.toml")
    return parse_gates(file.tree, file.error)


def test_the_example_asks_every_gate() -> None:
    file = TomlFile.read(EXAMPLE)
    assert parse_gates(file.tree, file.error).model_fields_set == set(Gates.model_fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("margin = 0.1\nmargn = 0.1", r"gates\.toml:2: margn: there is no such gate; .*margin, "),
        ("[gates]\nmargin = 0.1", r"gates\.toml:1: gates: there is no such gate"),
        ("\nmargin = '0.1'", r"gates\.toml:2: margin: got '0\.1': .*valid number"),
        ("margin = -0.1", "greater than or equal to 0"),
        ("margin = nan", "finite"),
        ("confirmed_seeds = 1", "greater than or equal to 2"),
        ("rerun = 'yes'", "'bitwise' or 'within tolerance'"),
        ("most_mib = 0.0", "greater than 0"),
        ("clean_lineage = 1", "valid boolean"),
    ],
)
def test_a_wrong_gate_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(text)


def test_gates_that_are_left_out_are_not_asked(store: DirectoryStore, put_trial: Callable) -> None:
    put_trial(make_trial(1, "complete"))
    assert ask(store) == {}
    assert ask(store, clean_lineage=False, read_test_once=False) == {}
    assert list(ask(store, margin=0.0)) == ["margin"]


def test_the_margin_is_paired_on_the_champions_models(
    store: DirectoryStore, put_trial: Callable
) -> None:
    put_trial(make_trial(0, "complete"), cd_l1=11.0)
    put_trial(make_trial(1, "complete"), cd_l1=10.5)
    assert "no champion" in ask(store, margin=0.4)["margin"].got
    crown(store, "t00000")
    assert ask(store, margin=0.5)["margin"].passed
    closed = ask(store, margin=0.51)["margin"]
    assert not closed.passed
    assert closed.got == "+0.500 (+0.500 to +0.500), 2 models"
    assert ask(store, "t00000", margin=0.5) == {}  # the champion itself: a promotion is repeated
    put_trial(make_trial(2, "complete"), cd_l1=11.5)
    assert not ask(store, "t00002", margin=0.0)["margin"].passed


def test_a_champion_whose_measurements_are_damaged_is_named(
    store: DirectoryStore, put_trial: Callable
) -> None:
    for number in range(2):
        put_trial(make_trial(number, "complete"))
    crown(store, "t00000")
    (key,) = store.list("registry/chairs/metrics/")
    (Path(store.address) / key).write_bytes(b"{}")
    with pytest.raises(CheckpointError, match="version 1 measured is damaged"):
        ask(store, margin=0.0)
    store.delete(key)
    answers = ask(store, margin=0.0)
    assert (answers["margin"].passed, answers["margin"].got) == (
        False,
        "what the champion measured was not kept",
    )


def confirm(store: DirectoryStore, tmp_path: Path, values: list[float], arm: str) -> None:
    """Write a confirmation of `demo`, one repetition of an arm per value."""
    spec = STUDY_SPEC | {"name": "demo-confirm", "confirms": "demo", "arms": [{"name": arm}]}
    store.put_new(layout.study("demo-confirm", "study.json"), canonical_json(spec).encode())
    for number, value in enumerate(values):
        trial = make_trial(number, "complete")
        stratum = {"arm": arm, "replicate": number}
        sealed = trial.spec.model_copy(update={"study": "demo-confirm", "stratum": stratum})
        put = {"spec.json": sealed, "result.json": trial.result}
        for name, record in put.items():
            assert record is not None
            store.put_new(layout.trial("demo-confirm", sealed.trial, name), record.to_json())
        best = tmp_path / f"again-{number}"
        write_best(best, value=value)
        put_bundle(store, layout.trial("demo-confirm", sealed.trial, "best"), best)


def test_seeds_confirm_the_gain_by_mean_minus_sd(
    store: DirectoryStore, put_trial: Callable, tmp_path: Path
) -> None:
    put_trial(make_trial(0, "complete"), cd_l1=11.0)
    put_trial(make_trial(1, "complete"), cd_l1=10.0)
    missing = ask(store, confirmed_seeds=3)["confirmed_seeds"]
    assert not missing.passed
    assert "ss3d confirm demo --seeds 3" in missing.advice
    confirm(store, tmp_path, [10.0, 10.5, 11.0], "t00001")
    assert ask(store, confirmed_seeds=3)["confirmed_seeds"].passed
    assert not ask(store, confirmed_seeds=4)["confirmed_seeds"].passed
    assert not ask(store, "t00000", confirmed_seeds=2)["confirmed_seeds"].passed
    crown(store, "t00000")
    found = ask(store, confirmed_seeds=3)["confirmed_seeds"]
    assert found.passed
    assert found.got.endswith("gain +0.500 - 0.500 = +0.000")
    assert not ask(store, confirmed_seeds=3, margin=0.01)["confirmed_seeds"].passed


def test_lineage_is_clean_where_code_and_data_are_those_that_are_here(
    store: DirectoryStore, put_trial: Callable
) -> None:
    put_trial(make_trial(1, "complete"))
    other = ask(store, clean_lineage=True)["clean_lineage"]
    assert not other.passed
    assert "code c0c0c0c0c0c0… trained it" in other.got
    trial = make_trial(2, "complete")
    sealed = trial.spec.model_copy(update={"code_version": code_version()})
    put_trial(trial.model_copy(update={"spec": sealed}))
    assert ask(store, "t00002", clean_lineage=True)["clean_lineage"].passed
    trial = make_trial(3, "complete")
    sealed = sealed.model_copy(update={"data_hash": "f" * 64, "trial": "t00003"})
    put_trial(trial.model_copy(update={"spec": sealed}))
    assert "data dddd" in ask(store, "t00003", clean_lineage=True)["clean_lineage"].got


def test_the_newest_rerun_must_reach_the_promoted_epoch(
    store: DirectoryStore, put_trial: Callable
) -> None:
    put_trial(make_trial(1, "complete"))  # its best epoch is 3
    prefix = layout.reruns("demo", "t00001")

    def record(number: int, verdict: str, epochs: int) -> None:
        value = {"verdict": verdict, "epochs": epochs, "device": "cpu"}
        store.put_new(f"{prefix}20260101T00000{number}.json", canonical_json(value).encode())

    never = ask(store, rerun="bitwise")["rerun"]
    assert not never.passed
    assert "ss3d rerun demo/t00001 --check" in never.advice
    for number, (verdict, epochs, bitwise, close) in enumerate(
        [
            ("bitwise", 3, False, False),
            ("within tolerance", 4, False, True),
            ("differs", 4, False, False),
            ("bitwise", 4, True, True),
        ]
    ):
        record(number, verdict, epochs)
        assert ask(store, rerun="bitwise")["rerun"].passed == bitwise
        assert ask(store, rerun="within tolerance")["rerun"].passed == close
    partly = {"verdict": "bitwise", "epochs": 4, "after": 0}
    store.put_new(f"{prefix}20260101T000009.json", canonical_json(partly).encode())
    assert not ask(store, rerun="within tolerance")["rerun"].passed


def read_test(
    store: DirectoryStore, weights: str, model: str = "demo/t00001", at: float | None = None
) -> None:
    reading = TestReading(
        model=model,
        weights_sha256=weights,
        data_hash="d" * 64,
        split_hash="e" * 64,
        count=2,
        cd_l1=10.0,
        cd_l1_category_mean=10.0,
        code_version="c" * 64,
        read_at=time.time() if at is None else at,
    )
    record_reading(store, reading)


def test_the_test_models_are_read_once_after_the_choice_and_by_no_rival(
    store: DirectoryStore, put_trial: Callable
) -> None:
    put_trial(make_trial(1, "complete"))
    with trial_candidate(store, "demo", "t00001", {}) as candidate:
        sha = candidate.measured.weights_sha256

    def passed() -> bool:
        return ask(store, read_test_once=True)["read_test_once"].passed

    assert not passed()
    read_test(store, "a" * 64, model="other/t00000")
    read_test(store, sha)
    assert passed()
    read_test(store, "b" * 64, model="demo/t00004")
    rival = ask(store, read_test_once=True)["read_test_once"]
    assert not rival.passed
    assert "demo/t00004" in rival.got
    read_test(store, sha)
    assert "2 readings" in ask(store, read_test_once=True)["read_test_once"].got


def test_a_reading_before_the_trial_was_finished_closes_the_gate(
    store: DirectoryStore, put_trial: Callable
) -> None:
    put_trial(make_trial(1, "complete"))
    with trial_candidate(store, "demo", "t00001", {}) as candidate:
        weights = candidate.measured.weights_sha256
    read_test(store, weights, at=candidate.record.result.finished_at - 1)
    found = ask(store, read_test_once=True)["read_test_once"]
    assert not found.passed
    assert "before the trial was finished" in found.got


def test_size_and_time_are_measured_now(store: DirectoryStore, put_trial: Callable) -> None:
    put_trial(make_trial(1, "complete"))
    open_gates = ask(store, most_mib=4096.0, most_latency_ms=60_000.0)
    assert all(answer.passed for answer in open_gates.values())
    closed = ask(store, most_mib=0.01, most_latency_ms=0.001)
    assert not any(answer.passed for answer in closed.values())
    with trial_candidate(store, "demo", "t00001", {}) as candidate:
        weights = (candidate.best / "student.safetensors").stat().st_size / 2**20
    assert float(open_gates["most_mib"].got.split()[0]) >= weights


def test_all_closed_gates_are_named_in_one_refusal(
    store: DirectoryStore, put_trial: Callable, settings: Settings, tmp_path: Path
) -> None:
    write_best(tmp_path / "run" / "best")
    candidate = directory_candidate(tmp_path / "run")
    gates = Gates(margin=0.1, confirmed_seeds=2, rerun="bitwise", clean_lineage=True)
    proposal: Proposal = propose(store, candidate, "chairs", gates)
    with pytest.raises(RefusedError, match="3 of 4 gates are closed") as refused:
        proposal.check()
    assert [line.split(":")[0].strip() for line in str(refused.value).splitlines()[1:]] == [
        "confirmed_seeds",
        "clean_lineage",
        "rerun",
    ]
