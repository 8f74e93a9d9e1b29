"""What a launch is predicted to cost, on numbers that one can do in one's head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ss3d.cli.search import check_outcome
from ss3d.data.dataset import open_dataset
from ss3d.errors import RefusedError
from ss3d.report.predicted import Prediction, prediction_key, read_prediction, write_prediction
from ss3d.settings import Settings
from ss3d.store.directory import DirectoryStore
from ss3d.study.brackets import Hyperband
from ss3d.study.definition import Request
from ss3d.study.driver import Watcher, search
from ss3d.study.live import why_ended
from ss3d.study.planned import count_kinds, expected, kind_of, plan
from ss3d.study.prediction import expected_rates, mean_probe, predict, waves
from ss3d.study.rungs import MedianRule, NeverStop, Patience, SuccessiveHalving
from ss3d.study.space import Space, parse_space
from ss3d.study.toml_lines import TomlFile
from ss3d.trial.history import load_study_record
from ss3d.trial.probe import PhaseProbe, Probe

BASE = """
[base]
preset = "tiny"
pretrain.steps = 100
pretrain.epochs = 10
semi.steps = 80
semi.epochs = 4
[sampler]
name = "random"
"""
EMA = '[parameters."semi.ema_decay"]\ntype = "float"\nlow = 0.5\nhigh = 0.9\n'
HEADS = '[parameters."model.num_heads"]\ntype = "categorical"\nchoices = [4, 8]\n'
RATIO = 'strata = ["data.labeled_ratio"]\n'
RATIOS = '[parameters."data.labeled_ratio"]\ntype = "categorical"\nchoices = [0.1, 0.2, 0.5]\n'
STEP = PhaseProbe(step_s=1.0, check_s=2.0, save_s=0.5, checkpoint_bytes=100)
PROBE = Probe(
    pretrain=STEP,
    semi=PhaseProbe(step_s=3.0, check_s=4.0, save_s=0.5, checkpoint_bytes=200),
    control_step_s=1.5,
    export_s=5.0,
    export_bytes=1000,
    report_bytes=10,
)


def parse(text: str) -> Space:
    return parse_space(TomlFile(text, "x.toml"), "x")


def test_the_planned_trials_are_those_that_random_search_proposes() -> None:
    planned = plan(parse("controls = true\n" + RATIO + BASE + EMA + HEADS + RATIOS), 30)
    assert len(planned) == 30
    assert [one.config.data.labeled_ratio for one in planned[:4]] == [0.1, 0.2, 0.5, 0.1]
    assert len({one.pretrain for one in planned}) == 6  # 3 ratios x 2 head counts
    assert len({one.control for one in planned}) == 6
    assert len(count_kinds(planned)) == 2  # what is labeled costs nothing
    assert plan(parse(BASE + EMA), 1)[0].control == ""


def test_kinds_differ_in_what_costs() -> None:
    config = parse(BASE).base
    for path, value in (
        ("semi.lr", 1e-5),
        ("semi.seed", 9),
        ("semi.lambda_u", 0.5),
        ("pretrain.steps", 7000),
    ):
        assert kind_of(config.override({path: value})) == kind_of(config)
    for path, value in (("model.width", 64), ("semi.lambda_u", 0.0), ("pretrain.batch_size", 9)):
        assert kind_of(config.override({path: value})) != kind_of(config)


@pytest.mark.parametrize(
    ("rule", "epochs", "completes"),
    [
        (NeverStop(), 9, 1),
        (Patience(1, 2, 0.0), 9, 1),
        (SuccessiveHalving(1, 3), 1 + 2 / 3 + 6 / 9, 1 / 9),
        (SuccessiveHalving(2, 2), 2 + 2 / 2 + 4 / 4 + 1 / 8, 1 / 8),
        (SuccessiveHalving(9, 3), 9, 1),
        (MedianRule(3, 5), 6, 0.5),
    ],
)
def test_rungs_stop_the_share_they_aim_at(rule, epochs: float, completes: float) -> None:
    assert expected(rule, 0, 9) == pytest.approx((epochs, completes))


def test_a_bracket_that_begins_later_stops_less() -> None:
    rule = Hyperband(1, 3, 9, seed=0)
    found = {expected(rule, number, 9) for number in range(50)}
    halvings = [SuccessiveHalving(first, 3) for first in (1, 3, 9)]
    assert found == {expected(halving, 0, 9) for halving in halvings}


def test_closed_forms_of_a_launch() -> None:
    space = parse("controls = true\n" + BASE + EMA + '[pruner]\nname = "none"\n')
    planned = plan(space, 6)
    found = predict(planned, {planned[0].kind: PROBE}, slots=2, device="cpu")
    pretrain_s = 100 * 1.0 + 10 * 2.0
    semi_s = 80 * 3.0 + 5 * 4.0  # epoch 0 is validated too
    control_s = 80 * 1.5 + 5 * 4.0
    assert (found.trials, found.pretrains, found.controls) == (6, 1, 1)
    assert (found.pretrain_s, found.alone_s) == (pretrain_s, 6 * pretrain_s)
    assert (found.semi_s, found.unstopped_s) == (6 * semi_s, 6 * semi_s)
    assert found.control_s == control_s
    assert found.spent_s == pretrain_s + 6 * semi_s + control_s
    assert found.first_s == pretrain_s + semi_s
    assert found.pretrain_epoch_s * 10 == pretrain_s
    assert found.semi_epoch_s * 4 == semi_s
    overhead_s = 4 * 0.5 + 5
    wall_s = (pretrain_s + 10 * 0.5 + 5) + 3 * (semi_s + overhead_s) + control_s + overhead_s
    assert found.wall_s == pytest.approx(wall_s)
    assert found.pretrain_bytes == 1000 + 2 * 100 + 10 * 10
    assert found.trial_bytes == 1000 + 2 * 200 + 10 * (1 + 2 + 3 + 4 + 5 + 5)
    assert found.control_bytes == 1000 + 2 * 200 + 5 * 10
    assert found.total_bytes == found.pretrain_bytes + 6 * found.trial_bytes + found.control_bytes


def test_pretrainings_that_take_more_slots_take_longer_together() -> None:
    space = parse(BASE + EMA.replace("semi.ema_decay", "pretrain.lr"))
    planned = plan(space, 6)
    probes = {planned[0].kind: PROBE}
    pretrain_s = (100 * 1.0 + 10 * 2.0) + (10 * 0.5 + 5)
    plain = predict(planned, probes, 3, "cpu")
    for slots, rounds in ((1.5, 3), (2, 6), (3, 6), (9, 6), (0.5, 1)):
        found = predict(planned, probes, 3, "cpu", pretrain_slots=slots)
        assert found.wall_s - plain.wall_s == pytest.approx((rounds - 2) * pretrain_s)


def test_stopping_saves_epochs_and_controls() -> None:
    searched = EMA.replace("ema_decay", "lr")
    space = parse("controls = true\n" + BASE + searched + "[pruner]\nreduction_factor = 2\n")
    planned = plan(space, 8)  # rungs 1, 2: 1 + 1/2 + 2/4 of 4 epochs, one in four completes
    found = predict(planned, {planned[0].kind: PROBE}, slots=8, device="cpu")
    assert found.semi_s == pytest.approx(8 * (4 + 2 / 4 * (80 * 3.0 + 4 * 4.0)))
    assert found.controls == 2
    assert found.control_s == pytest.approx(2 * (80 * 1.5 + 5 * 4.0))


def test_a_kind_that_was_not_measured_counts_with_the_mean_of_the_others() -> None:
    double = PhaseProbe(step_s=3.0, check_s=2.0, save_s=0.5, checkpoint_bytes=300)
    probe = Probe(double, PROBE.semi, 1.5, 5.0, 1000, 10)
    mean = mean_probe([PROBE, probe])
    assert mean.pretrain == PhaseProbe(2.0, 2.0, 0.5, 200)
    assert mean.semi == PROBE.semi


def test_waves() -> None:
    assert [waves(jobs, 4) for jobs in (0, 1, 4, 5, 8)] == [0, 1, 1, 2, 2]


LITTLE = '[sampler]\nname = "random"\n[budget]\ntrials = 3\ndevice_hours = 0.01\n'


def make_prediction(**values: object) -> Prediction:
    numbers = dict.fromkeys(Prediction.model_fields, 0) | {"device": "cpu"} | values
    return Prediction.model_validate(numbers)


def test_a_search_begins_with_the_speeds_that_were_predicted_for_it(
    tmp_path: Path, data_folder: Path, write_space: Callable[[str], Path]
) -> None:
    space, settings = write_space(LITTLE), Settings(home=tmp_path / "home")
    store = DirectoryStore(Path(settings.store_address))
    data_hash = open_dataset(DirectoryStore(data_folder)).manifest.content_hash
    key = prediction_key(space.read_text(), data_hash, 3)
    write_prediction(store, key, make_prediction(semi_epoch_s=1.0))
    write_prediction(store, key, make_prediction(semi_epoch_s=10.0, pretrain_epoch_s=1.0))
    request = Request(space=space, data=str(data_folder))
    snapshot = search(request, settings, None, Watcher())  # 4 epochs of 10 s are more than 36 s
    reason = "3 of 3 trials not started: 0.01 of 0.01 device hours left, a trial needs 0.011"
    assert why_ended(snapshot) == reason
    with pytest.raises(RefusedError, match="study fast: the budget allows no trial: 3 of 3 trials"):
        check_outcome("fast", snapshot)
    record = load_study_record(store, "fast")
    assert record.trials == ()
    assert read_prediction(store, record.spec) == make_prediction(
        semi_epoch_s=10.0, pretrain_epoch_s=1.0
    )
    assert expected_rates(store, record.spec, is_gpu=False) == {"pretrain": 1.0, "semi": 10.0}
    assert expected_rates(store, record.spec, is_gpu=True) == {}


def test_a_prediction_is_found_by_what_the_space_says(tmp_path: Path) -> None:
    key = prediction_key(BASE + EMA, "d", 3)
    assert key == prediction_key("# more words\n" + EMA + BASE, "d", 3)
    others = [(BASE, "d", 3), (BASE + EMA, "e", 3), (BASE + EMA, "d", 4)]
    assert all(prediction_key(*other) != key for other in others)
    assert read_prediction(DirectoryStore(tmp_path), {}) is None
