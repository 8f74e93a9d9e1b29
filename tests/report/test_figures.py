"""Figures: which objects, which models, one camera, and what is drawn."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from figure_models import CHAIR, make_model
from PIL import Image
from report_records import make_study

from ss3d.config import TrialConfig
from ss3d.errors import ConfigError
from ss3d.report import figures_sheet
from ss3d.report.figures_balls import Frame, draw_balls, frame_around
from ss3d.report.figures_choice import choose_extremes, choose_objects
from ss3d.report.figures_groups import Candidate, best_by, candidates_of
from ss3d.report.figures_paper import draw_sheet
from ss3d.report.figures_viewer import write_viewer
from ss3d.report.pictures import project

DISTANCES = {"b/1": 5.0, "b/2": 1.0, "b/3": 2.0, "a/4": 9.0, "a/5": 3.0, "a/6": 4.0}


@pytest.mark.parametrize(
    ("pick", "expected"),
    [
        ("best", ["a/5", "b/2", "a/6", "b/3", "a/4", "b/1"]),
        ("worst", ["a/4", "b/1", "a/6", "b/3", "a/5", "b/2"]),
        ("median", ["a/6", "b/3", "a/5", "b/2", "a/4", "b/1"]),
    ],
)
def test_objects_come_category_by_category_by_the_rule(pick, expected):
    model = make_model(DISTANCES)
    assert choose_objects([model], pick, 6).ids == expected
    short = choose_objects([model], pick, 3)
    assert short.ids == expected[:3]
    assert short.rule.startswith(f"{pick} of 6 validation objects")


def test_the_rule_is_applied_to_the_mean_over_all_models():
    first, second = make_model({"a/1": 1.0, "a/2": 2.0}), make_model({"a/1": 9.0, "a/2": 2.0})
    assert choose_objects([first, second], "best", 1).ids == ["a/2"]
    assert choose_objects([first], "best", 1).ids == ["a/1"]
    assert "mean cd_l1 of 2 models" in choose_objects([first, second], "best", 1).rule


def test_a_hash_does_not_look_at_the_distance():
    names = {f"a/{i}": float(i) for i in range(20)}
    turned = {name: 20 - value for name, value in names.items()}
    chosen = [choose_objects([make_model(d)], "hash", 5).ids for d in (names, turned)]
    assert chosen[0] == chosen[1]
    assert chosen[0] != sorted(chosen[0], key=lambda name: names[name])


def test_objects_without_an_input_are_left_out_where_others_are_enough():
    model = make_model(DISTANCES, with_image=["a/4", "b/1", "b/2"])
    assert choose_objects([model], "best", 3).ids == ["a/4", "b/2", "b/1"]
    assert choose_objects([model], "best", 4).ids == ["a/5", "b/2", "a/6", "b/3"]
    one_category = make_model(DISTANCES, with_image=["a/4", "a/5"])
    assert choose_objects([one_category], "best", 2).ids == ["a/5", "b/2"]


def test_models_without_a_common_object_are_refused():
    with pytest.raises(ConfigError, match="no validation model in common"):
        choose_objects([make_model({"a/1": 1.0}), make_model({"a/2": 1.0})], "best", 1)


def test_models_of_other_targets_are_refused():
    first = make_model({"a/1": 1.0})
    other = replace(first, previews=replace(first.previews, target=first.previews.target + 1))
    choice = choose_objects([first, other], "best", 1)
    with pytest.raises(ConfigError, match="a/1 has another ground truth"):
        figures_sheet.comparison([first, other], choice, 30, "")


def test_the_best_trial_of_each_ratio_becomes_a_column_in_order():
    study = make_study(
        [
            ("complete", 0.2, 9.0),
            ("complete", 0.01, 15.0),
            ("complete", 0.2, 8.0),
            ("pruned", 0.2, 1.0),
            ("complete", 0.01, float("nan")),
        ]
    )
    trials = [
        trial.model_copy(
            update={
                "spec": trial.spec.model_copy(
                    update={"config": trial.spec.config.override(trial.spec.stratum)}
                )
            }
        )
        for trial in study.trials
    ]
    found = best_by(
        candidates_of(study.model_copy(update={"trials": tuple(trials)})), "data.labeled_ratio", {}
    )
    assert {label: one.source for label, one in found.items()} == {
        "1 % labeled": "demo/t00001",
        "20 % labeled": "demo/t00002",
    }
    assert list(found) == ["1 % labeled", "20 % labeled"]


def test_arms_can_be_columns():
    study = make_study([("complete", 0.2, 9.0), ("complete", 0.2, 8.0), ("complete", 0.2, 8.5)])
    names = ("full", "no attention", "full")
    trials = [
        trial.model_copy(update={"spec": trial.spec.model_copy(update={"params": {"arm": name}})})
        for trial, name in zip(study.trials, names, strict=True)
    ]
    candidates = candidates_of(study.model_copy(update={"trials": tuple(trials)}))
    found = best_by(candidates, "arm", {"data.labeled_ratio": TrialConfig().data.labeled_ratio})
    assert {label: one.source for label, one in found.items()} == {
        "arm = full": "demo/t00002",
        "arm = no attention": "demo/t00001",
    }


def test_an_ablation_compares_what_is_alike_otherwise():
    candidates = [
        Candidate("s/1", {"model.use_hfa": True, "r": 0.1}, 1.0),
        Candidate("s/2", {"model.use_hfa": True, "r": 0.2}, 5.0),
        Candidate("s/3", {"model.use_hfa": False, "r": 0.2}, 6.0),
    ]
    found = best_by(candidates, "model.use_hfa", {"r": 0.2})
    assert {label: one.source for label, one in found.items()} == {
        "use_hfa = False": "s/3",
        "use_hfa = True": "s/2",
    }
    with pytest.raises(ConfigError, match=r"no complete trial with r=0\.3"):
        best_by(candidates, "model.use_hfa", {"r": 0.3})
    with pytest.raises(ConfigError, match=r"model\.use_hf: there is no such parameter"):
        best_by(candidates, "model.use_hf", {})


def test_a_frame_holds_every_cloud_from_every_side():
    clouds = [np.array([[0.9, 0.1, 0.0]], np.float32), np.array([[0, -0.5, 0.7]], np.float32)]
    frame = frame_around(clouds, [0.0, 90.0], margin=0.0)
    seen = np.concatenate([project(c, a) for c in clouds for a in (0.0, 90.0)])
    assert frame.half_width == pytest.approx(np.abs(seen[:, 0]).max())
    assert frame.half_height == pytest.approx(np.abs(seen[:, 1]).max())


def test_a_ball_appears_where_it_is_and_the_nearer_one_hides_the_other():
    frame = Frame(azimuth=0.0, half_width=1.0, half_height=1.0, elevation=0.0)
    red, blue = [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]
    cloud = np.array([[0.0, 0.0, -0.5], [0.0, 0.0, 0.5], [0.5, 0.5, 0.0]], np.float32)
    picture = draw_balls(cloud, np.array([red, blue, red], np.float32), frame, 100)
    assert picture.shape == (200, 200, 3)
    middle, upper_right, corner = picture[100, 100], picture[50, 150], picture[5, 5]
    assert middle[2] > middle[0] + 0.2
    assert upper_right[0] > upper_right[2] + 0.2
    assert corner.tolist() == [1.0, 1.0, 1.0]


def test_extremes_come_first_and_every_category_has_a_turn():
    models = [make_model({"a/1": 3.0, "a/2": 1.0, "b/1": 9.0, "b/2": 8.0, "c/1": 2.0})]
    assert choose_extremes(models, "best", 4).ids == ["a/2", "c/1", "b/2", "a/1"]
    assert choose_extremes(models, "worst", 2).ids == ["b/1", "a/1"]
    assert "3 categories" in choose_extremes(models, "worst", 2).rule


def test_a_focus_moves_a_point_into_the_middle():
    place = (0.4, -0.3, 0.2)
    frame = Frame(azimuth=70.0, half_width=0.2, half_height=0.2, focus=place)
    picture = draw_balls(np.array([place], np.float32), np.array([1.0, 0.0, 0.0]), frame, 200)
    rows, columns = np.nonzero(picture.min(axis=2) < 0.9)
    assert rows.mean() == pytest.approx(40, abs=2)
    assert columns.mean() == pytest.approx(40, abs=2)


def sheets():
    models = [make_model(DISTANCES, label="ours"), make_model(DISTANCES, label="theirs")]
    choice = choose_objects(models, "median", 2)
    return {
        "comparison": figures_sheet.comparison(models, choice, 30, "A <title>"),
        "viewpoints": figures_sheet.viewpoints(models[:1], choice, 30, "B"),
        "limitations": figures_sheet.limitations(models[:1], choice, 30, "C"),
    }


def test_columns_are_input_models_and_truth():
    sheet = sheets()["comparison"]
    assert sheet.columns == ["input", "ours", "theirs", "ground truth"]
    assert sheet.rows[0] == "seat\n6"
    assert [panel.caption for panel in sheet.panels[0]] == ["", "4.00", "4.00", ""]
    assert all(panel.frame is None for row in sheet.panels for panel in row)


def test_viewpoints_turn_one_cloud_in_one_scale():
    row = sheets()["viewpoints"].panels[0]
    frames = [panel.frame for panel in row[1:]]
    assert [frame.azimuth for frame in frames] == [30, 90, 150, 210, 270, 330]
    assert len({(frame.half_width, frame.half_height) for frame in frames}) == 1
    assert all(panel.cloud is row[1].cloud for panel in row[1:])


def test_limitations_look_at_the_place_that_is_missed_most():
    sheet = sheets()["limitations"]
    _, predicted, truth, close, _ = sheet.panels[0]
    assert truth.distances[-30:].min() > 0.5  # the arm that no prediction has
    assert predicted.mark == close.frame
    assert close.frame.focus == pytest.approx(CHAIR[-30:].mean(axis=0).tolist(), abs=0.05)
    assert close.frame.half_width == pytest.approx(sheet.frame.half_width / 3)
    with pytest.raises(ConfigError, match="got 2 models, expected one"):
        figures_sheet.limitations(
            [make_model(DISTANCES)] * 2, choose_objects([make_model(DISTANCES)], "best", 1), 30, ""
        )


@pytest.mark.parametrize("name", ["comparison", "viewpoints", "limitations"])
def test_every_sheet_becomes_a_picture_a_document_and_a_page(name, tmp_path):
    sheet = sheets()[name]
    draw_sheet(tmp_path / "f.png", sheet)
    draw_sheet(tmp_path / "f.pdf", sheet)
    write_viewer(tmp_path / "f.html", sheet)
    with Image.open(tmp_path / "f.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert (np.ptp(pixels, axis=2) > 60).mean() > 0.01  # balls are colored
    assert (tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")
    assert "<script" in (tmp_path / "f.html").read_text()


def test_the_page_holds_all_it_shows_and_asks_nobody(tmp_path):
    sheet = sheets()["limitations"]
    write_viewer(tmp_path / "f.html", replace(sheet, title="A <title>"))
    page = (tmp_path / "f.html").read_text()
    assert "A &lt;title&gt;" in page
    assert not re.search(r"(src|href)\s*=\s*[\"']?http|https?://|import\(|fetch\(", page)
    content = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    data = json.loads(content[1].replace("<\\/", "</"))
    panel = data["panels"][0][2]
    points = np.frombuffer(base64.b64decode(panel["points"]), "<i2").reshape(-1, 3)
    np.testing.assert_allclose(points / data["steps"], sheet.panels[0][2].cloud, atol=1e-4)
    levels = np.frombuffer(base64.b64decode(panel["levels"]), "u1")
    assert levels.max() <= 31
    assert levels[-30:].min() > levels[:100].max()
    assert len(data["scale"]) == 32
