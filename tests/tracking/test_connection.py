from __future__ import annotations

import logging
import socket
import traceback
from pathlib import Path

import pytest
from tracking_records import STUDY_SPEC

from ss3d.errors import ConfigError, RefusedError, ServiceError
from ss3d.settings import Settings
from ss3d.store.directory import DirectoryStore
from ss3d.tracking.connection import mlflow_errors, open_client, without_password
from ss3d.tracking.projector import Projector
from ss3d.tracking.server import serve_pages

PASSWORD = "pa55word"


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A server that is not there, with user and password in its address."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return Settings(home=tmp_path, tracking=f"http://anna:{PASSWORD}@127.0.0.1:9")


def test_an_error_names_the_server_and_never_its_password(away: Settings) -> None:
    client = open_client(away)
    expected = pytest.raises(ServiceError, match=r"MLflow at http://127\.0\.0\.1:9: ")
    with expected as caught, mlflow_errors(away):
        client.search_experiments()
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    assert "anna" not in str(caught.value)
    with pytest.raises(ConfigError, match="is a server already") as refused, serve_pages(away, 0):
        pass
    assert PASSWORD not in str(refused.value)


def test_pages_are_not_shown_on_a_port_where_another_server_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = pytest.raises(RefusedError, match=f"127.0.0.1:{port}: .* in use; .* --port")
        with refused, serve_pages(Settings(home=tmp_path), port):
            pass


def test_what_could_not_be_written_is_logged_without_the_password(
    away: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        projector = Projector(away, DirectoryStore(away.home / "store"))
        projector.study(STUDY_SPEC)
        assert projector.close() == ["study demo"]
    assert "MLflow lacks study demo" in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://h:5000", "http://h:5000"),
        ("http://token@h", "http://h"),
        ("postgresql+psycopg://u:p@ss@h/db?x=a@b", "postgresql+psycopg://h/db?x=a@b"),
        ("http://u:p@h and https://u:q@i/", "http://h and https://i/"),
        (
            "sqlite:////home/a@b/mlflow.db, mail to a@b",
            "sqlite:////home/a@b/mlflow.db, mail to a@b",
        ),
    ],
)
def test_users_and_passwords_are_left_out_of_addresses(text: str, told: str) -> None:
    assert without_password(text) == told
