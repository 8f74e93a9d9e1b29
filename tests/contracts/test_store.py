"""What every store must do; parametrised over the implementations."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from ss3d.errors import CheckpointError, ConfigError, ConflictError
from ss3d.store.opening import open_store
from ss3d.store.protocol import Store


@pytest.fixture
def store(each_address: str) -> Store:
    return open_store(each_address)


def test_the_address_opens_the_same_store(store: Store) -> None:
    store.put_new("k", b"here")
    blob = open_store(store.address).get("k")
    assert blob is not None
    assert blob.data == b"here"


def test_get_returns_what_was_put_and_none_for_nothing(store: Store) -> None:
    version = store.put_new("a/b.json", b"one")
    blob = store.get("a/b.json")
    assert blob is not None
    assert (blob.data, blob.version) == (b"one", version)
    assert store.get("a") is None
    assert store.get("a/c") is None
    assert store.get("a/b.json/c") is None


def test_put_new_refuses_an_existing_key_and_keeps_its_bytes(store: Store) -> None:
    store.put_new("k", b"first")
    with pytest.raises(ConflictError):
        store.put_new("k", b"second")
    blob = store.get("k")
    assert blob is not None
    assert blob.data == b"first"


def test_put_if_replaces_only_the_version_it_was_given(store: Store) -> None:
    old = store.put_new("k", b"1")
    new = store.put_if("k", b"2", old)
    with pytest.raises(ConflictError):
        store.put_if("k", b"3", old)
    assert store.put_if("k", b"4", new) != new
    store.delete("k")
    with pytest.raises(ConflictError):
        store.put_if("k", b"5", new)
    assert store.get("k") is None


def test_a_file_goes_in_and_out_with_its_sha256(store: Store, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "deep" / "out"
    source.write_bytes(bytes(range(256)) * 70_000)  # three parts on S3
    sha256 = store.put_file("f", source)
    assert sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    store.get_file("f", target, sha256)
    assert target.read_bytes() == source.read_bytes()
    source.write_bytes(b"y")
    store.put_file("f", source)
    with pytest.raises(CheckpointError, match="damaged"):
        store.get_file("f", target, sha256)
    assert target.stat().st_size == 256 * 70_000
    with pytest.raises(CheckpointError, match="there is no g"):
        store.get_file("g", target)


def test_list_is_sorted_by_characters_and_stays_under_the_prefix(store: Store) -> None:
    for key in ("b/x", "a/z", "a-b/y", "a/b/c", "ab"):
        store.put_new(key, b"")
    assert list(store.list("")) == ["a-b/y", "a/b/c", "a/z", "ab", "b/x"]
    assert list(store.list("a/")) == ["a/b/c", "a/z"]
    assert list(store.list("nothing/")) == []
    with pytest.raises(ConfigError, match="ends in"):
        list(store.list("a"))


def test_sizes_are_those_of_the_bytes_under_the_prefix(store: Store) -> None:
    for key, size in {"a/z": 3, "a/b/c": 0, "ab": 7}.items():
        store.put_new(key, b"x" * size)
    assert list(store.sizes("a/").items()) == [("a/b/c", 0), ("a/z", 3)]
    assert store.sizes("nothing/") == {}


def test_delete_removes_and_forgives(store: Store) -> None:
    store.put_new("a/k", b"")
    store.delete("a/k")
    store.delete("a/k")
    assert list(store.list("")) == []
    store.put_new("a/k", b"again")


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a/.b", "a b", "ä"])
def test_keys_are_validated(store: Store, key: str, tmp_path: Path) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.get(key),
        lambda: store.put_new(key, b""),
        lambda: store.put_if(key, b"", "v"),
        lambda: store.get_file(key, tmp_path / "f"),
        lambda: store.delete(key),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match="store: got key"):
            call()


def test_nothing_that_a_key_names_is_a_leftover(store: Store) -> None:
    store.put_new("a/k", b"x" * 10)
    assert store.leftovers(0, remove=True) == {}
    assert store.get("a/k") is not None


def test_the_clock_does_not_run_backwards(store: Store) -> None:
    times = [store.now() for _ in range(5)]
    assert times == sorted(times)


def _race(address: str, worker: int, rounds: int) -> list[int]:
    store, won = open_store(address), []
    for number in range(rounds):
        try:
            store.put_new(f"race/{number}", str(worker).encode())
        except ConflictError:
            continue
        won.append(number)
    return won


def _count(address: str, rounds: int) -> None:
    store = open_store(address)
    while rounds:
        blob = store.get("count")
        assert blob is not None
        try:
            store.put_if("count", str(int(blob.data) + 1).encode(), blob.version)
        except ConflictError:
            continue
        rounds -= 1


def test_eight_processes_race_and_each_key_has_one_winner(store: Store) -> None:
    with multiprocessing.get_context("fork").Pool(8) as pool:
        won = pool.starmap(_race, [(store.address, worker, 40) for worker in range(8)])
    assert sorted(number for numbers in won for number in numbers) == list(range(40))
    for worker, numbers in enumerate(won):
        for number in numbers:
            blob = store.get(f"race/{number}")
            assert blob is not None
            assert blob.data == str(worker).encode()


def test_no_increment_is_lost_between_four_processes(store: Store) -> None:
    store.put_new("count", b"0")
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.starmap(_count, [(store.address, 20)] * 4)
    blob = store.get("count")
    assert blob is not None
    assert blob.data == b"80"
