import json

import numpy as np
import pytest

from ss3d.data.dataset import open_dataset
from ss3d.data.items import ModelItem, Shape, seal
from ss3d.data.manifest import MANIFEST_KEY, Manifest, Skipped
from ss3d.data.shards import write_dataset
from ss3d.errors import DataError, RefusedError
from ss3d.store.directory import DirectoryStore


def test_round_trip(dataset, items):
    written, read = list(items()), list(dataset.models())
    assert [item.key for item in read] == [item.key for item in written]
    for one, other in zip(written, read, strict=True):
        assert (one.split, one.images, one.digest) == (other.split, other.images, other.digest)
        assert np.array_equal(one.cloud, other.cloud)
        assert other.camera is None
    assert dataset.manifest.split_counts() == {"train": 20, "val": 8, "test": 4}
    assert dataset.manifest.num_points == 128


def test_shards_split_by_size_hold_the_same(store, plan, items, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("ss3d.data.shards.SHARD_BYTES", 50_000)
    many = DirectoryStore(tmp_path / "many")
    manifest = write_dataset(items(), many, plan)
    assert len(manifest.shards) > 3
    assert manifest.content_hash == dataset.manifest.content_hash
    digests = [item.digest for item in open_dataset(many).models()]
    assert digests == [item.digest for item in dataset.models()]


@pytest.mark.parametrize("change", ["model_id", "category", "split", "images", "cloud", "camera"])
def test_digest_sees_all_content(items, change):
    item = next(items())
    other = {
        "model_id": "other",
        "category": "03001627",
        "split": "test",
        "images": item.images[::-1],
        "cloud": item.cloud * 2,
        "camera": np.zeros((3, 5), np.float32),
    }
    fields = {name: getattr(item, name) for name in other}
    again = seal(ModelItem(**(fields | {change: other[change]})), Shape(3, 40, 128))
    assert again.digest != item.digest


def test_same_content_again_changes_nothing(store, plan, items, dataset):
    before = {key: store.get(key).version for key in store.list("")}
    assert write_dataset(items(), store, plan) == dataset.manifest
    assert {key: store.get(key).version for key in store.list("")} == before


def test_other_content_is_refused_and_the_old_stays(store, plan, items, dataset):
    before = {key: store.get(key).version for key in store.list("")}
    with pytest.raises(RefusedError, match="already holds the data set 'tiny'"):
        write_dataset(items((("train", 3),)), store, plan)
    assert {key: store.get(key).version for key in store.list("")} == before


def test_interrupted_writing_leaves_nothing_that_opens(store, plan, items, monkeypatch):
    monkeypatch.setattr("ss3d.data.shards.SHARD_BYTES", 50_000)

    def stops():
        for number, item in enumerate(items()):
            if number == 12:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        write_dataset(stops(), store, plan)
    left = set(store.list("shards/"))
    assert left
    with pytest.raises(DataError, match="there is no data set"):
        open_dataset(store)
    store.put_new("shards/orphan.parquet", b"half")
    manifest = write_dataset(items(), store, plan)
    assert set(store.list("shards/")) == {shard.key for shard in manifest.shards}


def test_damaged_shard_is_named(store, dataset):
    key = dataset.manifest.shards[0].key
    blob = store.get(key)
    store.put_if(key, blob.data[:5000] + b"!" + blob.data[5001:], blob.version)
    with pytest.raises(DataError, match=key):
        list(dataset.models())
    store.delete(key)
    with pytest.raises(DataError, match=key):
        list(dataset.models())


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"{", "is damaged"), (b'{"schema": 1}', "is damaged"), (b'{"schema": 99}', "has schema 99")],
)
def test_damaged_manifest(store, data, message):
    store.put_new(MANIFEST_KEY, data)
    with pytest.raises(DataError, match=message):
        open_dataset(store)


def test_manifest_without_models_is_empty(store, dataset):
    blob = store.get(MANIFEST_KEY)
    store.put_if(
        MANIFEST_KEY, json.dumps(json.loads(blob.data) | {"shards": []}).encode(), blob.version
    )
    with pytest.raises(DataError, match="is empty"):
        open_dataset(store)


def test_only_skipped_models_are_no_data_set(store, plan):
    with pytest.raises(DataError, match="not one usable model, 1 skipped"):
        write_dataset([Skipped(model="a/b", reason="bad")], store, plan)


def test_manifest_round_trip(dataset):
    again = Manifest.from_json(dataset.manifest.to_json(), "here")
    assert again == dataset.manifest


def test_views_of_another_size_or_number_are_named(items):
    item = next(items())
    with pytest.raises(DataError, match="view 00: got 40x40 pixels, expected 137"):
        seal(item, Shape(3, 137, 128))
    with pytest.raises(DataError, match="got 3 views, expected 24"):
        seal(item, Shape(24, 40, 128))
