import math
import os

import pytest

from ss3d.data.parallel import counted, ordered_map, process_map
from ss3d.errors import ServiceError


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_keep_the_order(workers):
    numbers = list(range(20, 0, -1))
    assert list(process_map(math.factorial, numbers, workers)) == list(map(math.factorial, numbers))
    assert list(process_map(math.factorial, [], workers)) == []


def test_errors_come_at_their_turn():
    results = process_map(math.sqrt, [4.0, -1.0, 9.0], 2)
    assert next(results) == 2
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        next(results)


def test_killed_worker_is_a_service_error():
    with pytest.raises(ServiceError, match=r"a worker process was killed.*--workers"):
        list(process_map(os._exit, [1, 1], 2))


def test_counted_tells_after_each():
    seen = []
    for item in counted(ordered_map(abs, [-1, -2]), 2, lambda *state: seen.append(state)):
        assert len(seen) == item - 1
    assert seen == [(1, 2), (2, 2)]
    assert list(counted([7], 1, None)) == [7]
