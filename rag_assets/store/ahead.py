"""Work ahead: the next item is made in a thread while the present one is used."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


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


def _take(iterator: Iterator[T]) -> tuple[T] | None:
    for item in iterator:
        return (item,)
    return None
