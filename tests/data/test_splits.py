import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss3d.data.splits import balanced_order, labeled_split, split_hash, stratified_subset

POOL = {
    "chair": [f"chair/{i}" for i in range(100)],
    "lamp": [f"lamp/{i}" for i in range(7)],
    "phone": ["phone/0"],
}


@pytest.mark.parametrize(
    ("ratio", "chairs", "lamps"), [(0.01, 1, 1), (0.1, 10, 1), (0.29, 29, 2), (1, 100, 7)]
)
def test_each_category_has_its_share_and_at_least_one(ratio, chairs, lamps):
    labeled = labeled_split(POOL, ratio, seed=0)
    counts = {name: len(labeled & set(ids)) for name, ids in POOL.items()}
    assert counts == {"chair": chairs, "lamp": lamps, "phone": 1}


@given(low=st.floats(0.001, 1), high=st.floats(0.001, 1), seed=st.integers(0, 5))
def test_smaller_ratios_are_subsets(low, high, seed):
    low, high = sorted((low, high))
    assert labeled_split(POOL, low, seed) <= labeled_split(POOL, high, seed)


def test_order_of_the_ids_does_not_matter_and_the_seed_does():
    backwards = {name: ids[::-1] for name, ids in reversed(POOL.items())}
    assert labeled_split(POOL, 0.2, 3) == labeled_split(backwards, 0.2, 3)
    assert labeled_split(POOL, 0.2, 3) != labeled_split(POOL, 0.2, 4)


def test_a_category_is_split_as_if_it_were_alone():
    alone = labeled_split({"chair": POOL["chair"]}, 0.1, 0)
    assert alone == {item for item in labeled_split(POOL, 0.1, 0) if item.startswith("chair")}


def test_subset_is_proportional_and_nested():
    chosen = stratified_subset(POOL, 54)
    counts = {name: len(chosen & set(ids)) for name, ids in POOL.items()}
    assert counts == {"chair": 50, "lamp": 4, "phone": 0}
    assert stratified_subset(POOL, 20) < chosen
    assert len(stratified_subset(POOL, 1000)) == 108


def test_split_hash_sees_members_and_parts_only():
    assert split_hash({"a": ["1", "2"]}) == split_hash({"a": ["2", "1"]})
    assert split_hash({"a": ["1"], "b": ["2"]}) != split_hash({"a": ["2"], "b": ["1"]})


@pytest.mark.parametrize(
    ("balance", "times"), [(0.0, (1, 1, 1)), (0.5, (1, 2, 3)), (1.0, (1, 4, 9))]
)
def test_models_of_small_categories_are_drawn_more_often(
    balance: float, times: tuple[int, int, int]
) -> None:
    categories = ["a"] * 9 + ["b"] * 2 + ["c"]  # 9 / 2 is 4.5: halves round to even
    order = balanced_order(categories, balance).tolist()
    assert sorted(set(order)) == list(range(12))
    assert [order.count(position) for position in (0, 9, 11)] == list(times)
