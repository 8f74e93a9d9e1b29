"""What a store on S3 does when answers are lost, cut, damaged or refused."""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3.fault_proxy import FaultProxy, proxied
from s3.s3_server import ROTATED_KEY, ROTATED_SECRET, S3Server

from ss3d.errors import CheckpointError, ConflictError, ServiceError
from ss3d.store.opening import open_store
from ss3d.store.protocol import Store
from ss3d.study.patience import patiently


@pytest.fixture
def proxy(s3_access: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    with proxied(s3_access.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        yield proxy


@pytest.fixture
def store(s3_address: str, proxy: FaultProxy) -> Store:
    return open_store(s3_address)


def test_a_lost_answer_is_no_conflict(store: Store, proxy: FaultProxy) -> None:
    proxy.plan.append(("PUT", "lose"))
    version = store.put_new("k", b"first")
    assert proxy.seen == ["PUT", "PUT", "HEAD"]
    blob = store.get("k")
    assert blob is not None
    assert (blob.data, blob.version) == (b"first", version)
    proxy.plan.append(("PUT", "lose"))
    version = store.put_if("k", b"second", version)
    assert store.put_if("k", b"third", version) != version


def test_the_same_bytes_of_another_writer_are_a_conflict(store: Store, proxy: FaultProxy) -> None:
    store.put_new("k", b"same")
    with pytest.raises(ConflictError):
        store.put_new("k", b"same")
    store.delete("k")
    proxy.plan.extend([("PUT", "SlowDown")])
    store.put_new("k", b"same")
    with pytest.raises(ConflictError):
        store.put_new("k", b"same")


def test_writes_at_the_same_moment_are_tried_again(store: Store, proxy: FaultProxy) -> None:
    proxy.plan.extend([("PUT", "ConditionalRequestConflict")] * 2)
    store.put_new("k", b"x")
    proxy.plan.extend([("PUT", "ConditionalRequestConflict")] * 5)
    with pytest.raises(ServiceError, match="k: others write to it all the time"):
        store.put_new("k", b"y")


def test_a_server_that_is_slow_for_a_moment_is_waited_for(store: Store, proxy: FaultProxy) -> None:
    proxy.plan.extend([("PUT", "SlowDown")] * 2)
    store.put_new("k", b"x")
    assert proxy.seen == ["PUT"] * 3
    proxy.plan.extend([("PUT", "SlowDown")] * 4)
    with pytest.raises(ServiceError, match="k2: the server answers 503 SlowDown"):
        store.put_new("k2", b"x")
    assert proxy.seen == ["PUT"] * 7


def test_half_an_answer_is_never_taken_for_the_whole(
    store: Store, proxy: FaultProxy, tmp_path: Path
) -> None:
    store.put_new("k", bytes(100_000))
    proxy.plan.append(("GET", "cut"))
    with pytest.raises(ServiceError):
        store.get("k")
    proxy.plan.append(("GET", "cut"))
    store.get_file("k", tmp_path / "k", hashlib.sha256(bytes(100_000)).hexdigest())
    assert (tmp_path / "k").read_bytes() == bytes(100_000)


def test_a_damaged_answer_is_never_taken(store: Store, proxy: FaultProxy, tmp_path: Path) -> None:
    store.put_new("k", b"0123456789")
    proxy.plan.append(("GET", "flip"))
    with pytest.raises(CheckpointError, match="k is damaged"):
        store.get("k")
    proxy.plan.append(("GET", "flip"))
    with pytest.raises(CheckpointError, match="k is damaged"):
        store.get_file("k", tmp_path / "k", hashlib.sha256(b"0123456789").hexdigest())
    assert list(tmp_path.iterdir()) == []


def test_what_is_replaced_while_it_is_read_is_not_mixed(
    store: Store, proxy: FaultProxy, tmp_path: Path
) -> None:
    store.put_new("k", b"x")
    proxy.plan.append(("GET", "PreconditionFailed"))
    with pytest.raises(ServiceError, match="did not match expected ETag"):
        store.get_file("k", tmp_path / "k")
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_a_large_file_is_sent_again(
    store: Store, proxy: FaultProxy, tmp_path: Path
) -> None:
    (tmp_path / "in").write_bytes(bytes(range(256)) * 40_000)
    proxy.plan.extend([("PUT", "SlowDown"), ("PUT", "lose")])
    sha256 = store.put_file("f", tmp_path / "in")
    assert proxy.seen.count("POST") == 2  # begin and complete: it went in parts
    store.get_file("f", tmp_path / "out", sha256)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()


def test_the_last_answer_of_a_large_file_may_be_lost(
    store: Store, proxy: FaultProxy, tmp_path: Path
) -> None:
    (tmp_path / "in").write_bytes(bytes(range(256)) * 40_000)
    proxy.plan.extend([("POST", None), ("POST", "lose")])
    sha256 = patiently(lambda: store.put_file("f", tmp_path / "in"))
    assert not proxy.plan
    store.get_file("f", tmp_path / "out", sha256)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()


def test_after_expired_credentials_new_ones_are_read(
    store: Store, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_new("k", b"x")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "no-credentials").write_text(
        f"[default]\naws_access_key_id={ROTATED_KEY}\naws_secret_access_key={ROTATED_SECRET}\n"
    )
    proxy.plan.append(("GET", "ExpiredToken"))
    with pytest.raises(ServiceError, match="the credentials have expired; renew them"):
        store.get("k")
    blob = store.get("k")
    assert blob is not None
    assert blob.data == b"x"


def test_credentials_that_run_out_are_renewed(
    s3_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    program = tmp_path / "credentials.py"
    answer = {
        "Version": 1,
        "AccessKeyId": ROTATED_KEY,
        "SecretAccessKey": ROTATED_SECRET,
        "Expiration": "@",
    }
    program.write_text(
        "import datetime, pathlib\n"
        f"with pathlib.Path({str(calls)!r}).open('a') as file: file.write('x')\n"
        "soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=1)\n"
        f"print({json.dumps(answer)!r}.replace('@', soon.isoformat()))\n"
    )
    (tmp_path / "no-config").write_text(
        f"[default]\ncredential_process = {sys.executable} {program}\n"
    )
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    store = open_store(s3_address)
    store.put_new("k", b"x")
    before = calls.stat().st_size
    assert store.get("k") is not None
    assert calls.stat().st_size > before
