"""Every reading of a test split leaves a record: how often one looked is part of the result."""

from __future__ import annotations

from typing import Any, NamedTuple

from ss3d.errors import ConflictError
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.trial.records import Record


class TestReading(Record):
    """One look at the test models of a data set."""

    __test__ = False
    """It is no class of tests."""

    model: str
    """As the user named it."""
    weights_sha256: str
    data_hash: str
    split_hash: str
    count: int
    """Test models measured."""
    cd_l1: float
    """Sample mean."""
    cd_l1_category_mean: float
    code_version: str
    read_at: float


class Readings(NamedTuple):
    """How often the test models of a data set were read, this reading included."""

    of_model: int
    """By the same weights."""
    of_data: int
    """By any weights that this store knows of."""


def record_reading(store: Store, reading: TestReading) -> Readings:
    """Append a reading under the next free number and return the counts with it.

    Raises:
        CheckpointError: an earlier record is damaged.
        ServiceError: the store does not answer.
    """
    while True:
        earlier = list_readings(store, reading.data_hash)
        key = layout.evaluation(reading.data_hash, len(earlier) + 1)
        try:
            store.put_new(key, reading.to_json())
        except ConflictError:
            continue
        same = sum(one.weights_sha256 == reading.weights_sha256 for one in earlier)
        return Readings(of_model=same + 1, of_data=len(earlier) + 1)


def list_readings(store: Store, data_hash: str) -> list[TestReading]:
    """Return all readings of a data set's test models in order.

    Raises:
        CheckpointError: a record is damaged.
    """
    blobs: list[Any] = [store.get(key) for key in store.list(layout.evaluations(data_hash))]
    return [TestReading.from_json(blob.data) for blob in blobs if blob is not None]
