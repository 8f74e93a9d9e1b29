"""What a study cost, in numbers that one can do in one's head."""

import json
import math
from pathlib import Path

import pytest
from gain_records import PRETRAIN, put_shared, put_study, put_trial
from spent_records import reports, shared, study, trial
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.config import canonical_json
from ss3d.errors import CheckpointError
from ss3d.report.cost import borrowed_keys, cost_table, strata_table, study_cost, total_cost
from ss3d.report.predicted import Prediction, prediction_key, size, write_prediction
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.store.protocol import Store
from ss3d.trial.history import load_study_record

FULL = [9.0, 8.0, 7.0, 6.0, 5.0]


def test_each_part_of_a_study() -> None:
    record = study(
        trial(0, FULL, control="c"),
        trial(1, FULL, control="c"),
        trial(2, [9.0, 8.0], "pruned"),
        trial(3, [9.0, 8.0, 7.0], "failed"),
        states=(shared("p", 10.0), shared("c", 3.0, "control")),
    )
    cost = total_cost(study_cost(record))
    assert cost.num_trials == 4
    assert cost.pretrain_s == 10
    assert cost.semi_s == 8 + 8 + 2 + 4
    assert cost.control_s == 3
    assert cost.failed_s == 4
    assert cost.spent_s == 35
    assert cost.saved_by_sharing_s == 3 * 10
    assert cost.saved_by_stopping_s == 3 * 2
    assert cost.factor == pytest.approx((35 + 36) / 35)


def test_what_another_study_made_is_saved_by_every_trial_and_spent_by_none() -> None:
    record = study(trial(0, FULL), trial(1, FULL), states=(shared("p", 10.0),))
    cost = total_cost(study_cost(record, borrowed={"p"}))
    assert (cost.pretrain_s, cost.saved_by_sharing_s) == (0, 20)
    assert cost.factor == pytest.approx((16 + 20) / 16)


def test_a_trial_that_never_started_saves_nothing() -> None:
    record = study(trial(0, FULL), trial(1, [], "running"), states=(shared("p", 10.0),))
    cost = total_cost(study_cost(record))
    assert (cost.pretrain_s, cost.saved_by_sharing_s) == (10, 0)
    waiting = study(trial(0, [], "running"), trial(1, [], "running"), states=(shared("p", 10.0),))
    cost = total_cost(study_cost(waiting))
    assert (cost.pretrain_s, cost.saved_by_sharing_s, cost.factor) == (10, 0, 1)


def test_a_trial_stopped_before_its_first_epoch_has_no_seconds_to_go_by() -> None:
    cost = total_cost(study_cost(study(trial(0, [9.0], "pruned"))))
    assert cost.saved_by_stopping_s == 0
    assert math.isnan(cost.factor)


def test_strata_add_up_and_divide_what_they_share() -> None:
    record = study(
        *(trial(n, FULL, stratum={"arm": "ab"[n % 2]}) for n in range(3)),
        trial(3, FULL, key="q", stratum={"arm": "b"}),
        states=(shared("p", 9.0), shared("q", 5.0)),
    )
    first, second = (part.cost for part in study_cost(record))
    assert (first.pretrain_s, first.saved_by_sharing_s) == (pytest.approx(6), pytest.approx(12))
    assert (second.pretrain_s, second.saved_by_sharing_s) == (pytest.approx(8), pytest.approx(6))
    total = total_cost(study_cost(record))
    assert total.pretrain_s == pytest.approx(14)
    assert total.saved_by_sharing_s == pytest.approx(18)
    assert total.semi_s == 32


