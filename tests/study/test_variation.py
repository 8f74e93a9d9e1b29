"""Search spaces with another sampler, pruner or budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from ss3d.errors import ConfigError
from ss3d.study import tables
from ss3d.study.synthetic import SPACE, synthetic_space
from ss3d.study.variation import with_pruner, with_sampler, with_tables_of


def test_keywords_of_the_same_name_hold_and_others_begin_with_their_defaults() -> None:
    space = with_pruner(synthetic_space(), "asha:reduction_factor=4")
    assert space.pruner == tables.Asha(reduction_factor=4)
    assert with_pruner(space, "asha:first_rung=2").pruner == tables.Asha(
        first_rung=2, reduction_factor=4
    )
    assert with_pruner(space, "median").pruner == tables.Median(name="median")
    assert with_sampler(space, "tpe:n_startup_trials=3,multivariate=false").sampler == tables.Tpe(
        n_startup_trials=3, multivariate=False
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "got name 'nonsense', expected 'asha'"),
        ("asha:factor=2", "factor: there is no such key"),
        ("asha:reduction_factor=1", "greater than or equal to 2"),
        ("asha:reduction_factor", "expected NAME or NAME:KEY=VALUE"),
        ("asha:first_rung=12", "got 12, expected less than semi.epochs = 12"),
        ("hyperband:reduction_factor=9", "expected two brackets at least"),
    ],
)
def test_a_pruner_that_is_none_or_could_never_act_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_pruner(synthetic_space(), text)


def test_a_file_gives_sampler_pruner_and_budget_if_it_searches_the_same(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    tables_of = '[pruner]\nname = "patience"\nepochs = 3\n[budget]\ntrials = 7\n'
    path.write_text(SPACE + tables_of)
    space = with_tables_of(synthetic_space(), path)
    assert space.pruner == tables.Patience(name="patience", epochs=3)
    assert (space.budget.trials, space.num_trials) == (7, 7)
    path.write_text(SPACE.replace("1e-2", "2e-2"))
    with pytest.raises(ConfigError, match=r"other\.toml has other parameters than the study"):
        with_tables_of(synthetic_space(), path)
