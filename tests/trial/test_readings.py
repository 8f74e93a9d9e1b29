"""Every look at the test models is on record."""

import pytest

from ss3d.errors import CheckpointError
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.trial.readings import TestReading as Reading
from ss3d.trial.readings import list_readings, record_reading


def reading(weights: str = "a" * 64, data: str = "d" * 64) -> Reading:
    return Reading(
        model="demo/t00001",
        weights_sha256=weights,
        data_hash=data,
        split_hash="s",
        count=83,
        cd_l1=5.6,
        cd_l1_category_mean=6.0,
        code_version="c",
        read_at=1.0,
    )


def test_readings_are_counted_by_weights_and_by_data(tmp_path):
    store = DirectoryStore(tmp_path)
    assert record_reading(store, reading()) == (1, 1)
    assert record_reading(store, reading()) == (2, 2)
    assert record_reading(store, reading(weights="b" * 64)) == (1, 3)
    assert record_reading(store, reading(data="e" * 64)) == (1, 1)
    assert [r.weights_sha256[0] for r in list_readings(store, "d" * 64)] == ["a", "a", "b"]


class Overtaken(DirectoryStore):
    """Somebody else writes a record between our look and our write, once."""

    raced = False

    def put_new(self, key: str, data: bytes) -> str:
        if not self.raced:
            self.raced = True
            super().put_new(key, data)
        return super().put_new(key, data)


def test_two_readings_at_once_are_both_kept(tmp_path):
    store = Overtaken(tmp_path)
    assert record_reading(store, reading()).of_data == 2
    assert len(list_readings(store, "d" * 64)) == 2


def test_a_damaged_record_is_an_error(tmp_path):
    store = DirectoryStore(tmp_path)
    store.put_new(layout.evaluation("d" * 64, 1), b"{}")
    with pytest.raises(CheckpointError, match="TestReading is damaged"):
        record_reading(store, reading())
