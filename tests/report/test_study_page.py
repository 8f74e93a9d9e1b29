"""The page of a study: what it says, that it is whole, and that nothing in it is left unescaped."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import gain_records
import pytest
from gain_records import STUDY, put_study, put_trial, spread
from page_records import DESCRIPTION, gather, put_page_study
from PIL import Image
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.errors import ConfigError
from ss3d.report.figure_style import style
from ss3d.report.findings import findings_version
from ss3d.report.inline_svg import inline_svg
from ss3d.report.study_figures import study_figures
from ss3d.report.study_page import write_report
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.trial.history import load_study_record

VOID = {"meta", "img", "br", "hr", "input", "link"}
SECTIONS = [
    "question", "answer", "leaderboard", "gains", "figures", "pictures", "cost-and-savings",
    "lineage", "next",
]  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    made = DirectoryStore(tmp_path / "store")
    put_page_study(made)
    return made


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    made = DirectoryStore(folder / "store")
    put_page_study(made)
    return page_of(made, folder)


class Outline(HTMLParser):
    """Reads ids, text and images; every element must be closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.alts: list[str | None] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.alts += [found.get("alt")] if tag == "img" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if self.open[-1:] != ["style"] else ""


def page_of(store: DirectoryStore, tmp_path: Path) -> str:
    write_report(tmp_path / "report.html", gather(store))
    return (tmp_path / "report.html").read_text()


def test_the_page_is_whole_and_has_every_section(page):
    outline = Outline(page)
    assert outline.open == []
    assert [one for one in outline.ids if one in SECTIONS] == SECTIONS
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.alts
    assert all(outline.alts)
    assert len(page) < 5_000_000


def test_it_asks_nobody_for_anything(page):
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\s\"'<)&]*", page)) <= namespaces
    assert "default-src 'none'" in page


def test_what_a_person_wrote_is_text(page):
    assert "<b>bold</b>" not in page
    assert DESCRIPTION in Outline(page).text


def test_the_answer_names_the_best_of_each_ratio_with_its_gain(page):
    text = " ".join(Outline(page).text.split())
    assert "labeled_ratio 0.1: t00002" in text
    assert "labeled_ratio 0.5: t00003" in text
    assert "+0.700" in text  # 9.0 of the control minus 8.3
    assert "ss3d rerun demo/t00002 --check" in text
    assert "ss3d why demo/t00004" in text


def test_points_say_which_trial_they_are(store):
    with style():
        figures = {one.name: one for one in study_figures(gather(store))}
        assert list(figures) == [
            "history", "label-ratios", "importances", "slices", "cost",
        ]  # fmt: skip
        svg = inline_svg(figures["history"])
    hints = [hint for group in figures["history"].hints.values() for hint in group]
    assert [hint.split(":")[0] for hint in hints] == [
        "t00000", "t00002", "t00004", "t00001", "t00003",
    ]  # fmt: skip
    assert re.findall(r"<title>(.*?)</title>", svg) == hints
    assert "var(--color-0)" in svg
    assert not re.search(r"#(0072b2|27272a|71717a|e4e4e7)", svg)


def test_several_objectives_have_a_front(tmp_path):
    store = DirectoryStore(tmp_path / "store")
    objectives = [
        {"metric": "val/cd_l1", "direction": "minimize"},
        {"metric": "val/cd_l1_category_mean", "direction": "maximize"},
    ]
    put_page_study(store, objective=objectives)
    with style():
        (front,) = (f for f in study_figures(gather(store)) if f.name == "pareto-front")
        svg = inline_svg(front)
    assert {hint for group in front.hints.values() for hint in group} == {
        "t00000: 8.5 at 9.5", "t00001: 8.4 at 9.4", "t00002: 8.3 at 9.3", "t00003: 8.2 at 9.2",
    }  # fmt: skip
    assert svg.count("<title>") == 4


def test_a_confirmation_says_what_was_luck(store, tmp_path, monkeypatch):
    monkeypatch.setattr(gain_records, "STUDY", f"{STUDY}-confirm")
    put_study(store, confirms=STUDY, arms=[{"name": "t00002"}])
    for replicate, value in enumerate((8.8, 9.0)):
        put_trial(
            store, replicate, spread(value), stratum={"arm": "t00002", "replicate": replicate}
        )
    (one,) = gather(store).confirmed[0].trials
    assert (one.mean, one.luck) == pytest.approx((8.9, 0.6))
    text = " ".join(Outline(page_of(store, tmp_path)).text.split())
    assert "8.900 ± 0.141 2 seeds" in text  # 0.2 / sqrt(2)
    assert "ran them with fresh seeds" in text
    assert "Not confirmed" not in text


def test_figures_are_pictures_as_well(store, tmp_path):
    write_report(tmp_path / "report.html", gather(store), tmp_path / "figures")
    for path in (tmp_path / "figures").iterdir():
        with Image.open(path) as picture:
            assert picture.size[0] > 700
    assert {path.stem for path in (tmp_path / "figures").iterdir()} >= {"history", "cost"}


def test_the_same_study_gives_the_same_page(store, page, tmp_path):
    assert page_of(store, tmp_path) == page


def test_what_is_damaged_is_noted_and_the_rest_is_shown(store, tmp_path):
    best = layout.trial(STUDY, "t00002", "best")
    path = Path(store.address) / best / "metrics.json"
    path.write_bytes(path.read_bytes() + b" ")
    findings = gather(store)
    assert any(note.startswith("t00002 has no gains") for note in findings.notes)
    assert any(note.startswith("t00002 has no pictures") for note in findings.notes)
    assert set(findings.gains) == {"t00000", "t00001", "t00003"}
    text = Outline(page_of(store, tmp_path)).text
    assert "t00002 has no gains" in text
    assert "t00003" in text


def test_a_new_result_is_another_version(store):
    before = findings_version(store, load_study_record(store, STUDY))
    assert findings_version(store, load_study_record(store, STUDY)) == before
    put_trial(store, 5, spread(8.0), stratum={"data.labeled_ratio": 0.5})
    assert findings_version(store, load_study_record(store, STUDY)) != before


def run(tmp_path: Path, *words: object) -> str:
    arguments = ["report", STUDY, "--home", str(tmp_path), *map(str, words)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.usefixtures("store")
def test_json_has_what_the_page_says(tmp_path):
    found = json.loads(run(tmp_path, "--json"))
    assert [one["trial"] for one in found["best"]] == ["t00002", "t00003"]
    assert found["best"][0]["over_control"]["mean"] == pytest.approx(0.7)
    assert found["question"]["objectives"] == [{"metric": "val/cd_l1", "direction": "minimize"}]
    assert found["counts"] == {"complete": 4, "pruned": 1}
    assert found["cost"]["trials"] == 5
    assert found["lineage"]["machines"] == [{"device": "cpu", "host": "node-1"}]
    assert found["page"] is None
    assert not list(tmp_path.glob("*.html"))


@pytest.mark.usefixtures("store")
def test_the_command_writes_the_page_and_the_figures(tmp_path):
    page, folder = tmp_path / "out" / "r.html", tmp_path / "figures"
    assert f"written: {page}" in run(tmp_path, "-o", page, "--figures", folder).replace("\n", "")
    assert page.read_text().startswith("<!doctype html>")
    assert (folder / "history.png").exists()


@pytest.mark.usefixtures("store")
def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"got 'r\.pdf', expected \.html"):
        run(tmp_path, "-o", tmp_path / "r.pdf")
