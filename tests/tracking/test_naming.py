from tracking_records import make_pretrain, make_trial

from ss3d.config import P1, P2, field_marks
from ss3d.report.leaderboard import describe_values
from ss3d.tracking.naming import shared_name, shared_params, trial_name


def test_headline_parameters_come_first_by_their_codes() -> None:
    values = {
        "semi.fp_magnitude": 0.5,
        "semi.lr": 2e-4,
        "semi.aug_strength": 0.6,
        "semi.ema_decay": 0.999,
        "model.num_heads": 8,
        "data.labeled_ratio": 0.1,
        "model.use_hfa": False,
    }
    expected = "r0.1 h8 α0.999 s0.6 m0.5 use_hfa=False lr=0.0002"
    assert describe_values(values) == expected


def test_a_trial_of_a_study_that_varies_nothing_has_its_id_alone() -> None:
    record = make_trial(5)
    spec = record.spec.model_copy(update={"params": {}, "stratum": {}})
    assert trial_name(record.model_copy(update={"spec": spec})) == "t00005"


def test_a_shared_run_shows_only_what_acts_in_it() -> None:
    marks = dict(field_marks())
    pretrain = make_pretrain()
    control = pretrain.model_copy(update={"kind": "control"})
    assert {marks[path] for path in shared_params(pretrain)} == {P1}
    assert {marks[path] for path in shared_params(control)} == {P1, P2}
    assert shared_name(control).startswith("control abababab")
