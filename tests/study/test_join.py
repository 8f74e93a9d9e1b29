"""Joining a cluster: whether it takes our token, and that Ray itself says nothing on stdout."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from ss3d.errors import ConfigError, RefusedError, ServiceError
from ss3d.settings import Settings
from ss3d.study.definition import Request
from ss3d.study.driver import Watcher, search
from ss3d.study.environment import prepare_environment


class Door(grpc.GenericRpcHandler):
    """Answers as Ray's head does: nothing to who has another token."""

    def __init__(self) -> None:
        self.knows_us = True

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
            if not self.knows_us:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@contextmanager
def served(door: Door) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2), handlers=[door])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_a_wrong_token_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f00d" * 16)
    prepare_environment(tmp_path)
    from ss3d.study.session import check_joinable

    door = Door()
    with served(door) as address:
        check_joinable(address)
        door.knows_us = False
        with pytest.raises(RefusedError, match="refuses our token; set RAY_AUTH_TOKEN_PATH"):
            check_joinable(address)
        settings = Settings(home=tmp_path, ray_address=address)
        with pytest.raises(RefusedError, match="refuses our token"):  # before it reads anything
            search(Request(space=tmp_path / "none.toml"), settings, None, Watcher())


def test_a_head_that_does_not_speak_our_way_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prepare_environment(tmp_path)
    from ss3d.study import session

    monkeypatch.setenv("RAY_AUTH_TOKEN", "f00d" * 16)
    monkeypatch.setattr(session, "_ASK_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ServiceError, match="says nothing; if its nodes talk encrypted"):
            session.check_joinable(address)


@pytest.mark.parametrize("address", ["nonsense", "10.0.0.7", "ray://head", "head:ray"])
def test_what_is_no_address_is_told(address: str, tmp_path: Path) -> None:
    prepare_environment(tmp_path)
    from ss3d.study.session import check_joinable

    with pytest.raises(ConfigError, match=r"Ray's address: got .* expected HOST:PORT"):
        check_joinable(address)
    check_joinable("auto")


LOST_NODE = """
from pathlib import Path
from ss3d.study.environment import prepare_environment
prepare_environment(Path("home"))
from ray._private.worker import print_to_stdstream
told = {"lines": ["Raylet is terminated.\\n [state-dump] x"], "pid": "raylet", "is_err": False}
print_to_stdstream(told, ignore_prefix=False)
print("{}")
"""


def test_what_ray_tells_of_a_lost_node_is_not_in_our_json(tmp_path: Path) -> None:
    words = [sys.executable, "-c", LOST_NODE]
    outcome = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert outcome.stdout == "{}\n"
