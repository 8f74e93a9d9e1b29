import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from live_page import LivePage, live_page
from PIL import Image
from tracking_records import STUDY_SPEC, make_pretrain, make_trial, put_preview

from ss3d.errors import ConfigError
from ss3d.settings import Settings
from ss3d.store.directory import DirectoryStore
from ss3d.tracking.projection import Projection
from ss3d.tracking.server import page_of, serve_pages
from ss3d.trial.records import TrialRecord

NUM_TRIALS = 3
SPEC = STUDY_SPEC | {"parameters": {"semi.ema_decay": {"low": 0.9, "high": 0.9999}}}


def fetch(url: str, body: dict | None = None, host: str | None = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Host": host} if host else {})
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as answer:
        return answer.read()


@pytest.mark.slow
def test_the_pages_show_a_study_while_it_is_written(
    settings: Settings,
    store: DirectoryStore,
    put_trial: Callable[[TrialRecord], None],
    tmp_path: Path,
) -> None:
    for number in range(NUM_TRIALS):
        put_trial(make_trial(number, "complete", value=12.0 - number))
    put_preview(store, "t00000", 0, tmp_path)
    with serve_pages(settings, port=0) as (address, process):
        projection = Projection(settings, store)
        projection.study(SPEC, [], "RUNNING")
        projection.shared(SPEC, make_pretrain(), "FINISHED")
        for number in range(NUM_TRIALS):
            record = make_trial(number, "complete", value=12.0 - number)
            run_id = projection.trial(SPEC, record)
        page = page_of(settings, address, SPEC)
        assert page.startswith(f"{address}/#/experiments/1/runs?")
        name = "pictures%2Freconstructions.png"
        picture = fetch(f"{address}/get-artifact?path={name}&run_uuid={run_id}")
        assert picture.startswith(b"\x89PNG")
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetch(f"{address}/api/2.0/mlflow/runs/get?run_id={run_id}", host="evil.example")
        look_at(page, tmp_path)
    assert process.poll() is not None


def look_at(page: str, folder: Path) -> None:
    """Look at the table of trials and at the page of the best one, as a person would."""
    with live_page(folder / "profile") as browser:
        browser.open(page)
        text = browser.wait_for("t00002", "val/cd_l1", "semi.ema_decay", "val/gain")
        names = re.findall(r"t0000\d · r0.1 α0.999", text)
        assert [name[:6] for name in names] == ["t00002", "t00001", "t00000"]  # the best first
        assert "pretrain abababab" not in text
        check_picture(browser, folder / "table.png")

        browser.open(browser.link_of("t00002"))
        browser.wait_for("demo/t00002", "Parent run")
        pretrain = browser.link_of("abababab")
        check_picture(browser, folder / "trial.png")
        browser.open(pretrain)
        browser.wait_for("Shared pretrained state")


def check_picture(browser: LivePage, path: Path) -> None:
    """Prove that something is to be seen: a page has text in many tones, a blank one has one."""
    browser.screenshot(path)
    with Image.open(path) as picture:
        assert picture.width > 1000
        assert len(picture.convert("L").getcolors()) > 32


def test_a_server_needs_no_server(settings: Settings) -> None:
    remote = settings.model_copy(update={"tracking": "http://mlflow.example"})
    with pytest.raises(ConfigError, match="is a server already"), serve_pages(remote, 0):
        pass
