from collections.abc import Callable

import pytest
from tracking_records import make_trial, write_best

from ss3d.store.directory import DirectoryStore
from ss3d.tracking.candidate import directory_candidate, trial_candidate
from ss3d.tracking.ledger import Answer
from ss3d.tracking.model_card import model_card, shorten
from ss3d.trial.readings import TestReading, record_reading


def test_the_card_of_a_trial_says_what_it_is_worth_and_where_it_fails(
    store: DirectoryStore, put_trial: Callable
) -> None:
    put_trial(make_trial(0, "complete"))
    closed = Answer(gate="margin", passed=False, got="a gain of 0.1", expected="0.2")
    with trial_candidate(store, "demo", None, {}) as candidate:
        reading = TestReading(
            model="demo/t00000", weights_sha256=candidate.measured.weights_sha256,
            data_hash="d" * 64, split_hash="e" * 64, count=7, cd_l1=11.25,
            cd_l1_category_mean=12.0, code_version="", read_at=0.0,
        )  # fmt: skip
        record_reading(store, reading)
        record_reading(store, reading.model_copy(update={"weights_sha256": "another"}))
        card = model_card(candidate, (closed,), "for phones")
    for line in (
        "# demo/t00000",
        "`test/cd_l1` 11.250 on 7 test models, read once.",
        "| chair | 1 | **10.000** |",
        "| table | 1 | **11.000** |",
        f"- data `shapes`, content hash `{'d' * 64}`",
        "- labeled ratio 0.1; seeds: split 0, pretraining 0, teacher-student 0",
        "- reason: for phones",
        "- Fewer than 10 validation models, so a value to distrust: chair, table.",
        "| margin | closed, forced | a gain of 0.1 | 0.2 |",
    ):
        assert line in card.splitlines()
    assert "`val/cd_l1` **10.500** [10.000, 11.000] on 2 validation models" in card
    assert "doi:10.1177/30504554261447220" in card


def test_a_directory_has_a_card_as_well(tmp_path) -> None:
    write_best(tmp_path / "best")
    card = model_card(directory_candidate(tmp_path))
    assert card.startswith(f"# {tmp_path}\n")
    assert "test/cd_l1" not in card
    assert "## Gates" not in card


@pytest.mark.parametrize("most", [80, 100])
def test_a_description_keeps_whole_parts(most: int) -> None:
    card = "# t\n\nOne image in.\n\n## A\n\n" + 20 * "a" + "\n\n## B\n\n" + 60 * "b" + "\n"
    assert shorten(card, len(card)) == card
    short = shorten(card, most)
    assert len(short) <= most
    parts = short.removesuffix("\n\nThe rest is in the model's README.md.\n")
    assert card.startswith(parts + "\n\n## ")
