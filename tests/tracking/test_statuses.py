import pytest
from tracking_records import make_pretrain, make_trial

from ss3d.tracking.statuses import shared_status, study_status

DONE, LEFT = make_trial(0, "pruned"), make_trial(1)
LOST = make_trial(2, "failed", epochs=0)


@pytest.mark.parametrize(
    ("trials", "budget", "is_running", "status"),
    [
        ([DONE], 1, False, "FINISHED"),
        ([DONE], 1, True, "RUNNING"),
        ([DONE], 2, False, "KILLED"),
        ([DONE, LEFT], 1, False, "KILLED"),
        ([], 1, False, "KILLED"),
    ],
)
def test_a_study_is_finished_when_its_budget_is_and_nothing_is_left(
    trials: list, budget: int, is_running: bool, status: str
) -> None:
    assert study_status(trials, budget, "", is_running) == status


def test_a_study_that_ended_by_another_limit_is_finished_too() -> None:
    assert study_status([DONE, LEFT], 9, "target 3 reached by t00000", False) == "FINISHED"
    assert study_status([DONE, LEFT], 9, "target 3 reached by t00000", True) == "RUNNING"


@pytest.mark.parametrize(
    ("trials", "is_running", "status"),
    [
        ([LOST], True, "FAILED"),
        ([LOST], False, "FAILED"),
        ([LOST, LEFT], True, "RUNNING"),
        ([LOST, LEFT], False, "KILLED"),
        ([make_trial(3, "failed", epochs=2)], False, "KILLED"),
        ([], True, "RUNNING"),
    ],
)
def test_a_pretrain_fails_with_all_trials_that_needed_it(
    trials: list, is_running: bool, status: str
) -> None:
    assert shared_status(make_pretrain(complete=False), trials, is_running) == status
    assert shared_status(make_pretrain(), trials, is_running) == "FINISHED"


def test_trials_of_other_pretrains_do_not_count() -> None:
    other = LOST.model_copy(
        update={"spec": LOST.spec.model_copy(update={"pretrain_key": "cd" * 32})}
    )
    unfinished = make_pretrain(complete=False)
    assert shared_status(unfinished, [other], is_running=True) == "RUNNING"
    assert shared_status(unfinished, [other, LOST], is_running=True) == "FAILED"
