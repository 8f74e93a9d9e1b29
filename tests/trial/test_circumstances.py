"""What differs between a trial and here, and whether bits must repeat."""

import pytest
import torch

from ss3d.config import TrialConfig
from ss3d.store.directory import DirectoryStore
from ss3d.trial.circumstances import changes_since, expects_bitwise, read_attempts
from ss3d.trial.records import TrialSpec
from ss3d.trial.spec import code_version, machine, versions

CPU = torch.device("cpu")


def spec(**changes: object) -> TrialSpec:
    facts = {
        "config": TrialConfig(),
        "code_version": code_version(),
        "data_hash": "d" * 64,
        "versions": versions(),
    }
    return TrialSpec.model_construct(**(facts | changes))


def attempt(**changes: str) -> dict[str, dict[str, str]]:
    facts = {"machine": machine(), "versions": versions()}
    return {
        part: known | {name: value for name, value in changes.items() if name in known}
        for part, known in facts.items()
    }


def test_the_same_circumstances_must_give_the_same_bits():
    changes = changes_since(spec(), [attempt(), attempt()], False, "d" * 64, CPU)
    assert changes == []
    assert expects_bitwise(changes)


@pytest.mark.parametrize(
    ("changed", "is_bitwise"),
    [
        ({"host": "elsewhere"}, True),
        ({"python": "3.10.1"}, True),
        ({"torch": "2.0"}, False),
        ({"numpy": "1.0"}, False),
        ({"cpu_capability": "NONE"}, False),
        ({"system": "Plan9 mips"}, False),
    ],
)
def test_what_changed_is_named_and_weighed(changed: dict[str, str], is_bitwise: bool):
    (found,) = changes_since(spec(), [attempt(), attempt(**changed)], False, "d" * 64, CPU)
    ((name, then),) = changed.items()
    assert found.name == name
    assert then in found.then.split(", ")
    assert found.now == attempt()["machine" if name in machine() else "versions"][name]
    assert expects_bitwise([found]) == is_bitwise


def test_code_and_data_are_compared_by_their_hashes():
    found = changes_since(spec(code_version="c" * 64), [attempt()], False, "e" * 64, CPU)
    assert [change.describe() for change in found] == [
        f"code: {'c' * 12} -> {code_version()[:12]}",
        f"data: {'d' * 12} -> {'e' * 12}",
    ]
    assert not expects_bitwise(found)


def test_another_device_is_a_change_and_an_idle_gpu_is_none():
    on_gpu = attempt(device="A GPU", cpu_capability="NONE")
    assert [c.name for c in changes_since(spec(), [on_gpu], True, "d" * 64, CPU)] == [
        "device", "cpu_capability"
    ]  # fmt: skip
    idle = attempt(device="A GPU")
    assert changes_since(spec(), [idle], False, "d" * 64, CPU) == []


def test_a_machine_that_nobody_recorded_promises_nothing():
    found = changes_since(spec(), [], False, "d" * 64, CPU)
    assert {change.then for change in found} == {"not recorded"}
    assert {"cpu_capability", "host", "system"} <= {change.name for change in found}
    assert not expects_bitwise(found)


def test_kernels_that_are_not_deterministic_promise_nothing_on_a_gpu():
    config = TrialConfig().override({"numerics.deterministic": False})
    found = changes_since(spec(config=config), [attempt()], True, "d" * 64, torch.device("cuda"))
    assert [change.describe() for change in found] == ["kernels: not deterministic"]
    assert not expects_bitwise(found)


def test_attempts_are_read_in_their_order(tmp_path):
    store = DirectoryStore(tmp_path)
    for number in (10, 9, 1):
        store.put_new(f"t/attempts/a{number}.json", b'{"schema": 1, "n": %d}' % number)
    assert [one["n"] for one in read_attempts(store, "t")] == [1, 9, 10]
