"""Map over many items in order, without holding more than a few results: threads or processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from ss3d.errors import ServiceError

T = TypeVar("T")
R = TypeVar("R")


def ordered_map(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield `function(item)` in the order of the items, computed by one thread per usable core.

    Decoding, hashing and resizing release the interpreter lock, so threads are enough. At most a
    few results wait to be taken. An exception of `function` is raised at its item's turn.
    """
    threads = min(8, usable_cores())
    with ThreadPoolExecutor(threads) as pool:
        yield from _in_order(pool, function, items, 2 * threads)


def process_map(
    function: Callable[[T], R], items: Sequence[T], workers: int | None = None
) -> Iterator[R]:
    """Yield `function(item)` in the order of the items, computed by worker processes.

    Args:
        function: of a module, perhaps with arguments bound; sent to each worker once.
        items: in order.
        workers: processes; 1 computes in this one, None takes one per usable core.

    Raises:
        ServiceError: a worker was killed.
    """
    count = min(workers or usable_cores(), len(items))
    if count <= 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, _begin_work, (function,)) as pool:
        try:
            yield from _in_order(pool, _work, items, 2 * count)
        except BrokenProcessPool as error:
            raise ServiceError(
                "a worker process was killed, perhaps for lack of memory; try fewer --workers"
            ) from error


def counted(
    items: Iterable[T], total: int, progress: Callable[[int, int], None] | None
) -> Iterator[T]:
    """Yield the items, telling after each how many are done."""
    for done, item in enumerate(items, start=1):
        yield item
        if progress is not None:
            progress(done, total)


def usable_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0))


def _in_order(
    pool: Executor, function: Callable[[T], R], items: Iterable[T], ahead: int
) -> Iterator[R]:
    """Keep a pool at work a few items ahead of who takes the results."""
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


_task: list[Callable[[Any], Any]] = []
"""In a worker process: what it does with items; sent once, it may hold a whole listing."""


def _begin_work(function: Callable[[Any], Any]) -> None:
    """Take the task of a worker, and leave Ctrl-C to the parent, which then ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _task[:] = [function]


def _work(item: Any) -> Any:
    """Do a worker's task for one item."""
    return _task[0](item)
