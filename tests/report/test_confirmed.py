"""What a confirmation says, in numbers that one can do in one's head."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from gain_records import STUDY, put_study, put_trial, spread
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.errors import CheckpointError, ConfigError
from ss3d.report.confirmed import confirm_results
from ss3d.report.confirmed_tables import draw_confirmation
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.trial.history import load_study_record

ARMS = ("t00000", "t00001")
Values = Mapping[str, list[float | None]]


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


def put_confirmation(store: DirectoryStore, values: Values, **spec: object) -> None:
    """Originals of 8.0 and 8.5, and their repetitions; None is one that failed.

    `gain_records` knows one study, so the confirmation lies in a study of the same name elsewhere.
    """
    originals = DirectoryStore(Path(store.address) / "originals")
    put_study(originals)
    for number, value in enumerate((8.0, 8.5)):
        put_trial(originals, number, spread(value))
    arms = [{"name": arm} for arm in values]
    put_study(store, confirms="original", arms=arms, **spec)
    number = 0
    for replicate in range(max(map(len, values.values()))):
        for arm, row in values.items():
            value, stratum = row[replicate], {"arm": arm, "replicate": replicate}
            if value is None:
                put_trial(store, number, None, "failed", stratum)
            else:
                put_trial(store, number, spread(value), stratum=stratum)
            number += 1


def results(store: DirectoryStore):
    originals = DirectoryStore(Path(store.address) / "originals")
    records = [load_study_record(of, STUDY) for of in (originals, store)]
    return confirm_results(store, *records)


def test_the_lucky_original_is_found_out(store: DirectoryStore) -> None:
    put_confirmation(store, {"t00000": [9.0, 10.0, 11.0], "t00001": [8.5, 9.5, 10.5]})
    (part,) = results(store)
    best, other = part.trials
    assert (best.trial, other.trial, part.num_models) == ("t00001", "t00000", 40)
    assert (best.mean, best.original, best.luck) == pytest.approx((9.5, 8.5, 1.0))
    assert (other.mean, other.original, other.luck) == pytest.approx((10.0, 8.0, 2.0))
    assert (best.sd, other.sd) == pytest.approx((1, 1))
    half = 4.302653 / 3**0.5  # Student's t with two degrees of freedom
    assert (best.low, best.high) == pytest.approx((9.5 - half, 9.5 + half))
    assert best.behind is None
    assert other.behind is not None
    assert (other.behind.mean, other.behind.low, other.behind.high) == pytest.approx((0.5,) * 3)
    assert [one.probability for one in part.trials] == pytest.approx([1, 0])


def test_failed_repetitions_are_counted_and_the_others_count(store: DirectoryStore) -> None:
    put_confirmation(store, {"t00000": [9.0, None, 11.0], "t00001": [9.5, 50.0, 11.5]})
    first, second = results(store)[0].trials
    assert (first.trial, first.others, dict(first.values)) == (
        "t00000",
        {"failed": 1},
        {0: 9.0, 2: 11.0},
    )
    assert second.mean is not None
    assert first.mean == pytest.approx(second.mean - 0.5)
    assert second.behind is not None
    assert second.behind.num_replicates == 2


def test_a_trial_without_any_repetition_comes_last(store: DirectoryStore) -> None:
    put_confirmation(store, {"t00000": [None, None], "t00001": [9.0, 9.2]})
    best, lost = results(store)[0].trials
    assert (best.trial, best.probability) == ("t00001", 1)
    assert (lost.mean, lost.sd, lost.luck, lost.probability, lost.behind) == (None,) * 5


def test_larger_is_better_where_the_objective_says_so(store: DirectoryStore) -> None:
    objective = {"metric": "val/gain", "direction": "maximize"}
    put_confirmation(store, {"t00000": [1.0, 2.0], "t00001": [1.5, 2.5]}, objective=objective)
    (part,) = results(store)
    assert part.num_models == 1  # not recorded by model
    assert [one.trial for one in part.trials] == ["t00000", "t00001"]  # both report a gain of 0.5
    assert [one.probability for one in part.trials] == pytest.approx([0.5, 0.5])


def test_an_original_that_is_gone_is_named(store: DirectoryStore) -> None:
    put_confirmation(store, {"t00007": [9.0, 9.0]})
    with pytest.raises(CheckpointError, match="demo/t00007 is not in the store any more"):
        results(store)


def test_the_picture_is_written(store: DirectoryStore, tmp_path: Path) -> None:
    put_confirmation(store, {"t00000": [9.0, None, 11.0], "t00001": [9.5, 10.0, 11.5]})
    draw_confirmation(tmp_path / "a" / "confirm.png", results(store), "title")
    assert (tmp_path / "a" / "confirm.png").read_bytes()[:4] == b"\x89PNG"


def test_wrong_input_of_the_command(store: DirectoryStore, tmp_path: Path) -> None:
    put_study(store)
    words = ["confirm", STUDY, "--store", store.address, "--home", str(tmp_path)]
    runner = CliRunner()
    assert runner.invoke(app, [*words, "--seeds", "1"]).exit_code == 2
    for more, message in (
        (["-o", "a.gif"], "--output: got 'a.gif', expected .png"),
        ([], "study demo has no complete trial to confirm"),
        (["--name", "No!"], "study name: got 'No!'"),
    ):
        result = runner.invoke(app, [*words, *more])
        assert isinstance(result.exception, ConfigError)
        assert message in str(result.exception)
    unknown = runner.invoke(app, ["confirm", "none", *words[2:]])
    assert "study 'none': not in the store" in str(unknown.exception)
    assert json.dumps(list(store.list(layout.study(STUDY) + "/"))) == '["studies/demo/study.json"]'
