"""One item is made while the one before it is used, and no more."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from rag_assets.store.ahead import ahead


def test_items_come_in_their_order_and_one_is_made_ahead() -> None:
    made: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    found = []
    for item in ahead(items()):
        if item == 0:
            assert second.wait(10), "the next one is made meanwhile"
        assert len(made) <= item + 2
        found.append(item)
    assert found == [0, 1, 2, 3, 4]
    assert list(ahead([])) == []


def test_what_making_an_item_raises_reaches_who_uses_them() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    coming = ahead(items())
    assert next(coming) == 1
    with pytest.raises(ValueError, match="broken"):
        next(coming)
