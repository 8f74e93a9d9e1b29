import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ss3d.errors import CheckpointError
from ss3d.report.challenge import Challenge, Measured, challenge, parse_measured
from ss3d.report.challenge_picture import choose_objects, draw_challenge
from ss3d.report.previews import Previews

NAMES = [f"m{number}" for number in range(6)]
CATEGORIES = dict(zip(NAMES, ["chair"] * 4 + ["table"] * 2, strict=True))


def measured(values: list[float], data: str = "d" * 64) -> Measured:
    distances = dict(zip(NAMES, values, strict=False))
    return Measured("0" * 64, 3, data, float(np.mean(values)), distances)


def test_a_candidate_that_is_better_everywhere_by_the_same_gains_just_that() -> None:
    found = challenge(measured([10.0] * 6), measured([9.5] * 6), CATEGORIES)
    assert found.gain is not None
    assert (found.gain.mean, found.gain.low, found.gain.high) == (0.5, 0.5, 0.5)
    assert found.gain.verdict == "better"
    assert [(one.category, one.gain.num_models) for one in found.categories] == [
        ("chair", 4),
        ("table", 2),
    ]


def test_categories_are_paired_on_their_own() -> None:
    candidate = measured([9.0, 9.0, 9.0, 9.0, 12.0, 12.0])
    found = challenge(measured([10.0] * 6), candidate, CATEGORIES)
    assert [one.gain.mean for one in found.categories] == [1.0, -2.0]
    assert [(one.champion, one.candidate) for one in found.categories] == [(10, 9), (10, 12)]
    assert found.gain is not None
    assert found.gain.mean == pytest.approx(0.0)
    assert found.gain.verdict == "not distinguishable"


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (measured([9.0] * 6, data="e" * 64), "measured on data dddddddddddd…, .* eeeeeeeeeeee…"),
        (measured([9.0] * 4), "measured on 6 validation models, the candidate on 4"),
    ],
)
def test_what_was_measured_on_other_models_is_not_paired(candidate: Measured, reason: str) -> None:
    found = challenge(measured([10.0] * 6), candidate, CATEGORIES)
    assert found.gain is None
    assert not found.categories
    assert re.search(reason, found.reason)


def test_a_damaged_measurement_is_named() -> None:
    with pytest.raises(CheckpointError, match="here: not a complete export"):
        parse_measured(b"{}", "here")
    with pytest.raises(CheckpointError, match="not a complete export"):
        parse_measured(json.dumps([1]).encode(), "here")


def test_the_picture_shows_the_most_improved_the_median_and_the_most_worsened(
    tmp_path: Path,
) -> None:
    found = challenge(measured([10.0] * 6), measured([9.0, 12.0, 10.0, 7.0, 9.9, 10.1]), CATEGORIES)
    candidate = previews(found)
    assert choose_objects(found, candidate) == {
        "m3": "largest gain",
        "m2": "median gain",
        "m1": "smallest gain",
    }
    for champion in (candidate, None):
        draw_challenge(tmp_path / "new" / "c.png", found, candidate, champion, "b against a")
        with Image.open(tmp_path / "new" / "c.png") as drawn:
            assert drawn.width > 900
            assert drawn.height > 900


def previews(found: Challenge) -> Previews:
    clouds = np.random.default_rng(0).normal(size=(6, 32, 3)).astype(np.float32)
    shown = ["m1", "m2", "m3", "m4"]
    return Previews(
        ids=NAMES,
        categories=list(CATEGORIES.values()),
        names={"chair": "chair"},
        predicted=clouds,
        target=clouds,
        images={name: np.full((8, 8, 3), 0.5, dtype=np.float32) for name in shown},
        distances=found.candidate.distances,
        value=found.candidate.cd_l1,
        config={},
    )
