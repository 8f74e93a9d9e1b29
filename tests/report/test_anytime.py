"""Two searches side by side, in closed forms."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from gain_records import put_study, put_trial
from PIL import Image
from spent_records import shared, study, trial
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.errors import ConfigError, RefusedError
from ss3d.report.anytime import compare
from ss3d.report.anytime_plot import draw_comparison
from ss3d.report.best_of import best_of_k, bests_of
from ss3d.store.directory import DirectoryStore
from ss3d.trial.records import StudyRecord


def many(name: str, values: list[float], **spec: object) -> StudyRecord:
    """A study of complete trials of 8 s each that end with these values."""
    trials = [trial(n, [20.0] * 4 + [value]) for n, value in enumerate(values)]
    return study(*trials, name=name, **spec)


def test_best_of_k_is_the_mean_over_all_draws() -> None:
    values = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]
    for k in range(1, 7):
        draws = list(combinations(values, k))
        assert best_of_k(values, k) == pytest.approx(np.mean([min(draw) for draw in draws]))
        assert best_of_k(values, k, minimize=False) == pytest.approx(
            np.mean([max(draw) for draw in draws])
        )


def test_best_of_k_for_powers_of_two_and_all() -> None:
    found = bests_of([float(n) for n in range(11)], minimize=True)
    assert [best.k for best in found] == [1, 2, 4, 8, 11]
    assert found[0].mean == 5
    assert found[-1].mean == 0
    assert all(best.low <= best.mean <= best.high for best in found)
    assert [best.k for best in bests_of([7.0], minimize=True)] == [1]


def test_the_interval_of_a_mean_is_that_of_the_central_limit_theorem() -> None:
    values = np.random.default_rng(0).normal(size=400)
    first = bests_of(values.tolist(), minimize=True)[0]
    assert first.high - first.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_the_curve_counts_pretraining_once_and_follows_the_ends() -> None:
    record = study(
        trial(0, [9.0, 8.0, 7.0, 6.0, 5.0], finished_at=30.0),
        trial(1, [9.0, 8.0], "pruned", finished_at=10.0),
        trial(2, [9.0, 4.0], "failed", finished_at=20.0),
        trial(3, [9.0, 8.0, 8.0, 8.0, 5.5], key="q", finished_at=40.0),
        trial(4, [9.0, 1.0], "running"),
        states=(shared("p", 10.0), shared("q", 5.0), shared("c", 99.0, "control")),
    )
    curve = compare(record, record, {}).searches[0].points
    assert [point.trial for point in curve] == ["t00001", "t00002", "t00000", "t00003"]
    assert [point.spent_s for point in curve] == [12, 14, 22, 35]
    assert [point.value for point in curve] == [8.0, None, 5.0, 5.5]
    assert [point.best for point in curve] == [None, None, 5.0, 5.0]


def test_a_maximised_objective_keeps_the_largest() -> None:
    spec = {"objective": {"metric": "val/cd_l1", "direction": "maximize"}}
    low, high = many("low", [1.0] * 6, **spec), many("high", [2.0] * 6, **spec)
    found = compare(low, high, {})
    assert [point.best for point in found.searches[1].points] == [2.0] * 6
    assert found.same_budget.verdict == "better"
    assert compare(high, low, {}).same_budget.verdict == "worse"


def test_the_verdict_is_at_the_smaller_budget() -> None:
    first = many("first", [5.0, 5.1, 5.2, 5.3, 5.1])
    second = many("second", [3.0, 3.1, 3.2, 3.1, 3.0, 1.0, 1.0])
    same = compare(first, second, {}).same_budget
    assert same.budget_s == 5 * 8
    assert same.num_trials == (5, 5)
    assert same.best == (5.0, 3.0)
    assert same.difference == -2
    assert same.verdict == "better"
    assert compare(second, first, {}).same_budget.verdict == "worse"


def test_what_could_be_luck_is_not_distinguishable() -> None:
    values = [5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    same = compare(many("a", values), many("b", [v - 0.1 for v in values]), {}).same_budget
    assert same.verdict == "not distinguishable"
    few = compare(many("a", [5.0] * 4), many("b", [1.0] * 4), {}).same_budget
    assert (few.difference, few.low, few.verdict) == (-4, None, None)


def test_a_budget_that_ends_before_a_result_has_no_verdict() -> None:
    slow = study(
        trial(0, [9.0, 8.0, 7.0, 6.0, 5.0], epoch_s=100.0), trial(1, [9.0, 8.0]), name="slow"
    )
    same = compare(many("quick", [5.0] * 6), slow, {}).same_budget
    assert (same.best, same.difference, same.verdict) == ((5.0, None), None, None)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"data": {"content_hash": "e" * 64}}, "different data: a has dddddddddddd…, b has eee"),
        ({"objective": {"metric": "val/f_score"}}, "b minimises val/f_score; compare"),
        ({"objective": {"direction": "maximize"}}, "b maximises val/cd_l1; compare"),
    ],
)
def test_studies_that_cannot_be_compared(spec: dict[str, object], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        compare(many("a", [1.0]), many("b", [1.0], **spec), {})


def test_strata_are_compared_one_by_one() -> None:
    def of(name: str, **more: object) -> StudyRecord:
        trials = [
            trial(n, [9.0, 8.0 - n], stratum={path: value}, config=config)
            for n, (path, value, config) in enumerate(
                [
                    ("data.labeled_ratio", 0.1, {"data.labeled_ratio": 0.1}),
                    ("data.labeled_ratio", 0.2, {"data.labeled_ratio": 0.2}),
                ]
            )
        ]
        return study(*trials, name=name, **more)

    message = r"data.labeled_ratio is 0.1, 0.2; say which, e.g. --where data.labeled_ratio=0.1"
    with pytest.raises(RefusedError, match=message):
        compare(of("a"), of("b"), {})
    found = compare(of("a"), of("b"), {"data.labeled_ratio": "0.2"})
    assert [len(search.points) for search in found.searches] == [1, 1]
    assert found.searches[0].points[0].trial == "t00001"
    with pytest.raises(ConfigError, match=r"semi\.nothing is no parameter of studies a and b"):
        compare(of("a"), of("b"), {"semi.nothing": 1})
    with pytest.raises(RefusedError, match="study a has no complete trial there"):
        compare(of("a"), of("b"), {"data.labeled_ratio": 0.3})


def test_free_ratios_are_refused_and_an_arm_names_itself_in_its_own_study_only() -> None:
    arms = study(*(trial(n, [9.0, 8.0], stratum={"arm": "xy"[n]}) for n in range(2)), name="arms")
    plain = many("plain", [5.0])
    found = compare(arms, plain, {"arm": "y"})
    assert [len(search.points) for search in found.searches] == [1, 1]
    free = study(trial(0, [9.0, 8.0], config={"data.labeled_ratio": 0.7}), name="free")
    with pytest.raises(RefusedError, match=r"data.labeled_ratio is .*0\.7"):
        compare(plain, free, {})


def test_the_picture_has_two_panels(tmp_path: Path) -> None:
    comparison = compare(many("a", [5.0, 4.0, 4.5]), many("b", [3.0, 6.0]), {})
    draw_comparison(tmp_path / "deep" / "compare.png", comparison, "a and b")
    with Image.open(tmp_path / "deep" / "compare.png") as picture:
        assert picture.size == (1196, 468)
    draw_comparison(tmp_path / "compare.pdf", comparison)
    assert (tmp_path / "compare.pdf").read_bytes().startswith(b"%PDF")


def test_the_command_prints_text_json_and_a_picture(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    put_study(store)
    for number in range(3):
        put_trial(store, number, {"chair/000": 5.0 + number})
    words = ["compare", "demo", "demo", "--store", store.address]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "too few trials to tell whether that is luck" in " ".join(result.output.split())
    figure = tmp_path / "compare.png"
    result = CliRunner().invoke(app, [*words, "--json", "-o", str(figure)])
    found = json.loads(result.stdout)
    assert [point["best"] for point in found["studies"][0]["curve"]] == [5.0, 5.0, 5.0]
    assert found["same_budget"]["difference"] == 0
    assert figure.exists()
    result = CliRunner().invoke(app, [*words, "-o", "compare.gif"])
    assert isinstance(result.exception, ConfigError)
