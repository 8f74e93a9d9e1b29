import gc
import itertools

import numpy as np
import pytest
import torch

from ss3d.config import DataConfig
from ss3d.data.cache import open_cache
from ss3d.data.dataset import open_dataset
from ss3d.data.loader import load_data
from ss3d.data.randomness import generator
from ss3d.data.shards import write_dataset
from ss3d.errors import DataError

CONFIG = DataConfig(image_size=32, num_target_points=50, labeled_ratio=0.2)


@pytest.fixture
def data(dataset, tmp_path):
    return load_data(dataset, CONFIG, tmp_path / "cache")


def load(dataset, tmp_path, **changes):
    return load_data(dataset, CONFIG.model_copy(update=changes), tmp_path / "cache")


def test_parts_are_disjoint_and_complete(data, dataset):
    parts = [data.labeled.ids, data.unlabeled.ids, data.validation.ids, data.test().ids]
    assert [len(ids) for ids in parts] == [4, 16, 8, 4]
    assert sorted(itertools.chain(*parts)) == [item.key for item in dataset.models()]
    assert data.labeled.categories == ["02691156"] * 2 + ["03001627"] * 2
    assert data.data_hash == dataset.manifest.content_hash
    assert data.view.side == 35
    assert data.view.crop_side == 32


def test_unlabeled_items_have_no_cloud_anywhere(data):
    images, clouds = data.unlabeled.batch(torch.arange(5), generator(0))
    assert images.shape == (5, 35, 35, 4)
    assert clouds is None
    for value in vars(data.unlabeled).values():
        assert not (isinstance(value, np.ndarray) and value.dtype == np.float32)
        assert not any(hasattr(held, "clouds") for held in gc.get_referents(value))
    with pytest.raises(AssertionError):
        next(data.unlabeled.evaluation())


def test_all_labels_makes_the_labeled_images_unlabeled(dataset, tmp_path):
    data = load(dataset, tmp_path, labeled_ratio=1.0)
    assert data.unlabeled.ids == data.labeled.ids
    assert len(data.labeled) == 20
    assert data.unlabeled.batch(torch.arange(2), generator(0))[1] is None


def test_training_batch_has_random_views_and_points_of_the_right_model(data, dataset, tmp_path):
    cache = open_cache(dataset, tmp_path / "cache", 35)
    rows = {model.key: model.row for model in cache.index}
    positions = torch.tensor([0, 1, 2, 3] * 4)
    images, clouds = data.labeled.batch(positions, generator(0))
    assert clouds.shape == (16, 50, 3)
    seen = set()
    for place, image, cloud in zip(positions.tolist(), images, clouds, strict=True):
        row = rows[data.labeled.ids[place]]
        views = [v for v in range(3) if np.array_equal(cache.images[3 * row + v], image.numpy())]
        assert len(views) == 1
        seen.add(views[0])
        points = {tuple(point) for point in cache.clouds[row].tolist()}
        drawn = {tuple(point) for point in cloud.tolist()}
        assert len(drawn) == 50
        assert drawn <= points
    assert seen == {0, 1, 2}
    assert not torch.equal(clouds[0].sort(0).values, clouds[4].sort(0).values)


def test_batches_are_functions_of_the_generator(data):
    first, again, other = (
        data.labeled.batch(torch.arange(4), generator(0, step)) for step in (1, 1, 2)
    )
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])


def test_evaluation_is_view_00_and_one_fixed_cloud(data, dataset, tmp_path):
    cache = open_cache(dataset, tmp_path / "cache", 35)
    rows = {model.key: model.row for model in cache.index}
    batches = list(data.validation.evaluation(batch_size=3))
    assert [len(images) for images, _ in batches] == [3, 3, 2]
    images, clouds = (torch.cat(parts) for parts in zip(*batches, strict=True))
    for item, image, cloud in zip(data.validation.ids, images, clouds, strict=True):
        assert np.array_equal(cache.images[3 * rows[item]], image.numpy())
        assert np.array_equal(cache.clouds[rows[item], :50], cloud.numpy())
    whole = torch.cat([clouds for _, clouds in data.validation.evaluation()])
    assert torch.equal(whole, clouds)


def test_larger_targets_contain_the_smaller(dataset, tmp_path):
    few, all_of_them = (
        next(load(dataset, tmp_path, num_target_points=n).validation.evaluation())[1]
        for n in (50, 128)
    )
    assert torch.equal(all_of_them[:, :50], few)
    assert torch.allclose(all_of_them.norm(dim=-1).amax(1), torch.ones(8))


def test_categories_by_id_or_name(dataset, tmp_path):
    by_id = load(dataset, tmp_path, categories=("03001627",))
    by_name = load(dataset, tmp_path, categories=("Chair",))
    assert by_id.labeled.ids == by_name.labeled.ids
    assert by_id.split_hash == by_name.split_hash
    assert set(by_name.validation.categories) == {"03001627"}
    assert by_name.category_names == {"03001627": "chair"}
    both = load(dataset, tmp_path)
    assert set(by_id.labeled.ids) < set(both.labeled.ids)
    assert both.split_hash != by_id.split_hash


@pytest.mark.parametrize("wanted", [("sofa",), ()])
def test_unknown_or_no_category_says_what_is_there(dataset, tmp_path, wanted):
    with pytest.raises(DataError, match=r"has airplane \(02691156\), chair \(03001627\)"):
        load(dataset, tmp_path, categories=wanted)


def test_validation_cap_is_stratified(dataset, tmp_path):
    capped = load(dataset, tmp_path, num_val_models=4)
    assert capped.validation.categories == ["02691156"] * 2 + ["03001627"] * 2
    assert len(load(dataset, tmp_path, num_val_models=100).validation) == 8


def test_split_hash_follows_ratio_and_seed(dataset, tmp_path):
    hashes = {
        load(dataset, tmp_path, **changes).split_hash
        for changes in ({}, {"labeled_ratio": 0.5}, {"split_seed": 1}, {"num_val_models": 2})
    }
    assert len(hashes) == 4
    assert load(dataset, tmp_path, background=0).split_hash in hashes


def test_too_few_stored_points(dataset, tmp_path):
    with pytest.raises(DataError, match="got 1024, but the clouds of 'tiny' have 128"):
        load(dataset, tmp_path, num_target_points=1024)


@pytest.mark.parametrize("missing", ["train", "val"])
def test_missing_split_is_named(store, plan, items, tmp_path, missing):
    counts = [(split, 2) for split in ("train", "val", "test") if split != missing]
    write_dataset(items(counts), store, plan)
    with pytest.raises(DataError, match=f"there are no {missing} models"):
        load(open_dataset(store), tmp_path)


def test_missing_test_split_matters_only_when_asked_for(store, plan, items, tmp_path):
    write_dataset(items((("train", 2), ("val", 2))), store, plan)
    data = load(open_dataset(store), tmp_path)
    with pytest.raises(DataError, match="no test models"):
        data.test()
