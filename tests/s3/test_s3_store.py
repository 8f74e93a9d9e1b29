"""Addresses, clients and refusals of a store on S3."""

import multiprocessing
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from s3.s3_server import ACCESS_KEY, READER_KEY, READER_SECRET, SECRET_KEY, S3Server

from ss3d.errors import AccessError, ConfigError, ServiceError
from ss3d.store import s3
from ss3d.store.opening import open_store
from ss3d.store.protocol import Store
from ss3d.store.s3_client import new_client

AWS = "AWS_ENDPOINT_URL_S3"


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://my.bucket-1/a/B_c.d/", "s3://my.bucket-1/a/B_c.d"),
    ],
)
def test_addresses_are_told_in_one_form(given: str, address: str) -> None:
    store = open_store(given)
    assert store.address == address
    assert repr(store) == f"S3Store({address!r})"


@pytest.mark.parametrize(
    "address",
    ["s3://", "s3://B", "s3://ab", "s3://b_c/x", "s3://bucket/a//b", "s3://bucket/../x",
     "s3://bucket/.x", "s3://bucket:9000/x", "s3://bucket/x?a=b", "s3:bucket/x", "s3://[x", "http://bucket/x"],
)  # fmt: skip
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"expected .*s3://BUCKET/PREFIX"):
        open_store(address)


def test_credentials_in_an_address_are_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match="credentials do not go into an address") as refused:
        open_store("s3://AKIA:canary@bucket/x")
    monkeypatch.setenv(AWS, "http://AKIA:canary@127.0.0.1:1")
    with pytest.raises(ConfigError, match="credentials do not go into an address") as endpoint:
        open_store("s3://bucket/x").get("k")
    assert "canary" not in f"{refused.value} {endpoint.value}"


def test_an_endpoint_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(AWS, "localhost:8333")
    with pytest.raises(ConfigError, match=r"AWS_ENDPOINT_URL_S3.*expected http"):
        open_store("s3://bucket/x").get("k")


def test_own_endpoints_are_asked_by_path(
    s3_access: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def style() -> object:
        return (new_client().meta.config.s3 or {}).get("addressing_style")

    assert style() == "path"
    monkeypatch.delenv(AWS)
    assert style() is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.example.org")
    assert style() == "path"
    (tmp_path / "no-config").write_text("[default]\ns3 =\n  addressing_style = virtual\n")
    assert style() == "virtual"


def test_a_store_in_the_whole_bucket(s3_access: S3Server) -> None:
    store = open_store(f"s3://{s3_access.bucket}")
    store.put_new("whole/k", b"x")
    assert list(store.list("whole/")) == ["whole/k"]
    assert "whole/k" in list(store.list(""))
    store.delete("whole/k")


def test_lists_of_many_pages_are_whole_and_without_what_is_not_ours(
    s3_address: str, s3_access: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_KEYS_PER_PAGE", 3)
    store = open_store(s3_address)
    names = sorted(f"{letter}{sign}k" for letter in "abcd" for sign in ("/", "-", "0"))
    for name in names:
        store.put_new(name, b"")
    prefix = s3_address.removeprefix(f"s3://{s3_access.bucket}/")
    for foreign in (".hidden/x", "a b"):
        s3_access.client.put_object(Bucket=s3_access.bucket, Key=f"{prefix}/{foreign}", Body=b"")
    assert list(store.list("")) == names


def test_a_large_file_goes_in_parts(s3_address: str, s3_access: S3Server, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(9 << 20))
    store = open_store(s3_address)
    store.put_file("f", tmp_path / "f")
    blob = store.get("f")
    assert blob is not None
    assert blob.version.strip('"').endswith("-2")
    assert blob.data == bytes(9 << 20)
    with pytest.raises(ServiceError, match="No such file"):
        store.put_file("g", tmp_path / "missing")


def _get(store: Store, key: str) -> bytes | None:
    blob = store.get(key)
    return blob.data if blob else None


def test_a_store_travels_without_its_client(s3_address: str) -> None:
    store = open_store(s3_address)
    store.put_new("k", b"x")
    assert _get(pickle.loads(pickle.dumps(store)), "k") == b"x"
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.starmap(_get, [(store, "k")] * 4) == [b"x"] * 4


def _child(store: Store, before: int, queue: "multiprocessing.Queue[bool]") -> None:
    store.get("k")
    queue.put(id(store._client.get()) != before)  # type: ignore[attr-defined]


def test_a_forked_child_makes_its_own_client(s3_address: str) -> None:
    context = multiprocessing.get_context("fork")
    store, queue = open_store(s3_address), context.Queue()
    store.get("k")
    before = store._client.get()  # type: ignore[attr-defined]
    process = context.Process(target=_child, args=(store, id(before), queue))
    process.start()
    assert queue.get(timeout=60) is True
    process.join()
    assert store._client.get() is before  # type: ignore[attr-defined]


def calls_of(store: Store, folder: Path) -> list[Callable[[], object]]:
    return [
        lambda: store.get("k"),
        lambda: store.get_file("k", folder / "k"),
        lambda: list(store.list("")),
        store.now,
    ]


def test_a_bucket_that_does_not_exist_is_told(s3_access: S3Server, tmp_path: Path) -> None:
    for call in calls_of(open_store("s3://no-such-bucket/x"), tmp_path):
        with pytest.raises(ConfigError, match=r"no-such-bucket/x.* NoSuchBucket: make the bucket"):
            call()


@pytest.mark.parametrize(
    ("key", "secret", "message"),
    [
        (ACCESS_KEY, "wrong-canary-secret", "SignatureDoesNotMatch: check AWS_SECRET_ACCESS_KEY"),
        ("nobody", SECRET_KEY, "InvalidAccessKeyId: check AWS_ACCESS_KEY_ID"),
        (READER_KEY, READER_SECRET, "AccessDenied: it must allow GetObject, PutObject"),
    ],
)
def test_who_is_not_allowed_is_told_and_no_secret(
    s3_address: str, monkeypatch: pytest.MonkeyPatch, key: str, secret: str, message: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    store = open_store(s3_address)
    with pytest.raises(AccessError, match=message) as refused:
        store.put_new("k", b"x")
    assert (
        refused.value.exit_code == ServiceError.exit_code
    )  # as for a password that MLflow refuses
    assert "canary" not in "".join(traceback.format_exception(refused.value)) + repr(store)


def test_without_credentials_it_says_how_to_give_them(
    s3_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigError, match="there are no credentials; set AWS_ACCESS_KEY_ID"):
        open_store(s3_address).get("k")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigError, match=r"profile \(nobody\) could not be found"):
        open_store(s3_address).get("k")


def test_a_server_that_is_away_is_a_service_error(
    s3_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AWS, "http://127.0.0.1:9")
    with pytest.raises(ServiceError, match=r": k: http://127.0.0.1:9 does not answer; exp"):
        open_store(s3_address).get("k")
