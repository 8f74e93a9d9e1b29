"""What leaves a node's cache to make room, and what never does."""

from __future__ import annotations

import logging
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from ss3d.data.cache import open_cache
from ss3d.data.dataset import Dataset, open_dataset
from ss3d.data.eviction import release
from ss3d.store.directory import DirectoryStore


def decoded(cache_dir: Path) -> dict[int, Path]:
    """The decoded data sets by their side."""
    folders = [path for path in cache_dir.glob("[0-9a-f]*-*") if path.is_dir()]
    return {int(path.name.rpartition("-")[2]): path for path in folders}


def decode(dataset: Dataset, cache_dir: Path, side: int, limit_bytes: float = np.inf) -> int:
    """Decode a data set and let go of it; return its bytes."""
    open_cache(dataset, cache_dir, side, limit_bytes=limit_bytes)
    folder = decoded(cache_dir)[side]
    return sum(path.stat().st_size for path in folder.iterdir())


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_the_least_recently_used_go_and_no_more_than_must(
    dataset: Dataset, cache_dir: Path
) -> None:
    sizes = {side: decode(dataset, cache_dir, side) for side in (16, 18, 20)}
    for age, side in enumerate((18, 16, 20)):
        marker = decoded(cache_dir)[side]
        os.utime(marker.with_name(f"{marker.name}.used"), (age, age))
    decode(dataset, cache_dir, 18)  # used again
    limit = sizes[18] + sizes[20] + sizes[20] + 4096
    decode(dataset, cache_dir, 21, limit)
    assert set(decoded(cache_dir)) == {18, 21}  # 16 went first, then 20: one was not enough
    decode(dataset, cache_dir, 16)
    assert set(decoded(cache_dir)) == {16, 18, 21}  # without a limit nothing goes


def test_what_is_mapped_stays_and_the_limit_gives_way(
    dataset: Dataset, cache_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = open_cache(dataset, cache_dir, 16)
    images = cache.images[:2]  # a view of the array keeps it as well
    del cache
    with caplog.at_level(logging.WARNING):
        decode(dataset, cache_dir, 18, limit_bytes=1)
    assert set(decoded(cache_dir)) == {16, 18}
    assert "bytes in use, more than the limit of 1" in caplog.text
    assert not release(decoded(cache_dir)[16], remove=True)
    del images
    decode(dataset, cache_dir, 20, limit_bytes=1)
    assert set(decoded(cache_dir)) == {20}


def test_parts_and_what_a_killed_builder_left_go_too(dataset: Dataset, cache_dir: Path) -> None:
    part = cache_dir / "part-of-it"
    decode(dataset, part, 16)
    partial = cache_dir / f"{decoded(part)[16].name}.partial"
    partial.mkdir()
    (partial / "images.npy").write_bytes(b"half")
    decode(dataset, cache_dir, 18, limit_bytes=1)
    assert list(decoded(cache_dir)) == [18]
    assert decoded(part) == {}


def _map_and_wait(folder: Path, cache_dir: Path, is_mapped, may_end) -> None:
    cache = open_cache(open_dataset(DirectoryStore(folder)), cache_dir, 16)
    is_mapped.set()
    may_end.wait(60)
    assert cache.images.size


@pytest.mark.slow
def test_another_process_keeps_what_it_has_mapped_until_it_is_killed(
    dataset: Dataset, tmp_path: Path, cache_dir: Path
) -> None:
    spawn = multiprocessing.get_context("spawn")
    is_mapped, may_end = spawn.Event(), spawn.Event()
    arguments = (tmp_path / "set", cache_dir, is_mapped, may_end)
    other = spawn.Process(target=_map_and_wait, args=arguments)
    other.start()
    assert is_mapped.wait(60)
    decode(dataset, cache_dir, 18, limit_bytes=1)
    assert set(decoded(cache_dir)) == {16, 18}
    other.kill()
    other.join()
    decode(dataset, cache_dir, 20, limit_bytes=1)
    assert set(decoded(cache_dir)) == {20}
