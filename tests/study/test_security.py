"""Each door, open and closed, by an environment, a file and a server of our own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from unittest.mock import patch

import pytest

from ss3d.errors import ConfigError, RefusedError
from ss3d.settings import Settings
from ss3d.store.probes import Finding
from ss3d.study.definition import Request
from ss3d.study.driver import Watcher, search
from ss3d.study.environment import check_closed, is_loopback, port_of, prepare_environment
from ss3d.study.security import examine_security

REMOTE = "10.0.0.7:6379"
NOBODY = 1
"""A port of this machine where nobody answers."""


@pytest.fixture(autouse=True)
def _no_token_of_the_user(tmp_path: Path) -> Iterator[None]:
    """A user who has none; what a test sets is unset after it."""
    with patch.dict(os.environ, {"HOME": str(tmp_path / "user")}):
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
            os.environ.pop(name, None)
        yield


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text("secret")
    return path


def find(name: str, settings: Settings, environment: dict[str, str], port: int = NOBODY) -> Finding:
    dashboard = {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{port}"}
    found = examine_security(settings, environment | dashboard)
    finding = next(finding for finding in found if finding.probe == name)
    assert (finding.outcome == "ok") == (not finding.advice)
    return finding


def test_a_laptop_that_has_never_searched_has_no_open_door(tmp_path: Path) -> None:
    findings = list(examine_security(Settings(home=tmp_path), {}))
    assert {finding.outcome for finding in findings} == {"ok"}
    assert [finding.probe for finding in findings] == [
        "ray token", "token file", "telemetry", "foreign code"
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_needs_its_token_and_loopback_need_not(token: Path, tmp_path: Path) -> None:
    known = {"RAY_AUTH_TOKEN_PATH": str(token)}
    for address, environment, is_open in (
        (REMOTE, {}, True),
        (REMOTE, known, False),
        (REMOTE, {"RAY_AUTH_TOKEN": "x"}, False),
        (REMOTE, known | {"RAY_AUTH_MODE": "disabled"}, True),
        (REMOTE, {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")}, True),
        ("auto", {}, True),
        ("auto", known, False),
        ("127.0.0.1:6379", {"RAY_AUTH_MODE": "token"}, True),
    ):
        finding = find("ray token", Settings(home=tmp_path, ray_address=address), environment)
        assert (finding.outcome == "failed") == is_open, (address, environment)


@pytest.mark.parametrize(
    ("address", "is_ours"),
    [
        ("127.0.0.1:6379", True),
        ("localhost:6379", True),
        ("[::1]:6379", True),
        ("ray://127.0.0.2:10001", True),
        ("127.example.org:6379", False),
        ("localhost.example.org:1", False),
        (REMOTE, False),
        ("auto", False),
    ],
)
def test_loopback_is_told_from_names_that_look_like_it(address: str, is_ours: bool) -> None:
    assert is_loopback(address, {}) == is_ours
    assert is_loopback("auto", {"RAY_ADDRESS": address}) == is_ours


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("auto", 0),
        ("local", 0),
        ("head:6379", 6379),
        ("[::1]:6379", 6379),
        ("ray://h:10001", 10001),
    ],
)
def test_a_head_is_asked_at_its_port(address: str, port: int) -> None:
    assert port_of(address) == port


def test_what_is_no_port_is_told() -> None:
    with pytest.raises(ConfigError, match="got 'head:ray', expected HOST:PORT"):
        port_of("head:ray")


def test_a_search_does_not_join_a_cluster_without_its_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, token: Path
) -> None:
    settings = Settings(home=tmp_path / "home", ray_address=REMOTE)
    with pytest.raises(RefusedError, match="no token for it; set RAY_AUTH_TOKEN_PATH"):
        search(Request(space=tmp_path / "none.toml"), settings, None, Watcher())
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    check_closed(REMOTE)
    prepare_environment(settings.home, REMOTE)
    assert not (tmp_path / "home").exists(), "a token of our own would be the wrong one"


def test_a_token_that_others_can_read_is_told(token: Path, tmp_path: Path) -> None:
    settings, environment = Settings(home=tmp_path), {"RAY_AUTH_TOKEN_PATH": str(token)}
    assert find("token file", settings, environment).outcome == "ok"
    token.chmod(0o640)
    assert find("token file", settings, environment).advice == f"chmod 600 {token}"
    token.unlink()
    assert find("token file", settings, environment).outcome == "failed"


def test_ours_is_closed_from_its_first_moment(tmp_path: Path) -> None:
    prepare_environment(tmp_path)
    finding = find("token file", Settings(home=tmp_path), {})
    assert (finding.outcome, str(tmp_path / "ray-token") in finding.detail) == ("ok", True)


@pytest.fixture
def answering() -> Iterator[list[int]]:
    """A server that answers everybody with the last status in the list; its port is the first."""
    told: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert "Authorization" not in self.headers
            self.send_response(told[-1])
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        told.append(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield told
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "outcome"), [(200, "failed"), (401, "ok"), (403, "ok")])
def test_a_dashboard_must_ask_for_the_token(
    answering: list[int], tmp_path: Path, status: int, outcome: str
) -> None:
    port = answering[0]
    answering.append(status)
    settings = Settings(home=tmp_path, ray_address="127.0.0.1:6379")
    assert find("dashboard", settings, {}, port).outcome == outcome
    assert find("dashboard", settings, {}, NOBODY).outcome == "ok"


def test_nodes_talk_encrypted_with_three_files(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, ray_address="auto")
    files = {
        name: str(tmp_path / name)
        for name in ("RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT")
    }
    assert find("ray tls", settings, {}).outcome == "warn"
    environment = {"RAY_USE_TLS": "1", **files}
    for path in files.values():
        assert Path(path).name in find("ray tls", settings, environment).detail
        Path(path).touch()
    assert find("ray tls", settings, environment).outcome == "ok"
    loopback = Settings(home=tmp_path, ray_address="127.0.0.1:6379")
    assert find("ray tls", loopback, {}).outcome == "ok"


def test_servers_that_are_sent_passwords_are_encrypted_or_here(tmp_path: Path) -> None:
    def outcomes(tracking: str, endpoint: str) -> list[str]:
        settings = Settings(home=tmp_path, store="s3://b/p", tracking=tracking)
        environment = {"AWS_ENDPOINT_URL_S3": endpoint}
        return [find(name, settings, environment).outcome for name in ("mlflow tls", "s3 tls")]

    assert outcomes("https://mlflow.example.org", "http://127.0.0.1:8333") == ["ok", "ok"]
    assert outcomes("http://mlflow.example.org", "http://s3.example.org") == ["warn"] * 2


@pytest.mark.parametrize(
    ("name", "value", "door"),
    [
        ("RAY_USAGE_STATS_ENABLED", "1", "telemetry"),
        ("MLFLOW_DISABLE_TELEMETRY", "false", "telemetry"),
        ("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true", "foreign code"),
        ("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "true", "foreign code"),
    ],
)
def test_what_was_switched_on_is_told(name: str, value: str, door: str, tmp_path: Path) -> None:
    finding = find(door, Settings(home=tmp_path), {name: value})
    assert (finding.outcome, finding.advice) == ("failed", f"unset {name}")
