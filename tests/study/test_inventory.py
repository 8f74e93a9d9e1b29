"""What trials share: listed with its users, and removed only when nobody refers to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from removal_records import (
    BROKEN,
    CONTROL,
    FIRST,
    SECOND,
    UNUSED,
    DyingStore,
    put_files,
    put_json,
    put_shared,
    put_study,
    put_trial,
    read_states,
)
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.cli.pretrains import bytes_as_text
from ss3d.errors import CheckpointError, ConfigError, RefusedError, ServiceError
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.store.lease import take_lease
from ss3d.store.protocol import Store
from ss3d.study.inventory import (
    collect_garbage,
    find_shared,
    list_shared,
    retry_failed,
    total_bytes,
)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """Two studies that share; a state that nobody needs, complete, and one unfinished."""
    store = DirectoryStore(tmp_path / "store")
    put_study(store, "one")
    put_study(store, "two", (FIRST,))
    for key in (FIRST, UNUSED):
        put_shared(store, key)
    put_shared(store, SECOND, is_complete=False)
    put_shared(store, BROKEN, is_complete=False)
    put_shared(store, CONTROL, "control")
    return store


def ss3d(store: Store, *words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--store", store.address], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_list_has_users_states_values_and_sizes(store: Store) -> None:
    found = {item.key: item for item in list_shared(store)}
    assert list(found) == [FIRST, SECOND, UNUSED, BROKEN, CONTROL]
    first = found[FIRST]
    assert first.users == ("one/t00000", "one/t00001", "two/t00000")
    assert (first.kind, first.state, first.cd_l1, first.seconds) == ("pretrain", "complete", 7, 3)
    assert found[SECOND].users == ("one/t00002",)
    assert (found[SECOND].state, found[SECOND].cd_l1) == ("unfinished", None)
    assert found[CONTROL].kind == "control"
    assert len(found[CONTROL].users) == 4
    assert [item.key for item in found.values() if item.is_garbage] == [UNUSED, BROKEN]
    keys = list(store.list(layout.pretrain(FIRST) + "/"))
    assert first.num_bytes == sum(len(blob.data) for key in keys if (blob := store.get(key)))


def test_garbage_goes_and_every_trial_still_reads_its_states(store: Store, tmp_path: Path) -> None:
    before = [read_states(store, study, tmp_path / "before") for study in ("one", "two")]
    assert before == [7, 2]
    used = {key for key in store.list("") if UNUSED not in key and BROKEN not in key}
    made = tuple(
        layout.shared(*it, "checkpoints") for it in (("pretrain", FIRST), ("control", CONTROL))
    )
    used -= {key for key in used if key.startswith(made)}  # of what is complete
    gone = collect_garbage(store, list_shared(store))
    assert [item.key for item in gone] == [UNUSED, BROKEN]
    assert set(store.list("")) == used
    assert [read_states(store, study, tmp_path / "after") for study in ("one", "two")] == before
    assert collect_garbage(store, list_shared(store)) == []


def test_a_state_that_is_used_meanwhile_comes_back(store: Store, tmp_path: Path) -> None:
    before = list_shared(store)
    put_trial(store, "two", 1, UNUSED, "complete")
    assert [item.key for item in collect_garbage(store, before)] == [BROKEN]
    assert read_states(store, "two", tmp_path / "read") == 5


def test_a_collection_that_is_killed_is_finished_by_the_next(
    store: DirectoryStore, tmp_path: Path
) -> None:
    total = len(list(store.list("pretrains/")))
    for cut in range(total + 2):
        dying = DyingStore(tmp_path / "store", cut)
        try:
            collect_garbage(dying, list_shared(DirectoryStore(tmp_path / "store")))
        except ServiceError:
            assert read_states(store, "one", tmp_path / "read") == 7
    assert [item.key for item in list_shared(store)] == [FIRST, SECOND, CONTROL]


def test_what_is_being_made_is_no_garbage(store: Store) -> None:
    with take_lease(store, layout.pretrain(BROKEN, "lease"), "pretraining"):
        found = {item.key: item for item in list_shared(store)}
        assert (found[BROKEN].state, found[BROKEN].is_garbage) == ("running", False)
        doomed = collect_garbage(store, [replace(found[BROKEN], state="unfinished")])
        assert doomed == []  # its driver came after it was listed
    assert find_shared(store, BROKEN).state == "unfinished"


def test_what_was_made_again_meanwhile_stays(store: DirectoryStore, tmp_path: Path) -> None:
    class Remade(DirectoryStore):
        """A store where another study makes a state while references are read."""

        def list(self, prefix: str) -> Iterator[str]:
            if prefix == "studies/":
                put_json(store, layout.pretrain(UNUSED, "manifest.json"), {"schema": 1})
            return super().list(prefix)

    unused = find_shared(store, UNUSED)
    before = {key for key in store.list("pretrains/") if UNUSED in key and "lease" not in key}
    assert collect_garbage(Remade(tmp_path / "store"), [unused]) == []
    assert before <= set(store.list("pretrains/"))


def test_a_failure_is_listed_with_its_reason_until_it_is_retried(store: DirectoryStore) -> None:
    put_json(store, layout.pretrain(SECOND, "failed.json"), {"reason": "loss is not finite"})
    shown = ss3d(store, "pretrains", "show", "bb")
    assert "failed: loss is not finite" in shown
    assert "failed: loss is not finite" in ss3d(store, "pretrains", "list")
    assert not find_shared(store, "bb").is_garbage
    assert json.loads(ss3d(store, "pretrains", "retry", "bb", "--json"))["key"] == SECOND
    assert find_shared(store, "bb").state == "unfinished"
    with pytest.raises(RefusedError, match="is unfinished; only what failed"):
        retry_failed(store, find_shared(store, "bb"))


def test_the_export_of_an_attempt_that_lost_goes_and_the_one_that_is_read_stays(
    store: DirectoryStore, tmp_path: Path
) -> None:
    store.delete(layout.pretrain(FIRST, "manifest.json"))
    for attempt in ("a1", "a2"):
        put_files(store, layout.pretrain(FIRST, "checkpoint", attempt))
    named = {"checkpoint": "checkpoint/a2", "epochs": "epochs.json"}
    put_json(store, layout.pretrain(FIRST, "manifest.json"), named)
    assert find_shared(store, FIRST).unread_bytes > 2000  # of a1, and of before attempts had names
    planned = json.loads(ss3d(store, "pretrains", "gc", "--json"))
    assert planned["bytes"] > 2000 + find_shared(store, FIRST).unread_bytes
    ss3d(store, "pretrains", "gc", "--yes")
    left = list(store.list(layout.pretrain(FIRST, "checkpoint") + "/"))
    assert {key.split("/")[4] for key in left} == {"a2"}
    assert find_shared(store, FIRST).unread_bytes == 0
    assert read_states(store, "one", tmp_path / "read") == 7


def test_an_unreadable_spec_keeps_everything(store: Store) -> None:
    store.put_new(layout.trial("two", "t00009", "spec.json"), b"{}")
    with pytest.raises(CheckpointError, match=r"studies/two/trials/t00009/spec\.json: stored"):
        list_shared(store)
    with pytest.raises(CheckpointError):
        collect_garbage(store, [])


def test_a_damaged_state_is_named_and_goes_if_nobody_refers_to_it(store: Store) -> None:
    other = "f" * 64
    put_json(store, layout.pretrain(other, "config.json"), {"nonsense": 1})
    item = find_shared(store, "ff")
    assert (item.state, item.is_garbage, item.cd_l1) == ("damaged", True, None)


def test_a_key_is_found_by_its_unique_start(store: Store) -> None:
    put_shared(store, "a" * 63 + "b")
    assert find_shared(store, "c").key == CONTROL
    with pytest.raises(ConfigError, match="got 'aaaa', 2 keys start with it"):
        find_shared(store, "aaaa")
    with pytest.raises(ConfigError, match="got '9', no key starts with it"):
        find_shared(store, "9")


def test_the_size_of_what_is_half_there(store: Store) -> None:
    store.put_new("loose/file", b"12345")
    store.put_new("loose/manifest.json", b"not json")
    assert total_bytes(store, ["loose/file", "loose/manifest.json"]) == 5 + 8
    assert [bytes_as_text(n) for n in (0, 999, 1000, 999_600, 1_500_000)] == [
        "0 B",
        "999 B",
        "1 kB",
        "1 MB",
        "1.5 MB",
    ]


def test_the_commands(store: Store) -> None:
    listed = json.loads(ss3d(store, "pretrains", "list", "--json"))
    assert [item["state"] for item in listed].count("complete") == 3
    assert "one (2), two" in " ".join(ss3d(store, "pretrains", "list").split())
    shown = json.loads(ss3d(store, "pretrains", "show", "aa", "--json"))
    assert len(shown["epoch_reports"]) == 3
    assert "used by: no trial" in ss3d(store, "pretrains", "show", "dd")
    before = list(store.list(""))
    planned = json.loads(ss3d(store, "pretrains", "gc", "--json"))
    assert (planned["deleted"], len(planned["items"])) == (False, 2)
    assert "would remove 2" in ss3d(store, "pretrains", "gc")
    assert list(store.list("")) == before
    done = json.loads(ss3d(store, "pretrains", "gc", "--yes", "--json"))
    assert done["bytes"] == planned["bytes"] > 2000
    assert "removed 0, 0 B" in ss3d(store, "pretrains", "gc", "--yes")
