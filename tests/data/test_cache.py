import multiprocessing
import os
import shutil

import numpy as np
import pytest

from ss3d.data.cache import open_cache
from ss3d.data.dataset import open_dataset
from ss3d.data.images import decode_rgba, resize_rgba
from ss3d.errors import DataError
from ss3d.store.directory import DirectoryStore


def folder_of(cache_dir):
    return next(path for path in cache_dir.iterdir() if path.is_dir())


def test_rows_belong_to_their_models(dataset, tmp_path):
    cache = open_cache(dataset, tmp_path / "cache", 20)
    items = list(dataset.models())
    assert [model.key for model in cache.index] == [item.key for item in items]
    assert cache.images.shape == (len(items) * 3, 20, 20, 4)
    for model, item in zip(cache.index, items, strict=True):
        for view in range(3):
            expected = resize_rgba(decode_rgba(item.images[view], "x"), 20)
            assert np.array_equal(cache.images[model.row * 3 + view], expected)
        norms = np.linalg.norm(cache.clouds[model.row], axis=1)
        assert norms.max() == pytest.approx(1, abs=1e-6)
    assert not cache.images.flags.writeable
    assert not cache.clouds.flags.writeable


def test_second_opening_builds_nothing(dataset, tmp_path):
    seen = []
    open_cache(dataset, tmp_path, 20, lambda done, total: seen.append((done, total)))
    assert seen == [(n + 1, 32) for n in range(32)]
    open_cache(dataset, tmp_path, 20, lambda done, total: pytest.fail("built again"))
    open_cache(dataset, tmp_path, 24)
    assert len([path for path in tmp_path.iterdir() if path.name.endswith(("-20", "-24"))]) == 2


def flip_byte(path):
    with path.open("r+b") as file:
        file.seek(5000)
        byte = file.read(1)
        file.seek(5000)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(1, 1))  # a clock that stands still must not hide it


def cut(path):
    with path.open("r+b") as file:
        file.truncate(1000)


@pytest.mark.parametrize("name", ["images.npy", "clouds.npy", "index.json"])
@pytest.mark.parametrize("damage", [flip_byte, cut, lambda path: path.unlink()])
def test_damage_is_seen_and_repaired(dataset, tmp_path, name, damage):
    cache = open_cache(dataset, tmp_path / "cache", 20)
    images, clouds = np.array(cache.images), np.array(cache.clouds)
    path = folder_of(tmp_path / "cache") / name
    if name == "index.json" and damage is flip_byte:
        path.write_text(path.read_text().replace('"train"', '"val"', 1))
    else:
        damage(path)
    again = open_cache(dataset, tmp_path / "cache", 20)
    assert np.array_equal(again.images, images)
    assert np.array_equal(again.clouds, clouds)
    assert again.index == cache.index


def test_copied_cache_is_checked_and_used(dataset, tmp_path):
    original = open_cache(dataset, tmp_path / "a", 20)
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)
    copy = open_cache(dataset, tmp_path / "b", 20, lambda *_: pytest.fail("built again"))
    assert np.array_equal(copy.images, original.images)


def test_killed_builder_leaves_nothing_in_the_way(dataset, tmp_path):
    whole = open_cache(dataset, tmp_path / "a", 20)
    partial = tmp_path / "b" / f"{folder_of(tmp_path / 'a').name}.partial"
    partial.mkdir(parents=True)
    (partial / "images.npy").write_bytes(b"half")
    cache = open_cache(dataset, tmp_path / "b", 20)
    assert np.array_equal(cache.images, whole.images)
    assert not partial.exists()


def test_damaged_shard_fails_the_build_and_leaves_no_cache(dataset, store, tmp_path):
    key = dataset.manifest.shards[0].key
    blob = store.get(key)
    store.put_if(key, blob.data[:-9], blob.version)
    with pytest.raises(DataError, match=key):
        open_cache(dataset, tmp_path / "cache", 20)
    with pytest.raises(DataError, match=key):
        open_cache(dataset, tmp_path / "cache", 20)


def _open(folder, cache_dir, results):
    builds = []
    dataset = open_dataset(DirectoryStore(folder))
    cache = open_cache(dataset, cache_dir, 20, lambda done, total: builds.append(done))
    results.put((len(builds), int(cache.images.sum(dtype=np.int64))))


@pytest.mark.slow
def test_two_processes_build_it_once(dataset, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    results = spawn.Queue()
    workers = [
        spawn.Process(target=_open, args=(tmp_path / "set", tmp_path / "cache", results))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    answers = sorted(results.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    assert [builds for builds, _ in answers] == [0, 32]
    assert answers[0][1] == answers[1][1]
