from __future__ import annotations

import pytest

from ss3d.errors import ConfigError
from ss3d.store import layout


@pytest.mark.parametrize(
    ("key", "age"),
    [
        (f"t/checkpoints/{layout.epoch_name(2, 12)}", (2, 12)),
        (f"t/epochs/{layout.epoch_name(10, 1_000_000)}.json", (10, 1_000_000)),
        ("t/attempts/a3.json", (3, 0)),
    ],
)
def test_attempt_and_epoch_are_read_back_from_a_key(key: str, age: tuple[int, int]) -> None:
    assert layout.attempt_and_epoch(key) == age


@pytest.mark.parametrize("key", ["t/epochs/notes.txt", "a1-12x", "", "a1-000012/manifest"])
def test_other_keys_are_named(key: str) -> None:
    with pytest.raises(ConfigError, match="expected one that ends like a1-000012"):
        layout.attempt_and_epoch(key)


def test_logs_are_numbered_by_attempt_and_session() -> None:
    assert layout.log_number(f"a/log/{layout.attempt_log(10)}") == 10
    assert layout.log_number(layout.session_log("demo", 2)) == 2
    with pytest.raises(ConfigError, match="expected one that ends like a1"):
        layout.log_number("a/log/a1.txt")
