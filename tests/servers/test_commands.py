"""What a user does with the stack, and what ss3d says when a server is not as it should be."""

import json
import socket
import sys
from pathlib import Path

import pytest
from servers.local_stack import LocalStack, command
from typer.testing import CliRunner

import cluster.local.postgres
from cluster.local.__main__ import app as stack_app
from cluster.local.place import HOST, Place, free_ports, make_folder, open_place
from cluster.local.ray import Head, Node
from cluster.local.s3 import STORE_BUCKET, client
from cluster.local.service import start
from ss3d.cli.main import app as ss3d_app
from ss3d.cli.main import run
from ss3d.errors import ConfigError, RefusedError, ServiceError


def test_a_server_that_was_killed_comes_back_with_its_data(local_stack: LocalStack) -> None:
    own = local_stack.place.passwords[STORE_BUCKET]
    s3 = client(local_stack.place.url("s3"), STORE_BUCKET, own)
    s3.put_object(Bucket=STORE_BUCKET, Key="kept", Body=b"through the crash")
    local_stack.kill("s3")
    told = json.loads(command("status", local_stack.place.folder, "--json", code=4))
    assert {one["service"]: one["state"] for one in told} == {
        "s3": "stopped", "postgres": "works", "mlflow": "works"
    }  # fmt: skip
    told = local_stack.up()
    assert told.count("runs already") == 2
    assert s3.get_object(Bucket=STORE_BUCKET, Key="kept")["Body"].read() == b"through the crash"


def test_git_does_not_know_the_folder_of_a_stack(tmp_path: Path) -> None:
    place = open_place(Place(make_folder(tmp_path / "stack"), {}, {}), ())
    assert (place.folder / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({}, "answers to this user"),
        ({"MLFLOW_TRACKING_PASSWORD": "wrong"}, "does not know this user and password"),
        ({"SS3D_TRACKING": "http://127.0.0.1:9"}, "it does not answer: [Errno 111]"),
    ],
)
def test_doctor_tells_whether_tracking_lets_us_in(
    wrong: dict[str, str],
    reason: str,
    stack_access: LocalStack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", **wrong}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["ss3d", "doctor", "--store", str(tmp_path), "--json"])
    with pytest.raises(SystemExit) as ended:
        run()
    assert int(ended.value.code or 0) == (4 if wrong else 0)
    probes = json.loads(capsys.readouterr().out)["tracking"]["probes"]
    assert reason in probes[0]["detail"]
    outcomes = {probe["probe"]: probe["outcome"] for probe in probes}
    assert outcomes == ({"login": "away"} if wrong else {"login": "ok", "versions": "ok"})


def test_pages_of_a_server_are_named_and_none_is_started(stack_access: LocalStack) -> None:
    outcome = CliRunner().invoke(ss3d_app, ["ui", "--json"])
    tracking = stack_access.environment["SS3D_TRACKING"]
    assert json.loads(outcome.stdout) == {"url": tracking, "tracking": tracking, "pid": None}


def test_what_is_missing_is_told_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.local.postgres, "_bin", lambda: None)
    outcome = CliRunner().invoke(stack_app, ["up", str(tmp_path / "stack")])
    assert isinstance(outcome.exception, ServiceError)
    assert "apt-get install --no-install-recommends postgresql" in str(outcome.exception)
    assert not (tmp_path / "stack").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(stack_app, ["down", str(tmp_path)])
    assert isinstance(outcome.exception, ConfigError)
    (tmp_path / "thesis.txt").write_text("mine")
    outcome = CliRunner().invoke(stack_app, ["up", str(tmp_path)])
    assert isinstance(outcome.exception, ConfigError)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_port_that_is_taken_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RefusedError, match=f"port {port} is taken"):
            open_place(Place(make_folder(tmp_path / "new"), {}, {}), (Head(),), port - 2)
        assert not (tmp_path / "new" / "stack.json").exists(), "another --port can be tried"
        place = Place(make_folder(tmp_path / "old"), {"ray": port}, {})
        with pytest.raises(RefusedError, match=f"port {port} is taken .* ray needs it"):
            start(Head(), place)


def test_what_joins_a_stack_gets_the_ports_after_it(tmp_path: Path) -> None:
    first = free_ports(7)
    place = open_place(Place(make_folder(tmp_path / "stack"), {}, {}), (Head(),), first)
    grown = open_place(place, (Head(), Node(1), Node(2)), first)
    assert grown.ports == {"ray": first, "ray-1": first + 3, "ray-2": first + 4}
