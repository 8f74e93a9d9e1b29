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
