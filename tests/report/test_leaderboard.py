import io

import pytest
from report_records import make_study
from rich.console import Console

from ss3d.report.leaderboard import (
    duration,
    leaderboard,
    objective_of,
    short,
)
from ss3d.report.leaderboard_table import leaderboard_table
from ss3d.report.paired_gain import PairedGain
from ss3d.trial.objectives import Objective, objectives_of

VALUES = [("complete", 0.1, 12.0), ("complete", 0.2, 9.0), ("pruned", 0.1, 5.0)]


def test_complete_trials_are_ranked_within_their_stratum() -> None:
    study = make_study(
        [*VALUES, ("complete", 0.1, 11.0), ("failed", 0.1, None), ("running", 0.1, 3.0)]
    )
    rows = [(row.stratum["data.labeled_ratio"], row.rank, row.trial) for row in leaderboard(study)]
    assert rows == [
        (0.1, 1, "t00003"),
        (0.1, 2, "t00000"),
        (0.1, None, "t00002"),
        (0.1, None, "t00005"),
        (0.1, None, "t00004"),
        (0.2, 1, "t00001"),
    ]


def test_a_maximised_objective_ranks_the_largest_first_and_nan_last() -> None:
    study = make_study(
        [("complete", 0.1, 1.0), ("complete", 0.1, float("nan")), ("complete", 0.1, 2.0)],
        direction="maximize",
    )
    assert [row.trial for row in leaderboard(study)] == ["t00002", "t00000", "t00001"]


def test_a_row_tells_value_gain_epochs_and_seconds() -> None:
    row = leaderboard(make_study([("complete", 0.1, 11.0)]))[0]
    assert (row.value, row.gain, row.epochs, row.seconds) == (11.0, 1.0, 1, 4.0)


def test_the_objective_comes_from_the_study() -> None:
    spec = {"objective": {"metric": "val/f_score", "direction": "maximize"}}
    assert objective_of(spec) == Objective("val/f_score", minimize=False)
    assert objective_of({}) == Objective("val/cd_l1", minimize=True)


def test_the_table_shows_strata_and_what_varies_only() -> None:
    console = Console(file=io.StringIO(), width=160)
    study = make_study(VALUES)
    console.print(leaderboard_table(leaderboard(study), objectives_of({})))
    text = console.file.getvalue()
    assert " r0.1" in text
    assert "fixed" not in text
    assert "12.000" in text
    assert "rung 2" not in text  # `ss3d why` tells; the table tells why a trial failed


def test_eighty_columns_cut_no_parameter_and_a_legend_tells_the_names() -> None:
    study = make_study(VALUES)
    more = {"model.num_decoder_heads": 2, "semi.unlabeled_batch": 16, "semi.lr": 1e-4}
    trials = [
        trial.model_copy(
            update={
                "spec": trial.spec.model_copy(
                    update={"params": {path: n * value for path, value in more.items()}}
                )
            }
        )
        for n, trial in enumerate(study.trials, start=1)
    ]
    study = study.model_copy(update={"trials": tuple(trials)})
    console = Console(file=io.StringIO(), width=80)
    gains = dict.fromkeys((trial.spec.trial for trial in trials), None)
    console.print(leaderboard_table(leaderboard(study), objectives_of({}), over_control=gains))
    words = console.file.getvalue().split()
    assert "…" not in console.file.getvalue()
    assert {"ndh=2", "ub=16", "lr=0.0001"} <= set(words)
    legend = " ".join(words[words.index("·") - 2 :])
    assert "ndh model.num_decoder_heads · lr semi.lr · ub semi.unlabeled_batch" in legend


def test_gains_over_controls_have_a_column_with_a_mark() -> None:
    console = Console(file=io.StringIO(), width=120)
    study = make_study([("complete", 0.1, value) for value in (9.0, 10.0, 11.0, 12.0)])
    gains = {
        "t00000": PairedGain(0.5, 0.1, 0.9, "better", 40, 1),
        "t00001": PairedGain(-0.5, -0.9, -0.1, "worse", 40, 1),
        "t00002": PairedGain(0.1, -0.1, 0.3, "not distinguishable", 40, 1),
        "t00003": None,
    }
    rows = leaderboard(study)
    console.print(leaderboard_table(rows, objectives_of({}), over_control=gains))
    text = console.file.getvalue()
    for words in ("vs control", "+0.500 +", "-0.500 -", "+0.100 ="):
        assert words in text
    console.print(leaderboard_table(rows, objectives_of({})))
    assert console.file.getvalue().count("vs control") == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")],
)
def test_durations_read_as_a_person_says_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.999, "0.999"),
        (0.99964, "0.99964"),
        (0.999964321, "0.999964"),
        (0.95, "0.95"),
        (0.123456, "0.123"),
        (1.0, "1"),
        (8, "8"),
        (True, "True"),
    ],
)
def test_values_stay_short_and_decays_tell_their_distance_to_one(value: object, text: str) -> None:
    assert short(value) == text
