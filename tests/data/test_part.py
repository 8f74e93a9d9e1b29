"""The shards that a trial needs, and the same batches from them as from the whole data set."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss3d.config import DataConfig
from ss3d.data.dataset import open_dataset
from ss3d.data.loader import load_data
from ss3d.data.manifest import Manifest, ShardEntry
from ss3d.data.part import needed_part, shards_of
from ss3d.data.shards import write_dataset
from ss3d.errors import DataError

CHAIRS = DataConfig(categories=("chair",), image_size=32, num_target_points=64, labeled_ratio=0.5)


@pytest.fixture
def small_shards(store, plan, items, monkeypatch):
    monkeypatch.setattr("ss3d.data.shards.SHARD_BYTES", 50_000)
    write_dataset(items(), store, plan)
    return open_dataset(store)


def manifest_of(counts: dict[str, int], rows: list[int]) -> Manifest:
    return Manifest(
        name="m", content_hash="c" * 64, categories={name: name for name in counts},
        counts={name: {"train": n, "val": 0, "test": 0} for name, n in counts.items()},
        num_views=1, image_size=32, num_points=16,
        shards=tuple(ShardEntry(key=f"s{i}", sha256="", rows=n) for i, n in enumerate(rows)),
    )  # fmt: skip


def test_shards_are_those_that_overlap_a_category():
    manifest = manifest_of({"a": 4, "b": 2, "c": 3}, [3, 2, 1, 2, 1])

    def keys(*categories):
        return [shard.key for shard in shards_of(manifest, categories)]

    assert keys("a") == ["s0", "s1"]
    assert keys("b") == ["s1", "s2"]
    assert keys("c") == ["s3", "s4"]
    assert keys("a", "c") == ["s0", "s1", "s3", "s4"]


@given(st.data())
def test_no_model_is_lost_in_either_order_of_the_names(data):
    names = data.draw(st.lists(st.sampled_from(["a", "a-b", "a.b", "ab", "b"]), unique=True))
    counts = {name: data.draw(st.integers(1, 5), name) for name in names}
    wanted = data.draw(st.sets(st.sampled_from(names))) if names else set()
    by_key = data.draw(st.booleans())
    order = sorted(names, key=lambda name: f"{name}/" if by_key else name)
    rows = [name for name in order for _ in range(counts[name])]
    sizes = []
    while sum(sizes) < len(rows):
        sizes.append(data.draw(st.integers(1, len(rows) - sum(sizes))))
    kept = {shard.key for shard in shards_of(manifest_of(counts, sizes), wanted)}
    start = 0
    for number, size in enumerate(sizes):
        if wanted & set(rows[start : start + size]):
            assert f"s{number}" in kept
        start += size


def test_a_part_gives_the_batches_of_the_whole(small_shards, tmp_path):
    part = needed_part(small_shards, CHAIRS, tmp_path / "part")
    sizes = small_shards.store.sizes("shards/")
    kept = [shard.key for shard in part.manifest.shards]
    assert 0 < len(kept) < len(small_shards.manifest.shards)
    assert part.num_bytes == sum(sizes[key] for key in kept)
    some = load_data(part, CHAIRS, part.cache_dir)
    every = load_data(small_shards, CHAIRS, tmp_path / "whole")
    assert (some.data_hash, some.split_hash) == (every.data_hash, every.split_hash)
    for name in ("labeled", "unlabeled", "validation"):
        one, other = getattr(some, name), getattr(every, name)
        assert one.ids == other.ids
        positions = torch.arange(len(one))
        batches = [of.batch(positions, torch.Generator().manual_seed(0)) for of in (one, other)]
        assert torch.equal(batches[0][0], batches[1][0])
    assert needed_part(small_shards, CHAIRS, tmp_path / "part").num_bytes == 0


def test_what_is_cached_as_a_whole_is_not_read_again(small_shards, tmp_path):
    load_data(small_shards, CHAIRS, tmp_path)
    part = needed_part(small_shards, CHAIRS, tmp_path)
    assert (part.num_bytes, part.cache_dir) == (0, tmp_path)
    load_data(part, CHAIRS, part.cache_dir, progress=lambda *_: pytest.fail("read again"))


def test_all_categories_need_all_shards_and_the_usual_folder(small_shards, tmp_path):
    part = needed_part(small_shards, DataConfig(image_size=32), tmp_path)
    assert part.manifest == small_shards.manifest
    assert part.cache_dir == tmp_path
    assert part.num_bytes == sum(small_shards.store.sizes("shards/").values())


def test_a_data_set_in_another_order_is_refused_and_not_cut(store, plan, items, tmp_path):
    shuffled = sorted(items(), key=lambda item: item.model_id)  # categories alternate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ss3d.data.shards.SHARD_BYTES", 50_000)
        write_dataset(shuffled, store, plan)
    part = needed_part(open_dataset(store), CHAIRS, tmp_path)
    with pytest.raises(DataError, match=r"models of 03001627 in its shards, expected 16"):
        load_data(part, CHAIRS, part.cache_dir)
