import json
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from tracking_records import STUDY_SPEC, make_trial

from ss3d.errors import ConfigError
from ss3d.settings import Settings
from ss3d.store.directory import DirectoryStore
from ss3d.tracking.projection import Projection
from ss3d.tracking.server import page_of, serve_pages
from ss3d.trial.records import TrialRecord


def fetch(url: str, body: dict | None = None, host: str | None = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Host": host} if host else {})
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as answer:
        return answer.read()


@pytest.mark.slow
def test_the_pages_show_a_study_while_it_is_written(
    settings: Settings, store: DirectoryStore, put_trial: Callable[[TrialRecord], None]
) -> None:
    put_trial(make_trial(0, "complete"))
    projection = Projection(settings, store)
    with serve_pages(settings, port=0) as (address, process):
        run_id = projection.trial(STUDY_SPEC, make_trial(0, "complete"))
        page = page_of(settings, address, STUDY_SPEC)
        assert page.startswith(f"{address}/#/experiments/1/runs?")
        assert b"<html" in fetch(address).lower()
        run = json.loads(fetch(f"{address}/api/2.0/mlflow/runs/get?run_id={run_id}"))["run"]
        assert run["info"]["run_name"].startswith("t00000")
        name = "pictures%2Freconstructions.png"
        picture = fetch(f"{address}/get-artifact?path={name}&run_uuid={run_id}")
        assert picture.startswith(b"\x89PNG")
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetch(f"{address}/api/2.0/mlflow/runs/get?run_id={run_id}", host="evil.example")
    assert process.poll() is not None


def test_a_server_needs_no_server(settings: Settings) -> None:
    remote = settings.model_copy(update={"tracking": "http://mlflow.example"})
    with pytest.raises(ConfigError, match="is a server already"), serve_pages(remote, 0):
        pass
