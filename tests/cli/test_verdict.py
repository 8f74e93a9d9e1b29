from ss3d.cli.rerun_tables import show_verdict
from ss3d.trial.verdict import Verdict


def test_a_person_reads_what_was_not_compared(capsys):
    verdict = Verdict(
        verdict="bitwise", first_difference=None, relative_difference=0.0, epochs=3,
        pretrain_epochs=0, after=None, metrics={}, original={}, only_original=[],
        only_rerun=["val/cd_l1_sum", "val/f_score"],
    )  # fmt: skip
    show_verdict(verdict)
    text = " ".join(capsys.readouterr().out.split())
    assert "bitwise over 3 epochs" in text
    assert "not compared, only the rerun has: val/cd_l1_sum, val/f_score" in text
    assert "original" not in text


def test_a_person_reads_the_first_difference_and_how_far_it_went(capsys):
    verdict = Verdict(
        verdict="within tolerance", relative_difference=0.00125, epochs=1, pretrain_epochs=2,
        first_difference={
            "phase": "semi", "epoch": 3, "name": "val/cd_l1", "original": 8.0, "rerun": 8.01
        }, after=2, metrics={}, original={}, only_original=[], only_rerun=[],
    )  # fmt: skip
    show_verdict(verdict)
    assert capsys.readouterr().out.splitlines() == [
        "verdict: within tolerance over 1 epoch after epoch 2 and 2 of pretraining",
        "first difference: semi epoch 3, val/cd_l1: 8.0 -> 8.01",
        "last val/cd_l1: differs by 0.12%, tolerance 1%",
    ]
