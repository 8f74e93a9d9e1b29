"""The page of a study in a real browser: on a phone and on a desk, with its clouds turning."""

from pathlib import Path

import pytest
from browser import find_browser, show
from page_records import gather, put_page_study

from ss3d.report.study_page import write_report
from ss3d.store.directory import DirectoryStore

DRAWN = """async () => {
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
  const frame = document.querySelector("iframe");
  frame.loading = "eager";
  await new Promise((done) => setTimeout(done, 500));
  return [...frame.contentDocument.querySelectorAll("canvas")].map((one) => {
    frame.contentWindow.draw(one.panel);  // a browser that shows nothing asks for no frames
    const { data } = one.getContext("2d").getImageData(0, 0, one.width, one.height);
    const drawn = data.filter((part, place) => place % 4 === 3 && part > 0).length;
    return drawn / (one.width * one.height);
  });
}"""
"""What share of each canvas of the first viewer is not empty."""
ASKS = """<!doctype html><html><head><meta charset="utf-8"></head><body>
<div style="width:800px">wide</div><img alt="" src="http://ss3d.invalid/x.png">
<script>missing();</script></body></html>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    find_browser()
    folder = tmp_path_factory.mktemp("page")
    store = DirectoryStore(folder / "store")
    put_page_study(store)
    write_report(folder / "report.html", gather(store))
    return (folder / "report.html").read_text()


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_nothing_complains(page: str, width: int, tmp_path: Path) -> None:
    shown = show(page, width, tmp_path, DRAWN)
    assert shown.complaints == []
    assert shown.found["width"] == width
    assert shown.found["wide"] == []
    assert shown.found["needed"] <= width
    assert shown.found["fetched"] == []
    assert shown.found["broken"] == 0
    drawn = shown.found["answer"]
    assert len(drawn) == 9  # three objects: two models and the truth
    assert all(0.02 < share < 0.9 for share in drawn)


def test_the_browser_tells_what_is_wrong(tmp_path: Path) -> None:
    shown = show(ASKS, 390, tmp_path)
    assert any("missing is not defined" in line for line in shown.complaints)
    assert shown.found["needed"] == 808
    assert len(shown.found["wide"]) == 1
    assert shown.found["fetched"] == ["http://ss3d.invalid/x.png"]
    assert shown.found["broken"] == 1