def test_a_study_without_trials_costs_nothing() -> None:
    cost = total_cost(study_cost(study()))
    assert (cost.spent_s, cost.num_trials) == (0, 0)
    assert cost_table(cost).row_count == 8
    assert strata_table([]).row_count == 0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A study of two trials proposed at 0 s that share a pretrained state of 2 s."""
    store = DirectoryStore(tmp_path / "store")
    put_study(store)
    put_shared(store, "pretrain", {"chair/000": 1.0})
    tree = {"reports": [r.model_dump(mode="json") for r in reports([9.0, 8.0], 2.0, "pretrain")]}
    store.put_new(layout.pretrain(PRETRAIN, "epochs.json"), canonical_json(tree).encode())
    for number in range(2):
        put_trial(store, number, {"chair/000": 5.0}, keys=(PRETRAIN, ""))
    return store


@pytest.mark.parametrize(
    ("makers", "is_borrowed"),
    [(("other",), True), (("other", "demo"), False), (("demo",), False), ((), False)],
)
def test_what_only_other_studies_made_is_borrowed(
    store: Store, makers: tuple[str, ...], is_borrowed: bool
) -> None:
    for number, maker in enumerate(makers, start=1):
        tree = canonical_json({"study": maker}).encode()
        store.put_new(layout.pretrain(PRETRAIN, "attempts", f"a{number}.json"), tree)
    assert (PRETRAIN in borrowed_keys(store, load_study_record(store, "demo"))) is is_borrowed


def test_a_damaged_attempt_is_named(store: Store) -> None:
    store.put_new(layout.pretrain(PRETRAIN, "attempts", "a1.json"), b"[]")
    with pytest.raises(CheckpointError, match=r"a1\.json is damaged: not a JSON object"):
        borrowed_keys(store, load_study_record(store, "demo"))


def test_the_command_prints_text_and_json(store: Store) -> None:
    words = ["cost", "demo", "--store", store.address]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "saved by sharing 2 s" in " ".join(result.output.split())
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert found["spent_s"] == 2 + 2 * 2
    assert found["factor"] == pytest.approx(8 / 6)
    assert found["borrowed"] == []
    assert len(found["strata"]) == 1


def test_a_shared_training_that_failed_is_wasted_with_what_its_sessions_know() -> None:
    lost = shared("p", 0.0).model_copy(update={"complete": False, "reports": ()})
    record = study(trial(0, [], "failed"), trial(1, FULL, key="q"), states=(lost, shared("q", 5.0)))
    cost = total_cost(study_cost(record, trained={"p": 7.0, "q": 99.0}))
    assert (cost.pretrain_s, cost.failed_s, cost.spent_s) == (7 + 5, 7, 12 + 8)
    waiting = study(trial(0, [], "running"), states=(lost,))
    cost = total_cost(study_cost(waiting, trained={"p": 7.0}))
    assert (cost.pretrain_s, cost.failed_s) == (7, 0)


def test_a_prediction_stands_beside_what_happened(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    put_study(store, space="[study]\n", data={"content_hash": "d"})
    put_shared(store, "pretrain", {"chair/000": 1.0})
    put_trial(store, 0, {"chair/000": 5.0}, keys=(PRETRAIN, ""))
    numbers = dict.fromkeys(Prediction.model_fields, 0) | {"device": "cpu"}
    prediction = Prediction.model_validate(numbers | {"semi_s": 1.0, "total_bytes": 1000})
    write_prediction(store, prediction_key("# words\n[study]", "d", 1), prediction)
    words = ["cost", "demo", "--store", store.address]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "teacher-student 1 s 2 s 2.00" in " ".join(result.output.split())
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["prediction"]
    assert found["semi_s"] == {"predicted": 1.0, "actual": 2.0, "ratio": 2.0}
    assert found["control_s"]["ratio"] is None
    stored = sum(path.stat().st_size for path in (tmp_path / "store").rglob("*") if path.is_file())
    unseen = len(prediction.to_json()) + 1000  # locks, and manifests of bundles once more
    assert stored - unseen < found["bytes"]["actual"] <= stored


@pytest.mark.parametrize(("num_bytes", "text"), [(12, "12 B"), (3400, "3.4 kB"), (5e10, "50 GB")])
def test_sizes_as_a_person_says_them(num_bytes: float, text: str) -> None:
    assert size(num_bytes) == text
