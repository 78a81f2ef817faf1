"""Work ahead: items are made in threads while others are used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(items: Iterable[T]) -> Generator[T]:
    """The same items in their order; never more than one is made ahead. What making one raises is raised here.

    Closing it waits for the one that is being made.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(_take, iterator)
        while found := coming.result():
            coming = pool.submit(_take, iterator)
            yield found[0]


def mapped(function: Callable[[T], R], items: Iterable[T], workers: int) -> Generator[R]:
    """What a function gives for each item, in their order, with so many calls at a time; items are taken here.

    No more items are taken than there are workers before a result is used. What a call raises is raised here,
    when its turn has come; calls that run by then are waited for.
    """
    given: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                given.append(pool.submit(function, item))
                if len(given) == workers:
                    yield given.popleft().result()
            while given:
                yield given.popleft().result()
        finally:
            for future in given:
                future.cancel()


def _take(iterator: Iterator[T]) -> tuple[T] | None:
    for item in iterator:
        return (item,)
    return None
